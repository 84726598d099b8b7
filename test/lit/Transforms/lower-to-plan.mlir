// tern-lower-to-plan: values become buffers, launches calls; units are fetched and released.
// RUN: tern-opt %s -tern-lower-to-plan=max-batch=16 -split-input-file | FileCheck %s

!kv = !tern.kv<heads = 1, head_size = 64, value_size = 64, window = 0, element = f16>
tern.weight @blk.0.norm : tensor<64xf32> from #tern.file<index = 0, offset = 0, size = 256, format = "f32">
tern.weight @blk.0.w : tensor<48x64xf32, #tern.enc<int8, group = 32, scale = f16, layout = "rows32">> from #tern.file<index = 0, offset = 0, size = 3264, format = "q8_0">
tern.weight @blk.1.norm : tensor<64xf32> from #tern.file<index = 0, offset = 0, size = 256, format = "f32">
tern.kv_cache @kv : !kv

tern.kernel @encode_0(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64xf32>) -> tensor<?x64xf32, #tern.act<group = 32, sums = 64>> {
  %n = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %q = tern.encode %n : tensor<?x64xf32> -> tensor<?x64xf32, #tern.act<group = 32, sums = 64>>
  tern.yield %q : tensor<?x64xf32, #tern.act<group = 32, sums = 64>>
}
tern.kernel @linear_0(%x: tensor<?x64xf32, #tern.act<group = 32, sums = 64>> {tern.dim = "T"}, %w: tensor<48x64xf32, #tern.enc<int8, group = 32, scale = f16, layout = "rows32">>) -> tensor<?x48xf32> {
  %y = tern.linear %x, %w : tensor<?x64xf32, #tern.act<group = 32, sums = 64>>, tensor<48x64xf32, #tern.enc<int8, group = 32, scale = f16, layout = "rows32">> -> tensor<?x48xf32>
  tern.yield %y : tensor<?x48xf32>
}
tern.kernel @norm_0(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64xf32>) -> tensor<?x64xf32> {
  %n = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  tern.yield %n : tensor<?x64xf32>
}
tern.kernel @kv_store_0(%c: !kv, %k: tensor<?x64xf32> {tern.dim = "T"}, %p: tensor<?xi32> {tern.dim = "T"}) -> !kv {
  %d = tern.kv_store %c, %k, %k, %p, %p : !kv, tensor<?x64xf32>, tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  tern.yield %d : !kv
}

