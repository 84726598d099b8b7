// tern-fuse: one linear op where several read the same x.
// RUN: tern-opt %s -tern-fuse -split-input-file | FileCheck %s

#t = #tern.enc<f16>

// Query, key and value are appended; biases too.
// CHECK: tern.weight @blk.0.q_k_v.weight : tensor<128x64xf32, #tern.enc<f16>> from #tern.parts<concat, [@blk.0.q.weight, @blk.0.k.weight, @blk.0.v.weight]>
// CHECK: tern.weight @blk.0.q_k_v.bias : tensor<128xf32> from #tern.parts<concat, [@blk.0.q.bias, @blk.0.k.bias, @blk.0.v.bias]>
// CHECK-LABEL: func.func @concat
// CHECK: %[[ALL:.*]] = tern.linear %{{.*}}, %{{.*}} bias %{{.*}} -> tensor<?x128xf32>
// CHECK-NEXT: %[[Q:.*]] = tern.slice %[[ALL]] dim 1 from 0 length 64
// CHECK-NEXT: %[[K:.*]] = tern.slice %[[ALL]] dim 1 from 64 length 32
// CHECK-NEXT: %[[V:.*]] = tern.slice %[[ALL]] dim 1 from 96 length 32
// CHECK-NOT: tern.linear
// CHECK: return %[[Q]], %[[K]], %[[V]]
tern.weight @blk.0.q.weight : tensor<64x64xf32, #t> from #tern.file<index = 0, offset = 0, size = 8192, format = "f16">
tern.weight @blk.0.k.weight : tensor<32x64xf32, #t> from #tern.file<index = 0, offset = 0, size = 4096, format = "f16">
tern.weight @blk.0.v.weight : tensor<32x64xf32, #t> from #tern.file<index = 0, offset = 0, size = 4096, format = "f16">
tern.weight @blk.0.q.bias : tensor<64xf32> from #tern.file<index = 0, offset = 0, size = 256, format = "f32">
tern.weight @blk.0.k.bias : tensor<32xf32> from #tern.file<index = 0, offset = 0, size = 128, format = "f32">
tern.weight @blk.0.v.bias : tensor<32xf32> from #tern.file<index = 0, offset = 0, size = 128, format = "f32">
func.func @concat(%x: tensor<?x64xf32> {tern.dim = "T"}) -> (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>) {
  %wq = tern.param @blk.0.q.weight : tensor<64x64xf32, #t>
  %wk = tern.param @blk.0.k.weight : tensor<32x64xf32, #t>
  %wv = tern.param @blk.0.v.weight : tensor<32x64xf32, #t>
  %bq = tern.param @blk.0.q.bias : tensor<64xf32>
  %bk = tern.param @blk.0.k.bias : tensor<32xf32>
  %bv = tern.param @blk.0.v.bias : tensor<32xf32>
  %q = tern.linear %x, %wq bias %bq : tensor<?x64xf32>, tensor<64x64xf32, #t>, tensor<64xf32> -> tensor<?x64xf32>
  %k = tern.linear %x, %wk bias %bk : tensor<?x64xf32>, tensor<32x64xf32, #t>, tensor<32xf32> -> tensor<?x32xf32>
  %v = tern.linear %x, %wv bias %bv : tensor<?x64xf32>, tensor<32x64xf32, #t>, tensor<32xf32> -> tensor<?x32xf32>
  return %q, %k, %v : tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x32xf32>
}

