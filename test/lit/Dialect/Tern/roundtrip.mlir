// Every op, attribute and type: parsed, printed, parsed again, and the same.
// RUN: tern-opt %s | tern-opt | FileCheck %s
// RUN: tern-opt %s -mlir-print-op-generic | tern-opt | FileCheck %s

// CHECK: tern.weight @f32 : tensor<64x64xf32, #tern.enc<f32>> from #tern.file<index = 0, offset = 0, size = 16384, format = "f32">
tern.weight @f32 : tensor<64x64xf32, #tern.enc<f32>> from #tern.file<index = 0, offset = 0, size = 16384, format = "f32">
// CHECK: tern.weight @f16 : tensor<64x64xf32, #tern.enc<f16>>
tern.weight @f16 : tensor<64x64xf32, #tern.enc<f16>> from #tern.file<index = 1, offset = 32, size = 8192, format = "f16">
// CHECK: tern.weight @bf16 : tensor<64x64xf32, #tern.enc<bf16>>
tern.weight @bf16 : tensor<64x64xf32, #tern.enc<bf16>> from #tern.file<index = 0, offset = 0, size = 8192, format = "bf16">
// CHECK: tern.weight @ternary : tensor<64x256xf32, #tern.enc<ternary, group = 256, scale = f16>>
tern.weight @ternary : tensor<64x256xf32, #tern.enc<ternary, group = 256, scale = f16>> from #tern.file<index = 0, offset = 0, size = 4224, format = "tq2_0">
// CHECK: tern.weight @base3 : tensor<64x256xf32, #tern.enc<ternary-b3, group = 256, scale = f16>>
tern.weight @base3 : tensor<64x256xf32, #tern.enc<ternary-b3, group = 256, scale = f16>> from #tern.file<index = 0, offset = 0, size = 3456, format = "tq1_0">
// CHECK: tern.weight @minimum : tensor<64x256xf32, #tern.enc<uint4, group = 32, scale = f16, min>>
tern.weight @minimum : tensor<64x256xf32, #tern.enc<uint4, group = 32, scale = f16, min>> from #tern.file<index = 0, offset = 0, size = 10240, format = "q4_1">
// CHECK: tern.weight @super : tensor<64x256xf32, #tern.enc<uint4, group = 32, scale = u6, min, super = 256, super_scale = f16>>
tern.weight @super : tensor<64x256xf32, #tern.enc<uint4, group = 32, scale = u6, min, super = 256, super_scale = f16>> from #tern.file<index = 0, offset = 0, size = 9216, format = "q4_k">
// CHECK: tern.weight @book : tensor<64x256xf32, #tern.enc<e2m1, group = 32, scale = e8m0>>
tern.weight @book : tensor<64x256xf32, #tern.enc<e2m1, group = 32, scale = e8m0>> from #tern.file<index = 0, offset = 0, size = 8704, format = "mxfp4">
// CHECK: tern.weight @quaternary : tensor<64x256xf32, #tern.enc<quaternary, group = 256, scale = f16>>
tern.weight @quaternary : tensor<64x256xf32, #tern.enc<quaternary, group = 256, scale = f16>> from #tern.file<index = 0, offset = 0, size = 4224, format = "tq2_0">
// CHECK: tern.weight @int4 : tensor<64x64xf32, #tern.enc<int4, group = 32, scale = f16, layout = "rows32">>
tern.weight @int4 : tensor<64x64xf32, #tern.enc<int4, group = 32, scale = f16, layout = "rows32">> from #tern.file<index = 0, offset = 0, size = 2304, format = "q4_0">
// CHECK: tern.weight @int8 : tensor<64x64xf32, #tern.enc<int8, group = 32, scale = f32>>
tern.weight @int8 : tensor<64x64xf32, #tern.enc<int8, group = 32, scale = f32>> from #tern.file<index = 0, offset = 0, size = 4352, format = "q8_0">
// CHECK: tern.weight @table : tensor<257x8x2xf32> from #tern.rope_table<positions = 256, magnitude = 1.500000e+00 : f64, frequencies = [1.000000e+00, 5.000000e-01, 2.500000e-01, 1.250000e-01, 1.000000e+00, 5.000000e-01, 2.500000e-01, 1.250000e-01]>
tern.weight @table : tensor<257x8x2xf32> from #tern.rope_table<positions = 256, magnitude = 1.5 : f64, frequencies = [1.0, 0.5, 0.25, 0.125, 1.0, 0.5, 0.25, 0.125]>
// CHECK: tern.weight @both : tensor<128x64xf32, #tern.enc<f16>> from #tern.parts<concat, [@f16, @f16]>
tern.weight @both : tensor<128x64xf32, #tern.enc<f16>> from #tern.parts<concat, [@f16, @f16]>
// CHECK: tern.weight @pair : tensor<2x64x64xf32, #tern.enc<f16>> from #tern.parts<stack, [@f16, @f16]>
tern.weight @pair : tensor<2x64x64xf32, #tern.enc<f16>> from #tern.parts<stack, [@f16, @f16]>
// CHECK: tern.weight @norm : tensor<64xf32>
tern.weight @norm : tensor<64xf32> from #tern.file<index = 0, offset = 0, size = 256, format = "f32">
// CHECK: tern.kv_cache @codes : !tern.kv<heads = 2, head_size = 16, value_size = 32, window = 0, element = i8>
tern.kv_cache @codes : !tern.kv<heads = 2, head_size = 16, value_size = 32, window = 0, element = i8>
// CHECK: tern.kv_cache @kv : !tern.kv<heads = 2, head_size = 16, value_size = 32, window = 512, element = f16>
tern.kv_cache @kv : !tern.kv<heads = 2, head_size = 16, value_size = 32, window = 512, element = f16>