// CHECK-LABEL: plan.program @forward target "x86_64-avx2" batch 16 wanted 8
// CHECK-DAG: %[[X:.*]] = plan.buffer "input.0" input[0] : <0, 256, 0>
// CHECK-DAG: %[[P:.*]] = plan.buffer "input.1" input[1] : <0, 4, 0>
// CHECK-DAG: %[[N0:.*]] = plan.buffer "blk.0.norm" tensor @blk.0.norm : <256, 0, 0>
// CHECK-DAG: %[[W:.*]] = plan.buffer "blk.0.w" tensor @blk.0.w
// A quantized activation is three buffers: 64 codes, 2 scales, 1 sum a row.
// CHECK-DAG: %[[CODES:.*]] = plan.buffer "encode_0.0.codes" arena : <0, 64, 0>
// CHECK-DAG: %[[SCALES:.*]] = plan.buffer "encode_0.1.scales" arena : <0, 8, 0>
// CHECK-DAG: %[[SUMS:.*]] = plan.buffer "encode_0.2.sums" arena : <0, 4, 0>
// CHECK: plan.fetch "blk.0"
// CHECK-NEXT: plan.call @encode_0(%[[X]], %[[N0]], %[[CODES]], %[[SCALES]], %[[SUMS]]) access "rrwww"
// The returned value is an output, its rows padded to 32 elements.
// CHECK: %[[OUT:.*]] = plan.buffer "linear_0.{{.*}}" output[0] : <0, 256, 0>
// CHECK: plan.call @linear_0(%[[CODES]], %[[SCALES]], %[[SUMS]], %[[W]], %[[OUT]]) access "rrrrw"
// CHECK-NEXT: plan.release "blk.0"
// CHECK: plan.fetch "blk.1"
// CHECK-NEXT: plan.call @norm_0
// CHECK-NEXT: plan.release "blk.1"
// A stored cache is its operand: keys and values are read and written, the block table only read.
// CHECK: plan.call @kv_store_0({{.*}}) access "bbrrr"
func.func @forward(%x: tensor<?x64xf32> {tern.dim = "T"}, %p: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x48xf32> {
  %n0 = tern.param @blk.0.norm : tensor<64xf32>
  %w = tern.param @blk.0.w : tensor<48x64xf32, #tern.enc<int8, group = 32, scale = f16, layout = "rows32">>
  %n1 = tern.param @blk.1.norm : tensor<64xf32>
  %c = tern.cache @kv : !kv
  %q = tern.launch @encode_0(%x, %n0) : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32, #tern.act<group = 32, sums = 64>>
  %y = tern.launch @linear_0(%q, %w) : (tensor<?x64xf32, #tern.act<group = 32, sums = 64>>, tensor<48x64xf32, #tern.enc<int8, group = 32, scale = f16, layout = "rows32">>) -> tensor<?x48xf32>
  %k = tern.launch @norm_0(%x, %n1) : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32>
  %d = tern.launch @kv_store_0(%c, %k, %p) : (!kv, tensor<?x64xf32>, tensor<?xi32>) -> !kv
  return %y : tensor<?x48xf32>
}

// -----

// Rows of an embedding show only when they are looked up, so nobody waits for the whole table: a
// tied one is fetched for the output head, one that is only looked up never.
!act = tensor<?x64xf32, #tern.act<group = 32, sums = 64>>
!table = tensor<48x64xf32, #tern.enc<int8, group = 32, scale = f16, layout = "rows32">>
tern.weight @token_embd.weight : !table from #tern.file<index = 0, offset = 0, size = 3264, format = "q8_0">
tern.weight @position_embd.weight : tensor<32x64xf32> from #tern.file<index = 0, offset = 0, size = 8192, format = "f32">

tern.kernel @embed_0(%t: !table, %ids: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  %x = tern.embed %t, %ids : !table, tensor<?xi32> -> tensor<?x64xf32>
  tern.yield %x : tensor<?x64xf32>
}
tern.kernel @embed_1(%t: tensor<32x64xf32>, %ids: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  %x = tern.embed %t, %ids : tensor<32x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  tern.yield %x : tensor<?x64xf32>
}
tern.kernel @encode_0(%x: tensor<?x64xf32> {tern.dim = "T"}) -> !act {
  %q = tern.encode %x : tensor<?x64xf32> -> !act
  tern.yield %q : !act
}
tern.kernel @linear_0(%x: !act {tern.dim = "T"}, %w: !table) -> tensor<?x48xf32> {
  %y = tern.linear %x, %w : !act, !table -> tensor<?x48xf32>
  tern.yield %y : tensor<?x48xf32>
}

// CHECK-LABEL: plan.program @forward
// CHECK-NOT: plan.fetch
// CHECK: plan.call @embed_0
// CHECK-NOT: plan.fetch
// CHECK: plan.call @embed_1
// CHECK-NOT: plan.fetch
// CHECK: plan.call @encode_0
// CHECK: plan.fetch "token_embd.weight"
// CHECK-NEXT: plan.call @linear_0
// CHECK-NEXT: plan.release "token_embd.weight"
func.func @forward(%ids: tensor<?xi32> {tern.dim = "T"}) -> (tensor<?x48xf32>, tensor<?x64xf32>) {
  %t = tern.param @token_embd.weight : !table
  %p = tern.param @position_embd.weight : tensor<32x64xf32>
  %x = tern.launch @embed_0(%t, %ids) : (!table, tensor<?xi32>) -> tensor<?x64xf32>
  %z = tern.launch @embed_1(%p, %ids) : (tensor<32x64xf32>, tensor<?xi32>) -> tensor<?x64xf32>
  %q = tern.launch @encode_0(%x) : (tensor<?x64xf32>) -> !act
  %y = tern.launch @linear_0(%q, %t) : (!act, !table) -> tensor<?x48xf32>
  return %y, %z : tensor<?x48xf32>, tensor<?x64xf32>
}
