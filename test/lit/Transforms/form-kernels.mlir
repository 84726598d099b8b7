// tern-form-kernels: which ops run together, which do not, and that equal kernels are made once.
// RUN: tern-opt %s -tern-form-kernels -split-input-file | FileCheck %s
// Kernels are printed after the functions that launch them.

// A norm takes the gather before it and the encode after it.
// CHECK-LABEL: func.func @norm
// CHECK-NEXT: %[[Q:.*]] = tern.launch @gather_rms_norm_encode_0(
// CHECK-NEXT: return %[[Q]]
// CHECK: tern.kernel @gather_rms_norm_encode_0(%{{.*}}: tensor<?x64xf32> {tern.dim = "T"}, %{{.*}}: tensor<?xi32> {tern.dim = "R"}, %{{.*}}: tensor<64xf32>) -> tensor<?x64xf32, #tern.act<group = 32>> {
// CHECK-NEXT: tern.gather
// CHECK-NEXT: tern.rms_norm
// CHECK-NEXT: tern.encode
// CHECK-NEXT: tern.yield
func.func @norm(%x: tensor<?x64xf32> {tern.dim = "T"}, %rows: tensor<?xi32> {tern.dim = "R"}, %w: tensor<64xf32>) -> tensor<?x64xf32, #tern.act<group = 32>> {
  %g = tern.gather %x, %rows : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %n = tern.rms_norm %g, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %q = tern.encode %n : tensor<?x64xf32> -> tensor<?x64xf32, #tern.act<group = 32>>
  return %q : tensor<?x64xf32, #tern.act<group = 32>>
}

// -----
// A norm whose float result is returned too gives both.
// CHECK-LABEL: func.func @norm_returned
// CHECK: %[[N:.*]]:2 = tern.launch @rms_norm_encode_0
// CHECK: return %[[N]]#0, %[[N]]#1
func.func @norm_returned(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32, #tern.act<group = 32>>) {
  %n = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %q = tern.encode %n : tensor<?x64xf32> -> tensor<?x64xf32, #tern.act<group = 32>>
  return %n, %q : tensor<?x64xf32>, tensor<?x64xf32, #tern.act<group = 32>>
}

// -----
// A norm whose float result is read elsewhere keeps the encode apart.
// CHECK-LABEL: func.func @norm_read_twice
// CHECK: %[[N:.*]] = tern.launch @rms_norm_0
// CHECK: %[[Q:.*]] = tern.launch @encode_0(%[[N]])
// CHECK: %[[L:.*]] = tern.launch @linear_0(%[[N]]
// CHECK: return %[[L]], %[[Q]]
func.func @norm_read_twice(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64xf32>, %m: tensor<64x64xf32, #tern.enc<f16, layout = "rows32">>) -> (tensor<?x64xf32>, tensor<?x64xf32, #tern.act<group = 32>>) {
  %n = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %q = tern.encode %n : tensor<?x64xf32> -> tensor<?x64xf32, #tern.act<group = 32>>
  %l = tern.linear %n, %m : tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16, layout = "rows32">> -> tensor<?x64xf32>
  return %l, %q : tensor<?x64xf32>, tensor<?x64xf32, #tern.act<group = 32>>
}

// -----
// A chain of elementwise ops is the tail of its linear op.
// CHECK-LABEL: func.func @tail
// CHECK-COUNT-1: tern.launch @linear_0
// CHECK-NEXT: return
// CHECK: tern.kernel @linear_0
// CHECK: tern.linear
// CHECK: tern.map
// CHECK: tern.map
// CHECK-NOT: tern.kernel
func.func @tail(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64x64xf32>, %r: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  %a = tern.map (%y) : (tensor<?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%l: f32):
    %s = arith.negf %l : f32
    tern.yield %s : f32
  }
  %b = tern.map (%r, %a) : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%l: f32, %m: f32):
    %s = arith.addf %l, %m : f32
    tern.yield %s : f32
  }
  return %b : tensor<?x64xf32>
}

// -----
// A linear result that is read elsewhere too keeps its elementwise op apart.
// CHECK-LABEL: func.func @linear_read_twice
// CHECK: %[[Y:.*]] = tern.launch @linear_0
// CHECK: tern.launch @map_0(%[[Y]])
func.func @linear_read_twice(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64x64xf32>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  %a = tern.map (%y) : (tensor<?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%l: f32):
    %s = arith.negf %l : f32
    tern.yield %s : f32
  }
  return %y, %a : tensor<?x64xf32>, tensor<?x64xf32>
}