// -----
// Gate and up that only meet in one map are stacked.
// CHECK: tern.weight @gate_up : tensor<2x128x64xf32> from #tern.parts<stack, [@gate, @up]>
// CHECK-LABEL: func.func @stack
// CHECK: %[[BOTH:.*]] = tern.linear %{{.*}}, %{{.*}} : tensor<?x64xf32>, tensor<2x128x64xf32> -> tensor<?x2x128xf32>
// CHECK-NEXT: %[[G:.*]] = tern.slice %[[BOTH]] dim 1 from 0 length 1 drop
// CHECK-NEXT: %[[U:.*]] = tern.slice %[[BOTH]] dim 1 from 1 length 1 drop
// CHECK: tern.map(%[[G]], %[[U]])
tern.weight @gate : tensor<128x64xf32> from #tern.file<index = 0, offset = 0, size = 32768, format = "f32">
tern.weight @up : tensor<128x64xf32> from #tern.file<index = 0, offset = 0, size = 32768, format = "f32">
func.func @stack(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x128xf32> {
  %wg = tern.param @gate : tensor<128x64xf32>
  %wu = tern.param @up : tensor<128x64xf32>
  %g = tern.linear %x, %wg : tensor<?x64xf32>, tensor<128x64xf32> -> tensor<?x128xf32>
  %u = tern.linear %x, %wu : tensor<?x64xf32>, tensor<128x64xf32> -> tensor<?x128xf32>
  %p = tern.map (%g, %u) : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32> {
  ^bb0(%a: f32, %b: f32):
    %m = arith.mulf %a, %b : f32
    tern.yield %m : f32
  }
  return %p : tensor<?x128xf32>
}

// -----
// A gate that is read elsewhere too is appended, not stacked.
// CHECK: tern.weight @gate_up : tensor<256x64xf32> from #tern.parts<concat, [@gate, @up]>
tern.weight @gate : tensor<128x64xf32> from #tern.file<index = 0, offset = 0, size = 32768, format = "f32">
tern.weight @up : tensor<128x64xf32> from #tern.file<index = 0, offset = 0, size = 32768, format = "f32">
func.func @gate_read_twice(%x: tensor<?x64xf32> {tern.dim = "T"}) -> (tensor<?x128xf32>, tensor<?x128xf32>) {
  %wg = tern.param @gate : tensor<128x64xf32>
  %wu = tern.param @up : tensor<128x64xf32>
  %g = tern.linear %x, %wg : tensor<?x64xf32>, tensor<128x64xf32> -> tensor<?x128xf32>
  %u = tern.linear %x, %wu : tensor<?x64xf32>, tensor<128x64xf32> -> tensor<?x128xf32>
  %p = tern.map (%g, %u) : (tensor<?x128xf32>, tensor<?x128xf32>) -> tensor<?x128xf32> {
  ^bb0(%a: f32, %b: f32):
    %m = arith.mulf %a, %b : f32
    tern.yield %m : f32
  }
  return %p, %g : tensor<?x128xf32>, tensor<?x128xf32>
}

// -----
// Weights of different encodings stay apart; those that agree are joined around the odd one.
// CHECK: tern.weight @q_v : tensor<128x64xf32, #tern.enc<f16>> from #tern.parts<concat, [@q, @v]>
// CHECK-LABEL: func.func @mixed_encodings
// CHECK-DAG: tern.linear %{{.*}} tensor<128x64xf32, #tern.enc<f16>> -> tensor<?x128xf32>
// CHECK-DAG: tern.linear %{{.*}} tensor<64x64xf32, #tern.enc<bf16>> -> tensor<?x64xf32>
tern.weight @q : tensor<64x64xf32, #tern.enc<f16>> from #tern.file<index = 0, offset = 0, size = 8192, format = "f16">
tern.weight @k : tensor<64x64xf32, #tern.enc<bf16>> from #tern.file<index = 0, offset = 0, size = 8192, format = "bf16">
tern.weight @v : tensor<64x64xf32, #tern.enc<f16>> from #tern.file<index = 0, offset = 0, size = 8192, format = "f16">
func.func @mixed_encodings(%x: tensor<?x64xf32> {tern.dim = "T"}) -> (tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>) {
  %wq = tern.param @q : tensor<64x64xf32, #tern.enc<f16>>
  %wk = tern.param @k : tensor<64x64xf32, #tern.enc<bf16>>
  %wv = tern.param @v : tensor<64x64xf32, #tern.enc<f16>>
  %q = tern.linear %x, %wq : tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16>> -> tensor<?x64xf32>
  %k = tern.linear %x, %wk : tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<bf16>> -> tensor<?x64xf32>
  %v = tern.linear %x, %wv : tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16>> -> tensor<?x64xf32>
  return %q, %k, %v : tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>
}

// -----
// A linear op with a bias and one without are not joined, nor are ops with different x.
// CHECK-LABEL: func.func @left_alone
// CHECK-COUNT-3: tern.linear {{.*}} -> tensor<?x64xf32>
// CHECK-NOT: tern.linear
tern.weight @a : tensor<64x64xf32> from #tern.file<index = 0, offset = 0, size = 16384, format = "f32">
tern.weight @b : tensor<64x64xf32> from #tern.file<index = 0, offset = 0, size = 16384, format = "f32">
tern.weight @bias : tensor<64xf32> from #tern.file<index = 0, offset = 0, size = 256, format = "f32">
func.func @left_alone(%x: tensor<?x64xf32> {tern.dim = "T"}) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %wa = tern.param @a : tensor<64x64xf32>
  %wb = tern.param @b : tensor<64x64xf32>
  %bias = tern.param @bias : tensor<64xf32>
  %y = tern.linear %x, %wa bias %bias : tensor<?x64xf32>, tensor<64x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %z = tern.linear %x, %wb : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  %u = tern.linear %z, %wb : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  return %y, %u : tensor<?x64xf32>, tensor<?x64xf32>
}

// -----
// Names that share a prefix and a suffix which overlap.
// CHECK: tern.weight @blk.0.w_x.w : tensor<128x64xf32> from #tern.parts<concat, [@blk.0.w, @blk.0.x.w]>
tern.weight @blk.0.w : tensor<64x64xf32> from #tern.file<index = 0, offset = 0, size = 16384, format = "f32">
tern.weight @blk.0.x.w : tensor<64x64xf32> from #tern.file<index = 0, offset = 0, size = 16384, format = "f32">
func.func @names(%x: tensor<?x64xf32> {tern.dim = "T"}) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %wa = tern.param @blk.0.w : tensor<64x64xf32>
  %wb = tern.param @blk.0.x.w : tensor<64x64xf32>
  %y = tern.linear %x, %wa : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  %z = tern.linear %x, %wb : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  return %y, %z : tensor<?x64xf32>, tensor<?x64xf32>
}
