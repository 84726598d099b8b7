// tern-choose-layouts: the target's layout for encoded weights, and for nothing else.
// RUN: tern-opt %s -tern-choose-layouts=target=x86_64-avx2 | FileCheck %s
// RUN: not tern-opt %s -tern-choose-layouts=target=x86_64-mmx 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// UNKNOWN: error: unknown target 'x86_64-mmx'

// CHECK: tern.weight @w : tensor<64x64xf32, #tern.enc<f16, layout = "rows32">>
tern.weight @w : tensor<64x64xf32, #tern.enc<f16>> from #tern.file<index = 0, offset = 0, size = 8192, format = "f16">
// A layout that is already set stays.
// CHECK: tern.weight @set : tensor<64x64xf32, #tern.enc<f16, layout = "rows">>
tern.weight @set : tensor<64x64xf32, #tern.enc<f16, layout = "rows">> from #tern.file<index = 0, offset = 0, size = 8192, format = "f16">
// Plain vectors have none.
// CHECK: tern.weight @norm : tensor<64xf32> from
tern.weight @norm : tensor<64xf32> from #tern.file<index = 0, offset = 0, size = 256, format = "f32">
// The parts of a weight keep the order of their file; the whole is packed.
// CHECK: tern.weight @part : tensor<64x64xf32, #tern.enc<f16>> from
tern.weight @part : tensor<64x64xf32, #tern.enc<f16>> from #tern.file<index = 0, offset = 0, size = 8192, format = "f16">
// CHECK: tern.weight @whole : tensor<128x64xf32, #tern.enc<f16, layout = "rows32">> from
tern.weight @whole : tensor<128x64xf32, #tern.enc<f16>> from #tern.parts<concat, [@part, @part]>

// CHECK-LABEL: func.func @forward
func.func @forward(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  // CHECK: tern.param @w : tensor<64x64xf32, #tern.enc<f16, layout = "rows32">>
  %w = tern.param @w : tensor<64x64xf32, #tern.enc<f16>>
  %s = tern.param @set : tensor<64x64xf32, #tern.enc<f16, layout = "rows">>
  %n = tern.param @norm : tensor<64xf32>
  %whole = tern.param @whole : tensor<128x64xf32, #tern.enc<f16>>
  // CHECK: tern.linear %{{.*}}, %{{.*}} : tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16, layout = "rows32">> -> tensor<?x64xf32>
  %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16>> -> tensor<?x64xf32>
  // CHECK: tern.linear %{{.*}}, %{{.*}} : tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16, layout = "rows">> -> tensor<?x64xf32>
  %z = tern.linear %y, %s : tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16, layout = "rows">> -> tensor<?x64xf32>
  %r = tern.rms_norm %z, %n {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %v = tern.linear %r, %whole : tensor<?x64xf32>, tensor<128x64xf32, #tern.enc<f16>> -> tensor<?x128xf32>
  %u = tern.slice %v dim 1 from 0 length 64 : tensor<?x128xf32> -> tensor<?x64xf32>
  return %u : tensor<?x64xf32>
}
