// Every plan command and memory space: parsed, printed, parsed again, and the same.
// RUN: tern-opt %s | tern-opt | FileCheck %s
// RUN: tern-opt %s -mlir-print-op-generic | tern-opt | FileCheck %s

tern.weight @w : tensor<64x64xf32, #tern.enc<f16>> from #tern.file<index = 0, offset = 0, size = 8192, format = "f16">
tern.kv_cache @kv : !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
tern.kernel @k(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  tern.yield %x : tensor<?x64xf32>
}

// CHECK-LABEL: plan.program @forward target "x86_64-avx2" batch 64 wanted 8 attributes {arena_bytes = 16384 : i64, arena_lower_bound = 16384 : i64} {
plan.program @forward target "x86_64-avx2" batch 64 wanted 8 attributes {arena_bytes = 16384 : i64, arena_lower_bound = 16384 : i64} {
  // CHECK: %[[TOKENS:.*]] = plan.buffer "tokens" input[0] : <0, 4, 0>
  %tokens = plan.buffer "tokens" input [0] : #plan.extent<0, 4, 0>
  // CHECK: %[[X:.*]] = plan.buffer "x" arena at 128 : <64, 256, 0>
  %x = plan.buffer "x" arena at 128 : #plan.extent<64, 256, 0>
  // CHECK: %[[W:.*]] = plan.buffer "w" tensor @w : <8192, 0, 0>
  %w = plan.buffer "w" tensor @w : #plan.extent<8192, 0, 0>
  // CHECK: plan.buffer "kv.key" kv_key @kv : <4096, 0, 0>
  %k = plan.buffer "kv.key" kv_key @kv : #plan.extent<4096, 0, 0>
  // CHECK: plan.buffer "kv.value" kv_value @kv : <4096, 0, 0>
  %v = plan.buffer "kv.value" kv_value @kv : #plan.extent<4096, 0, 0>
  // CHECK: plan.buffer "kv.blocks" block_table @kv.0 : <0, 0, 0>
  %b = plan.buffer "kv.blocks" block_table @kv.0 : #plan.extent<0, 0, 0>
  // CHECK: %[[OUT:.*]] = plan.buffer "logits" output[0] : <0, 0, 256>
  %out = plan.buffer "logits" output [0] : #plan.extent<0, 0, 256>
  // CHECK: plan.fetch "blk.0"
  plan.fetch "blk.0"
  // CHECK: plan.fetch_indexed ["expert.0", "expert.1"] by %[[TOKENS]]
  plan.fetch_indexed ["expert.0", "expert.1"] by %tokens
  // CHECK: plan.call @k(%[[TOKENS]], %[[W]], %[[X]]) access "rrw"
  plan.call @k(%tokens, %w, %x) access "rrw"
  // CHECK: plan.copy %[[X]] to %[[OUT]] : <0, 0, 256>
  plan.copy %x to %out : #plan.extent<0, 0, 256>
  // CHECK: plan.release "blk.0"
  plan.release "blk.0"
}