// CHECK-LABEL: func.func @named_ops
func.func @named_ops(%tokens: tensor<?xi32> {tern.dim = "T"}, %positions: tensor<?xi32> {tern.dim = "T"},
                     %slots: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x128xf32> {
  // CHECK: %[[F16:.*]] = tern.param @f16 : tensor<64x64xf32, #tern.enc<f16>>
  %f16 = tern.param @f16 : tensor<64x64xf32, #tern.enc<f16>>
  %int4 = tern.param @int4 : tensor<64x64xf32, #tern.enc<int4, group = 32, scale = f16, layout = "rows32">>
  %pair = tern.param @pair : tensor<2x64x64xf32, #tern.enc<f16>>
  %norm = tern.param @norm : tensor<64xf32>
  %table = tern.param @table : tensor<257x8x2xf32>
  // CHECK: %[[X:.*]] = tern.embed %[[F16]], %{{.*}} : tensor<64x64xf32, #tern.enc<f16>>, tensor<?xi32> -> tensor<?x64xf32>
  %x = tern.embed %f16, %tokens : tensor<64x64xf32, #tern.enc<f16>>, tensor<?xi32> -> tensor<?x64xf32>
  // CHECK: tern.embed {{.*}} {scale = 8.000000e+00 : f32}
  %scaled = tern.embed %f16, %tokens {scale = 8.0 : f32} : tensor<64x64xf32, #tern.enc<f16>>, tensor<?xi32> -> tensor<?x64xf32>
  // CHECK: tern.rms_norm %[[X]], %{{.*}} {epsilon = 9.99999974E-6 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %n = tern.rms_norm %x, %norm {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  // CHECK: tern.rms_norm %[[X]], %{{.*}} {epsilon = 9.99999974E-6 : f32, group = 16 : i64} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %heads = tern.rms_norm %x, %norm {epsilon = 1.0e-5 : f32, group = 16 : i64} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  // CHECK: tern.layer_norm %[[X]], %{{.*}} bias %{{.*}} {epsilon = 9.99999974E-6 : f32} : tensor<?x64xf32>, tensor<64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %layer = tern.layer_norm %x, %norm bias %norm {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  // CHECK: tern.layer_norm %[[X]], %{{.*}} {epsilon = 9.99999974E-6 : f32, group = 16 : i64} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %layerHeads = tern.layer_norm %x, %norm {epsilon = 1.0e-5 : f32, group = 16 : i64} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  // CHECK: %[[Q:.*]] = tern.encode {{.*}} -> tensor<?x64xf32, #tern.act<group = 32, sums = 32>>
  %q = tern.encode %n : tensor<?x64xf32> -> tensor<?x64xf32, #tern.act<group = 32, sums = 32>>
  // CHECK: tern.encode {{.*}} -> tensor<?x64xf32, #tern.act<group = row>>
  %r = tern.encode %n : tensor<?x64xf32> -> tensor<?x64xf32, #tern.act<group = row>>
  // CHECK: tern.linear %[[Q]], %{{.*}} bias %{{.*}} : tensor<?x64xf32, #tern.act<group = 32, sums = 32>>, tensor<64x64xf32, #tern.enc<int4, group = 32, scale = f16, layout = "rows32">>, tensor<64xf32> -> tensor<?x64xf32>
  %y = tern.linear %q, %int4 bias %norm : tensor<?x64xf32, #tern.act<group = 32, sums = 32>>, tensor<64x64xf32, #tern.enc<int4, group = 32, scale = f16, layout = "rows32">>, tensor<64xf32> -> tensor<?x64xf32>
  // CHECK: tern.linear {{.*}} -> tensor<?x2x64xf32>
  %two = tern.linear %n, %pair : tensor<?x64xf32>, tensor<2x64x64xf32, #tern.enc<f16>> -> tensor<?x2x64xf32>
  // CHECK: tern.rope {{.*}} {adjacent, head_size = 16 : i32} : tensor<?x64xf32>, tensor<?xi32>, tensor<257x8x2xf32> -> tensor<?x64xf32>
  %qr = tern.rope %y, %positions, %table {head_size = 16 : i32, adjacent} : tensor<?x64xf32>, tensor<?xi32>, tensor<257x8x2xf32> -> tensor<?x64xf32>
  // CHECK: tern.rope {{.*}} {head_size = 32 : i32}
  %kr = tern.rope %y, %positions, %table {head_size = 32 : i32} : tensor<?x64xf32>, tensor<?xi32>, tensor<257x8x2xf32> -> tensor<?x64xf32>
  // CHECK: tern.slice %{{.*}} dim 1 from 32 length 32 : tensor<?x64xf32> -> tensor<?x32xf32>
  %k = tern.slice %kr dim 1 from 32 length 32 : tensor<?x64xf32> -> tensor<?x32xf32>
  // CHECK: %[[C0:.*]] = tern.cache @kv : <heads = 2, head_size = 16, value_size = 32, window = 512, element = f16>
  %c0 = tern.cache @kv : !tern.kv<heads = 2, head_size = 16, value_size = 32, window = 512, element = f16>
  // CHECK: %[[C1:.*]] = tern.kv_store %[[C0]], %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : <heads = 2, head_size = 16, value_size = 32, window = 512, element = f16>, tensor<?x32xf32>, tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  %c1 = tern.kv_store %c0, %k, %y, %positions, %slots : !tern.kv<heads = 2, head_size = 16, value_size = 32, window = 512, element = f16>, tensor<?x32xf32>, tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  // CHECK: tern.attention %{{.*}}, %[[C1]], %{{.*}}, %{{.*}} {heads = 4 : i32, scale = 2.500000e-01 : f32} : tensor<?x64xf32>, <{{.*}}>, tensor<?xi32>, tensor<?xi32> -> tensor<?x128xf32>
  %a = tern.attention %qr, %c1, %positions, %slots {heads = 4 : i32, scale = 0.25 : f32} : tensor<?x64xf32>, !tern.kv<heads = 2, head_size = 16, value_size = 32, window = 512, element = f16>, tensor<?xi32>, tensor<?xi32> -> tensor<?x128xf32>
  // CHECK: tern.attention %{{.*}} {alibi = 8.000000e+00 : f32, heads = 4 : i32, scale = 2.500000e-01 : f32, soft_cap = 5.000000e+01 : f32}
  %capped = tern.attention %qr, %c1, %positions, %slots {heads = 4 : i32, scale = 0.25 : f32, soft_cap = 50.0 : f32, alibi = 8.0 : f32} : tensor<?x64xf32>, !tern.kv<heads = 2, head_size = 16, value_size = 32, window = 512, element = f16>, tensor<?xi32>, tensor<?xi32> -> tensor<?x128xf32>
  return %a : tensor<?x128xf32>
}

// CHECK-LABEL: func.func @structured_ops
func.func @structured_ops(%x: tensor<?x2x64xf32> {tern.dim = "T"}, %s: tensor<64xf32>, %rows: tensor<?xi32> {tern.dim = "R"},
                          %image: tensor<4x16xf32>) -> tensor<?xf32> {
  // CHECK: %[[G:.*]] = tern.slice %{{.*}} dim 1 from 0 length 1 drop : tensor<?x2x64xf32> -> tensor<?x64xf32>
  %g = tern.slice %x dim 1 from 0 length 1 drop : tensor<?x2x64xf32> -> tensor<?x64xf32>
  // CHECK: %[[M:.*]] = tern.map(%[[G]], %{{.*}}) : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32> {
  // CHECK-NEXT: ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32):
  // CHECK-NEXT:   %[[P:.*]] = arith.mulf %[[A]], %[[B]] : f32
  // CHECK-NEXT:   %[[E:.*]] = math.exp %[[P]] : f32
  // CHECK-NEXT:   tern.yield %[[E]] : f32
  %m = tern.map (%g, %s) : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32, %b: f32):
    %p = arith.mulf %a, %b : f32
    %e = math.exp %p : f32
    tern.yield %e : f32
  }
  // CHECK: tern.reshape %[[M]] : tensor<?x64xf32> -> tensor<?x4x16xf32>
  %h = tern.reshape %m : tensor<?x64xf32> -> tensor<?x4x16xf32>
  // CHECK: tern.gather %{{.*}}, %{{.*}} : tensor<?x4x16xf32>, tensor<?xi32> -> tensor<?x4x16xf32>
  %t = tern.gather %h, %rows : tensor<?x4x16xf32>, tensor<?xi32> -> tensor<?x4x16xf32>
  // CHECK: tern.window %{{.*}} dim 1 size 3 {dilation = 2 : i64, pad_after = 2 : i64, pad_before = 1 : i64, stride = 2 : i64} : tensor<4x16xf32> -> tensor<4x8x3xf32>
  %w = tern.window %image dim 1 size 3 {stride = 2 : i64, dilation = 2 : i64, pad_before = 1 : i64, pad_after = 2 : i64} : tensor<4x16xf32> -> tensor<4x8x3xf32>
  // CHECK: tern.reduce %[[M]] init 0.000000e+00 : tensor<?x64xf32> -> tensor<?xf32> {
  %sum = tern.reduce %m init 0.0 : tensor<?x64xf32> -> tensor<?xf32> {
  ^bb0(%acc: f32, %v: f32):
    %n = arith.addf %acc, %v : f32
    tern.yield %n : f32
  }
  return %sum : tensor<?xf32>
}

// CHECK-LABEL: tern.kernel @linear_0(%{{.*}}: tensor<?x64xf32> {tern.dim = "T"}, %{{.*}}: tensor<64x64xf32, #tern.enc<f16, layout = "rows32">>) -> tensor<?x64xf32> {
tern.kernel @linear_0(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64x64xf32, #tern.enc<f16, layout = "rows32">>) -> tensor<?x64xf32> {
  %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16, layout = "rows32">> -> tensor<?x64xf32>
  // CHECK: tern.yield %{{.*}} : tensor<?x64xf32>
  tern.yield %y : tensor<?x64xf32>
}

// CHECK-LABEL: func.func @launch
func.func @launch(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64x64xf32, #tern.enc<f16, layout = "rows32">>) -> tensor<?x64xf32> {
  // CHECK: tern.launch @linear_0(%{{.*}}, %{{.*}}) : (tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16, layout = "rows32">>) -> tensor<?x64xf32>
  %y = tern.launch @linear_0(%x, %w) : (tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16, layout = "rows32">>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
