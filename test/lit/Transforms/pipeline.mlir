// The whole way from an imported one-layer model to a plan.
// RUN: tern-opt %s -tern-quantize-pipeline | FileCheck %s --check-prefix=QUANT
// RUN: tern-opt %s -tern-quantize-pipeline -tern-fuse-pipeline | FileCheck %s --check-prefix=FUSED
// RUN: tern-opt %s -tern-pipeline | FileCheck %s --check-prefix=PLAN

!kv = !tern.kv<heads = 2, head_size = 64, value_size = 64, window = 0, element = f16>
#t = #tern.enc<ternary, group = 256, scale = f16>

// One encode serves query, key and value.
// QUANT-COUNT-4: tern.encode
// QUANT-NOT: tern.encode

// FUSED: tern.weight @blk.0.attn_q_attn_k_attn_v.weight : {{.*}} from #tern.parts<concat, [@blk.0.attn_q.weight, @blk.0.attn_k.weight, @blk.0.attn_v.weight]>
// FUSED: tern.weight @blk.0.ffn_gate_ffn_up.weight : tensor<2x512x256xf32, {{.*}}layout = "rows32">> from #tern.parts<stack,
// FUSED-LABEL: func.func @forward
// FUSED: tern.launch @embed_0
// FUSED: tern.launch @rms_norm_encode_0
// FUSED: tern.launch @linear_0
// FUSED: tern.launch @rope_kv_store_0
// FUSED: tern.launch @attention_0
// FUSED: tern.launch @encode_0
// FUSED: tern.launch @linear_1
// FUSED: tern.launch @rms_norm_encode_0
// FUSED: tern.launch @linear_2
// FUSED: tern.launch @encode_1
// FUSED: tern.launch @linear_3
// FUSED: tern.launch @gather_rms_norm_0
// FUSED: tern.launch @linear_4
// FUSED-NOT: tern.launch

// PLAN: plan.program @forward target "x86_64-avx2" batch 64 wanted 8
// PLAN-SAME: arena_bytes = [[BYTES:[0-9]+]] : i64
// PLAN-NOT: plan.fetch
// PLAN: plan.call @embed_0
// PLAN: plan.call @linear_4({{.*}}) access "rrw"

tern.weight @token_embd.weight : tensor<1000x256xf32, #tern.enc<f16>> from #tern.file<index = 0, offset = 0, size = 512000, format = "f16">
tern.weight @rope.table : tensor<258x32x2xf32> from #tern.rope_table<positions = 512, magnitude = 1.0 : f64, frequencies = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]>
tern.weight @blk.0.attn_norm.weight : tensor<256xf32> from #tern.file<index = 0, offset = 0, size = 1024, format = "f32">
tern.weight @blk.0.attn_q.weight : tensor<256x256xf32, #t> from #tern.file<index = 0, offset = 0, size = 16896, format = "tq2_0">
tern.weight @blk.0.attn_k.weight : tensor<128x256xf32, #t> from #tern.file<index = 0, offset = 0, size = 8448, format = "tq2_0">
tern.weight @blk.0.attn_v.weight : tensor<128x256xf32, #t> from #tern.file<index = 0, offset = 0, size = 8448, format = "tq2_0">
tern.weight @blk.0.attn_output.weight : tensor<256x256xf32, #t> from #tern.file<index = 0, offset = 0, size = 16896, format = "tq2_0">
tern.weight @blk.0.ffn_norm.weight : tensor<256xf32> from #tern.file<index = 0, offset = 0, size = 1024, format = "f32">
tern.weight @blk.0.ffn_gate.weight : tensor<512x256xf32, #t> from #tern.file<index = 0, offset = 0, size = 33792, format = "tq2_0">
tern.weight @blk.0.ffn_up.weight : tensor<512x256xf32, #t> from #tern.file<index = 0, offset = 0, size = 33792, format = "tq2_0">
tern.weight @blk.0.ffn_down.weight : tensor<256x512xf32, #t> from #tern.file<index = 0, offset = 0, size = 33792, format = "tq2_0">
tern.weight @output_norm.weight : tensor<256xf32> from #tern.file<index = 0, offset = 0, size = 1024, format = "f32">
tern.kv_cache @kv.0 : !kv

