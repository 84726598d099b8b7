// tern-simplify: folds, merges equal ops, drops dead ops and unused symbols; keeps everything else.
// RUN: tern-opt %s -tern-simplify -split-input-file | FileCheck %s

// Symbols: a weight that only a dead op read goes, and so do the parts of a dead weight; the parts of a
// live one stay.
// CHECK-NOT: @unused
// CHECK: tern.weight @live_part
// CHECK: tern.weight @live_whole
// CHECK-NOT: tern.weight
// CHECK-NOT: tern.kv_cache
tern.weight @unused_part : tensor<64x64xf32> from #tern.file<index = 0, offset = 0, size = 16384, format = "f32">
tern.weight @unused_whole : tensor<128x64xf32> from #tern.parts<concat, [@unused_part, @unused_part]>
tern.weight @unused_by_dead_op : tensor<64x64xf32> from #tern.file<index = 0, offset = 0, size = 16384, format = "f32">
tern.weight @live_part : tensor<64x64xf32> from #tern.file<index = 0, offset = 0, size = 16384, format = "f32">
tern.weight @live_whole : tensor<128x64xf32> from #tern.parts<concat, [@live_part, @live_part]>
tern.kv_cache @unused_cache : !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
// CHECK-LABEL: func.func @symbols
func.func @symbols(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x128xf32> {
  %dead = tern.param @unused_by_dead_op : tensor<64x64xf32>
  %y = tern.linear %x, %dead : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  %w = tern.param @live_whole : tensor<128x64xf32>
  %z = tern.linear %x, %w : tensor<?x64xf32>, tensor<128x64xf32> -> tensor<?x128xf32>
  return %z : tensor<?x128xf32>
}

// -----
// Equal norms are computed once; norms that differ in epsilon are not equal.
// CHECK-LABEL: func.func @equal_ops
// CHECK: %[[N:.*]] = tern.rms_norm {{.*}} {epsilon = 9.99999974E-6 : f32}
// CHECK: %[[M:.*]] = tern.rms_norm {{.*}} {epsilon = 9.99999997E-7 : f32}
// CHECK-NOT: tern.rms_norm
// CHECK: return %[[N]], %[[N]], %[[M]]
func.func @equal_ops(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>) {
  %a = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %b = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %c = tern.rms_norm %x, %w {epsilon = 1.0e-6 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  return %a, %b, %c : tensor<?x64xf32>, tensor<?x64xf32>, tensor<?x64xf32>
}

// -----
// Views: the slice of everything, a reshape to the same type, a reshape of a reshape.
// CHECK-LABEL: func.func @views
// CHECK-SAME: %[[X:.*]]: tensor<?x64xf32>
// CHECK-NEXT: %[[HALF:.*]] = tern.slice %[[X]] dim 1 from 0 length 32
// CHECK-NEXT: %[[R:.*]] = tern.reshape %[[X]] : tensor<?x64xf32> -> tensor<?x8x8xf32>
// CHECK-NEXT: return %[[X]], %[[HALF]], %[[X]], %[[R]]
func.func @views(%x: tensor<?x64xf32> {tern.dim = "T"}) -> (tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x64xf32>, tensor<?x8x8xf32>) {
  %all = tern.slice %x dim 1 from 0 length 64 : tensor<?x64xf32> -> tensor<?x64xf32>
  %half = tern.slice %x dim 1 from 0 length 32 : tensor<?x64xf32> -> tensor<?x32xf32>
  %four = tern.reshape %x : tensor<?x64xf32> -> tensor<?x4x16xf32>
  %back = tern.reshape %four : tensor<?x4x16xf32> -> tensor<?x64xf32>
  %eight = tern.reshape %four : tensor<?x4x16xf32> -> tensor<?x8x8xf32>
  return %all, %half, %back, %eight : tensor<?x64xf32>, tensor<?x32xf32>, tensor<?x64xf32>, tensor<?x8x8xf32>
}

// -----
// A map that yields its input is that input, unless it broadcasts.
// CHECK-LABEL: func.func @identity_map
// CHECK-SAME: %[[X:.*]]: tensor<?x64xf32>{{.*}}, %[[S:.*]]: tensor<64xf32>
// CHECK-NEXT: %[[B:.*]] = tern.map(%[[X]], %[[S]])
// CHECK: return %[[X]], %[[B]]
func.func @identity_map(%x: tensor<?x64xf32> {tern.dim = "T"}, %s: tensor<64xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %same = tern.map (%x, %s) : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32, %b: f32):
    tern.yield %a : f32
  }
  %broadcast = tern.map (%x, %s) : (tensor<?x64xf32>, tensor<64xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32, %b: f32):
    tern.yield %b : f32
  }
  return %same, %broadcast : tensor<?x64xf32>, tensor<?x64xf32>
}

// -----
// Constants inside a body stay inside.
// CHECK-LABEL: func.func @constant_in_body
// CHECK-NEXT: tern.map
// CHECK-NEXT: ^bb0
// CHECK-NEXT:   arith.constant 5.000000e-01 : f32
func.func @constant_in_body(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  %y = tern.map (%x) : (tensor<?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32):
    %quarter = arith.constant 0.25 : f32
    %half = arith.addf %quarter, %quarter : f32
    %p = arith.mulf %a, %half : f32
    tern.yield %p : f32
  }
  return %y : tensor<?x64xf32>
}

// -----
// A store into a cache is kept although nobody reads its result.
// CHECK-LABEL: func.func @store
// CHECK: tern.kv_store
!kv = !tern.kv<heads = 1, head_size = 16, value_size = 16, window = 0, element = f16>
tern.kv_cache @kv : !kv
func.func @store(%k: tensor<?x16xf32> {tern.dim = "T"}, %p: tensor<?xi32> {tern.dim = "T"}) {
  %c = tern.cache @kv : !kv
  %d = tern.kv_store %c, %k, %k, %p, %p : !kv, tensor<?x16xf32>, tensor<?x16xf32>, tensor<?xi32>, tensor<?xi32>
  return
}