// -----
// Two linear ops that meet in a map: the later one takes it, the earlier one stays alone.
// CHECK-LABEL: func.func @two_linears
// CHECK: %[[A:.*]] = tern.launch @linear_0(
// CHECK: tern.launch @linear_1(%{{.*}}, %{{.*}}, %[[A]])
// CHECK-NOT: tern.launch
func.func @two_linears(%x: tensor<?x64xf32> {tern.dim = "T"}, %v: tensor<64x64xf32>, %w: tensor<64x64xf32>) -> tensor<?x64xf32> {
  %a = tern.linear %x, %v : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  %b = tern.linear %x, %w : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  %c = tern.map (%a, %b) : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%l: f32, %m: f32):
    %s = arith.addf %l, %m : f32
    tern.yield %s : f32
  }
  return %c : tensor<?x64xf32>
}

// -----
// Layers of one structure share their kernels; another epsilon is another kernel.
// CHECK-LABEL: func.func @shared
// CHECK: tern.launch @rms_norm_0
// CHECK: tern.launch @rms_norm_0
// CHECK: tern.launch @rms_norm_1
// CHECK-DAG: tern.kernel @rms_norm_0
// CHECK-DAG: tern.kernel @rms_norm_1
// CHECK-NOT: tern.kernel @rms_norm_2
func.func @shared(%x: tensor<?x64xf32> {tern.dim = "T"}, %v: tensor<64xf32>, %w: tensor<64xf32>) -> tensor<?x64xf32> {
  %a = tern.rms_norm %x, %v {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %b = tern.rms_norm %a, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %c = tern.rms_norm %b, %w {epsilon = 1.0e-6 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  return %c : tensor<?x64xf32>
}

// -----
// The same op over rows of T and over rows of R is two kernels.
// CHECK-DAG: tern.kernel @encode_0(%{{.*}}: tensor<?x64xf32> {tern.dim = "T"})
// CHECK-DAG: tern.kernel @encode_1(%{{.*}}: tensor<?x64xf32> {tern.dim = "R"})
func.func @rows(%x: tensor<?x64xf32> {tern.dim = "T"}, %y: tensor<?x64xf32> {tern.dim = "R"}) -> (tensor<?x64xf32, #tern.act<group = 32>>, tensor<?x64xf32, #tern.act<group = 32>>) {
  %a = tern.encode %x : tensor<?x64xf32> -> tensor<?x64xf32, #tern.act<group = 32>>
  %b = tern.encode %y : tensor<?x64xf32> -> tensor<?x64xf32, #tern.act<group = 32>>
  return %a, %b : tensor<?x64xf32, #tern.act<group = 32>>, tensor<?x64xf32, #tern.act<group = 32>>
}

// -----
// The views of a wide linear result are copied to their readers; the wide result crosses once. Both
// rotations run with the store of the keys.
// CHECK-LABEL: func.func @attention
// CHECK: %[[ALL:.*]] = tern.launch @linear_0
// CHECK: %[[STORED:.*]]:2 = tern.launch @rope_kv_store_0(%[[ALL]],
// CHECK: tern.launch @attention_0(%[[STORED]]#0, %[[STORED]]#1,
// CHECK: tern.kernel @rope_kv_store_0
// CHECK-DAG: tern.slice %{{.*}} dim 1 from 0 length 32
// CHECK-DAG: tern.slice %{{.*}} dim 1 from 32 length 32
// CHECK-DAG: tern.slice %{{.*}} dim 1 from 64 length 32
// CHECK: tern.yield %{{.*}}, %{{.*}} : tensor<?x32xf32>, !tern.kv
!kv = !tern.kv<heads = 1, head_size = 32, value_size = 32, window = 0, element = f16>
tern.kv_cache @kv : !kv
func.func @attention(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<96x64xf32>, %p: tensor<?xi32> {tern.dim = "T"}, %s: tensor<?xi32> {tern.dim = "T"}, %table: tensor<257x16x2xf32>) -> tensor<?x32xf32> {
  %all = tern.linear %x, %w : tensor<?x64xf32>, tensor<96x64xf32> -> tensor<?x96xf32>
  %q = tern.slice %all dim 1 from 0 length 32 : tensor<?x96xf32> -> tensor<?x32xf32>
  %k = tern.slice %all dim 1 from 32 length 32 : tensor<?x96xf32> -> tensor<?x32xf32>
  %v = tern.slice %all dim 1 from 64 length 32 : tensor<?x96xf32> -> tensor<?x32xf32>
  %qr = tern.rope %q, %p, %table {head_size = 32 : i32} : tensor<?x32xf32>, tensor<?xi32>, tensor<257x16x2xf32> -> tensor<?x32xf32>
  %kr = tern.rope %k, %p, %table {head_size = 32 : i32} : tensor<?x32xf32>, tensor<?xi32>, tensor<257x16x2xf32> -> tensor<?x32xf32>
  %c = tern.cache @kv : !kv
  %d = tern.kv_store %c, %kr, %v, %p, %s : !kv, tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  %a = tern.attention %qr, %d, %p, %s {heads = 1 : i32, scale = 0.25 : f32} : tensor<?x32xf32>, !kv, tensor<?xi32>, tensor<?xi32> -> tensor<?x32xf32>
  return %a : tensor<?x32xf32>
}

// -----
// Norms of query and key run with the store as well; what follows a norm element by element, with it.
// CHECK-LABEL: func.func @norms
// CHECK: %[[ALL:.*]] = tern.launch @linear_0
// CHECK: %[[STORED:.*]]:2 = tern.launch @rms_norm_rope_kv_store_0(%[[ALL]],
// CHECK: %[[MIXED:.*]] = tern.launch @attention_0(%[[STORED]]#0, %[[STORED]]#1,
// CHECK: %[[SUM:.*]] = tern.launch @rms_norm_0(%[[MIXED]],
// CHECK: return %[[SUM]]
// CHECK: tern.kernel @rms_norm_0
// CHECK: tern.rms_norm
// CHECK: tern.map
!kv = !tern.kv<heads = 1, head_size = 32, value_size = 32, window = 0, element = f16>
tern.kv_cache @kv : !kv
func.func @norms(%x: tensor<?x32xf32> {tern.dim = "T"}, %w: tensor<96x32xf32>, %n: tensor<32xf32>, %p: tensor<?xi32> {tern.dim = "T"}, %s: tensor<?xi32> {tern.dim = "T"}, %table: tensor<257x16x2xf32>) -> tensor<?x32xf32> {
  %all = tern.linear %x, %w : tensor<?x32xf32>, tensor<96x32xf32> -> tensor<?x96xf32>
  %q = tern.slice %all dim 1 from 0 length 32 : tensor<?x96xf32> -> tensor<?x32xf32>
  %k = tern.slice %all dim 1 from 32 length 32 : tensor<?x96xf32> -> tensor<?x32xf32>
  %v = tern.slice %all dim 1 from 64 length 32 : tensor<?x96xf32> -> tensor<?x32xf32>
  %qn = tern.rms_norm %q, %n {epsilon = 1.0e-5 : f32} : tensor<?x32xf32>, tensor<32xf32> -> tensor<?x32xf32>
  %kn = tern.rms_norm %k, %n {epsilon = 1.0e-5 : f32} : tensor<?x32xf32>, tensor<32xf32> -> tensor<?x32xf32>
  %qr = tern.rope %qn, %p, %table {head_size = 32 : i32} : tensor<?x32xf32>, tensor<?xi32>, tensor<257x16x2xf32> -> tensor<?x32xf32>
  %kr = tern.rope %kn, %p, %table {head_size = 32 : i32} : tensor<?x32xf32>, tensor<?xi32>, tensor<257x16x2xf32> -> tensor<?x32xf32>
  %c = tern.cache @kv : !kv
  %d = tern.kv_store %c, %kr, %v, %p, %s : !kv, tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  %a = tern.attention %qr, %d, %p, %s {heads = 1 : i32, scale = 0.25 : f32} : tensor<?x32xf32>, !kv, tensor<?xi32>, tensor<?xi32> -> tensor<?x32xf32>
  %an = tern.rms_norm %a, %n {epsilon = 1.0e-5 : f32} : tensor<?x32xf32>, tensor<32xf32> -> tensor<?x32xf32>
  %sum = tern.map (%x, %an) : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %t = arith.addf %l, %r : f32
    tern.yield %t : f32
  }
  return %sum : tensor<?x32xf32>
}

// -----
// Two parts of one appended weight that meet in a map: their rows lie in other tiles of outputs, so
// the map is a kernel of its own.
// CHECK-LABEL: func.func @appended
// CHECK: %[[BOTH:.*]] = tern.launch @linear_0
// CHECK: tern.launch @map_0(%[[BOTH]])
func.func @appended(%x: tensor<?x32xf32> {tern.dim = "T"}, %w: tensor<64x32xf32>, %b: tensor<64xf32>) -> tensor<?x32xf32> {
  %both = tern.linear %x, %w bias %b : tensor<?x32xf32>, tensor<64x32xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %g = tern.slice %both dim 1 from 0 length 32 : tensor<?x64xf32> -> tensor<?x32xf32>
  %u = tern.slice %both dim 1 from 32 length 32 : tensor<?x64xf32> -> tensor<?x32xf32>
  %m = tern.map (%g, %u) : (tensor<?x32xf32>, tensor<?x32xf32>) -> tensor<?x32xf32> {
  ^bb0(%l: f32, %r: f32):
    %t = arith.mulf %l, %r : f32
    tern.yield %t : f32
  }
  return %m : tensor<?x32xf32>
}