func.func @forward(%tokens: tensor<?xi32> {tern.dim = "T"}, %positions: tensor<?xi32> {tern.dim = "T"},
                   %slots: tensor<?xi32> {tern.dim = "T"}, %wanted: tensor<?xi32> {tern.dim = "R"}) -> tensor<?x1000xf32> {
  %embd = tern.param @token_embd.weight : tensor<1000x256xf32, #tern.enc<f16>>
  %x = tern.embed %embd, %tokens : tensor<1000x256xf32, #tern.enc<f16>>, tensor<?xi32> -> tensor<?x256xf32>
  %table = tern.param @rope.table : tensor<258x32x2xf32>
  %n0 = tern.param @blk.0.attn_norm.weight : tensor<256xf32>
  %a0 = tern.rms_norm %x, %n0 {epsilon = 1.0e-5 : f32} : tensor<?x256xf32>, tensor<256xf32> -> tensor<?x256xf32>
  %wq = tern.param @blk.0.attn_q.weight : tensor<256x256xf32, #t>
  %wk = tern.param @blk.0.attn_k.weight : tensor<128x256xf32, #t>
  %wv = tern.param @blk.0.attn_v.weight : tensor<128x256xf32, #t>
  %q = tern.linear %a0, %wq : tensor<?x256xf32>, tensor<256x256xf32, #t> -> tensor<?x256xf32>
  %k = tern.linear %a0, %wk : tensor<?x256xf32>, tensor<128x256xf32, #t> -> tensor<?x128xf32>
  %v = tern.linear %a0, %wv : tensor<?x256xf32>, tensor<128x256xf32, #t> -> tensor<?x128xf32>
  %qr = tern.rope %q, %positions, %table {head_size = 64 : i32, adjacent} : tensor<?x256xf32>, tensor<?xi32>, tensor<258x32x2xf32> -> tensor<?x256xf32>
  %kr = tern.rope %k, %positions, %table {head_size = 64 : i32, adjacent} : tensor<?x128xf32>, tensor<?xi32>, tensor<258x32x2xf32> -> tensor<?x128xf32>
  %c0 = tern.cache @kv.0 : !kv
  %c1 = tern.kv_store %c0, %kr, %v, %positions, %slots : !kv, tensor<?x128xf32>, tensor<?x128xf32>, tensor<?xi32>, tensor<?xi32>
  %a = tern.attention %qr, %c1, %positions, %slots {heads = 4 : i32, scale = 1.25e-1 : f32} : tensor<?x256xf32>, !kv, tensor<?xi32>, tensor<?xi32> -> tensor<?x256xf32>
  %wo = tern.param @blk.0.attn_output.weight : tensor<256x256xf32, #t>
  %o = tern.linear %a, %wo : tensor<?x256xf32>, tensor<256x256xf32, #t> -> tensor<?x256xf32>
  %x1 = tern.map (%x, %o) : (tensor<?x256xf32>, tensor<?x256xf32>) -> tensor<?x256xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    tern.yield %s : f32
  }
  %n1 = tern.param @blk.0.ffn_norm.weight : tensor<256xf32>
  %a1 = tern.rms_norm %x1, %n1 {epsilon = 1.0e-5 : f32} : tensor<?x256xf32>, tensor<256xf32> -> tensor<?x256xf32>
  %wg = tern.param @blk.0.ffn_gate.weight : tensor<512x256xf32, #t>
  %wu = tern.param @blk.0.ffn_up.weight : tensor<512x256xf32, #t>
  %g = tern.linear %a1, %wg : tensor<?x256xf32>, tensor<512x256xf32, #t> -> tensor<?x512xf32>
  %u = tern.linear %a1, %wu : tensor<?x256xf32>, tensor<512x256xf32, #t> -> tensor<?x512xf32>
  %h = tern.map (%g, %u) : (tensor<?x512xf32>, tensor<?x512xf32>) -> tensor<?x512xf32> {
  ^bb0(%l: f32, %r: f32):
    %one = arith.constant 1.0 : f32
    %neg = arith.negf %l : f32
    %e = math.exp %neg : f32
    %d = arith.addf %one, %e : f32
    %si = arith.divf %l, %d : f32
    %p = arith.mulf %si, %r : f32
    tern.yield %p : f32
  }
  %wd = tern.param @blk.0.ffn_down.weight : tensor<256x512xf32, #t>
  %d = tern.linear %h, %wd : tensor<?x512xf32>, tensor<256x512xf32, #t> -> tensor<?x256xf32>
  %x2 = tern.map (%x1, %d) : (tensor<?x256xf32>, tensor<?x256xf32>) -> tensor<?x256xf32> {
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    tern.yield %s : f32
  }
  %last = tern.gather %x2, %wanted : tensor<?x256xf32>, tensor<?xi32> -> tensor<?x256xf32>
  %nf = tern.param @output_norm.weight : tensor<256xf32>
  %f = tern.rms_norm %last, %nf {epsilon = 1.0e-5 : f32} : tensor<?x256xf32>, tensor<256xf32> -> tensor<?x256xf32>
  %logits = tern.linear %f, %embd : tensor<?x256xf32>, tensor<1000x256xf32, #tern.enc<f16>> -> tensor<?x1000xf32>
  return %logits : tensor<?x1000xf32>
}
