// tern-quantize: encodings by policy, and one int8 copy of each x that meets integer codes.
// RUN: tern-opt %s -tern-quantize -split-input-file | FileCheck %s --check-prefix=KEEP
// RUN: tern-opt %s -tern-quantize=policy=int8 -split-input-file | FileCheck %s --check-prefix=INT8
// RUN: tern-opt %s -tern-quantize=policy=int4:g32,head*=f16 -split-input-file | FileCheck %s --check-prefix=INT4
// RUN: tern-opt %s -tern-quantize=policy=f32 -split-input-file | FileCheck %s --check-prefix=F32

// KEEP: tern.weight @head : tensor<512x256xf32, #tern.enc<f16>> from #tern.file<{{.*}}format = "f16">
// KEEP: tern.weight @ffn : tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>>
// KEEP: tern.weight @norm : tensor<256xf32>
// KEEP-LABEL: func.func @forward
// Float weights take x as it is; ternary weights get groups of 256, shared by both users.
// KEEP: %[[X:.*]] = tern.embed
// KEEP-NEXT: %[[Q:.*]] = tern.encode %[[X]] : tensor<?x256xf32> -> tensor<?x256xf32, #tern.act<group = 256, sums = 256>>
// KEEP: tern.linear %[[Q]], %{{.*}} : tensor<?x256xf32, #tern.act<group = 256, sums = 256>>, tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>> -> tensor<?x256xf32>
// KEEP: tern.linear %[[Q]],
// KEEP-NOT: tern.encode
// KEEP: tern.linear %{{.*}}, %{{.*}} : tensor<?x256xf32>, tensor<512x256xf32, #tern.enc<f16>> -> tensor<?x512xf32>

// The bytes stay where they are: only the type changes. Vectors stay f32.
// INT8: tern.weight @head : tensor<512x256xf32, #tern.enc<int8, group = 32, scale = f16>> from #tern.file<{{.*}}format = "f16">
// INT8: tern.weight @ffn : tensor<256x256xf32, #tern.enc<int8, group = 32, scale = f16>> from #tern.file<{{.*}}format = "tq2_0">
// INT8: tern.weight @norm : tensor<256xf32>
// INT8: tern.embed %{{.*}} : tensor<512x256xf32, #tern.enc<int8
// INT8: tern.encode %{{.*}} -> tensor<?x256xf32, #tern.act<group = 32, sums = 32>>

// INT4: tern.weight @head : tensor<512x256xf32, #tern.enc<f16>>
// INT4: tern.weight @ffn : tensor<256x256xf32, #tern.enc<int4, group = 32, scale = f16>>
// INT4: tern.encode %{{.*}} -> tensor<?x256xf32, #tern.act<group = 32, sums = 32>>

// F32: tern.weight @ffn : tensor<256x256xf32, #tern.enc<f32>>
// F32-NOT: tern.encode
tern.weight @head : tensor<512x256xf32, #tern.enc<f16>> from #tern.file<index = 0, offset = 0, size = 262144, format = "f16">
tern.weight @ffn : tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>> from #tern.file<index = 0, offset = 0, size = 16896, format = "tq2_0">
tern.weight @norm : tensor<256xf32> from #tern.file<index = 0, offset = 0, size = 1024, format = "f32">
func.func @forward(%tokens: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x512xf32> {
  %head = tern.param @head : tensor<512x256xf32, #tern.enc<f16>>
  %ffn = tern.param @ffn : tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>>
  %norm = tern.param @norm : tensor<256xf32>
  %x = tern.embed %head, %tokens : tensor<512x256xf32, #tern.enc<f16>>, tensor<?xi32> -> tensor<?x256xf32>
  %a = tern.linear %x, %ffn : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>> -> tensor<?x256xf32>
  %b = tern.linear %x, %ffn bias %norm : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>>, tensor<256xf32> -> tensor<?x256xf32>
  %c = tern.map (%a, %b) : (tensor<?x256xf32>, tensor<?x256xf32>) -> tensor<?x256xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    tern.yield %s : f32
  }
  %y = tern.linear %c, %head : tensor<?x256xf32>, tensor<512x256xf32, #tern.enc<f16>> -> tensor<?x512xf32>
  return %y : tensor<?x512xf32>
}

// -----
// A model trained with one scale per token gets one for its ternary weights, and only for them.
// KEEP-LABEL: func.func @per_token
// KEEP-DAG: tern.encode %{{.*}} -> tensor<?x256xf32, #tern.act<group = row, sums = 256>>
// KEEP-DAG: tern.encode %{{.*}} -> tensor<?x256xf32, #tern.act<group = 32, sums = 32>>
module attributes {tern.activation_quantization = "int8-per-token"} {
  tern.weight @head : tensor<64x256xf32, #tern.enc<int8, group = 32, scale = f16>> from #tern.file<index = 0, offset = 0, size = 17408, format = "q8_0">
  tern.weight @ffn : tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>> from #tern.file<index = 0, offset = 0, size = 16896, format = "tq2_0">
  func.func @per_token(%x: tensor<?x256xf32> {tern.dim = "T"}) -> (tensor<?x256xf32>, tensor<?x64xf32>) {
    %head = tern.param @head : tensor<64x256xf32, #tern.enc<int8, group = 32, scale = f16>>
    %ffn = tern.param @ffn : tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>>
    %a = tern.linear %x, %ffn : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>> -> tensor<?x256xf32>
    %b = tern.linear %x, %head : tensor<?x256xf32>, tensor<64x256xf32, #tern.enc<int8, group = 32, scale = f16>> -> tensor<?x64xf32>
    return %a, %b : tensor<?x256xf32>, tensor<?x64xf32>
  }
}
