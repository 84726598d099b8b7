// What the verifiers and parsers of the tern dialect refuse, and in which words.
// RUN: tern-opt %s -verify-diagnostics -split-input-file

// expected-error@+1 {{unknown codes 'int7'; known are f32, f16, bf16, ternary, ternary-b3, quaternary, uint2, int3, int4, uint4, int5, uint5, int6, int8, iq4nl, e2m1}}
tern.weight @w : tensor<64x64xf32, #tern.enc<int7>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{unknown scale type 'f8'}}
tern.weight @w : tensor<64x64xf32, #tern.enc<int4, group = 32, scale = f8>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{expected group, scale, min, super, super_scale or layout, got 'tile'}}
tern.weight @w : tensor<64x64xf32, #tern.enc<int4, tile = 32>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{float codes 'f16' take neither group nor scale}}
tern.weight @w : tensor<64x64xf32, #tern.enc<f16, group = 32>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{codes 'int4' need a group that is a multiple of 32, got 48}}
tern.weight @w : tensor<64x64xf32, #tern.enc<int4, group = 48, scale = f16>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{codes 'int4' need a scale type (f16 or f32)}}
tern.weight @w : tensor<64x64xf32, #tern.enc<int4, group = 32>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{scales of type 'u6' need a super-group}}
tern.weight @w : tensor<64x64xf32, #tern.enc<uint4, group = 32, scale = u6>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{scales of type 'u6' go with minimums}}
tern.weight @w : tensor<64x256xf32, #tern.enc<uint4, group = 32, scale = u6, super = 256, super_scale = f16>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{super-groups are a multiple of 256 and of eight groups, got 64}}
tern.weight @w : tensor<64x64xf32, #tern.enc<int6, group = 16, scale = i8, super = 64, super_scale = f16>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{codes 'int4' take no minimum: they have a zero point or a code book}}
tern.weight @w : tensor<64x64xf32, #tern.enc<int4, group = 32, scale = f16, min>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{'tern.weight' op needs a static shape, got 'tensor<?x64xf32>'}}
tern.weight @w : tensor<?x64xf32> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{'tern.weight' op source must be #tern.file, #tern.rope_table or #tern.parts, got "somewhere"}}
tern.weight @w : tensor<64x64xf32> from "somewhere"

// -----
// expected-error@+1 {{'tern.weight' op a rope table of 300 positions is 'tensor<258x2x2xf32>', got 'tensor<257x2x2xf32>'}}
tern.weight @w : tensor<257x2x2xf32> from #tern.rope_table<positions = 300, magnitude = 1.0 : f64, frequencies = [1.0, 0.5]>

// -----
// expected-error@+1 {{'tern.weight' op last dimension 48 is no multiple of the group size 32}}
tern.weight @w : tensor<64x48xf32, #tern.enc<int4, group = 32, scale = f16>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
// expected-error@+1 {{'tern.weight' op a scalar has no groups, got 'tensor<f32, #tern.enc<int4, group = 32, scale = f16>>'}}
tern.weight @w : tensor<f32, #tern.enc<int4, group = 32, scale = f16>> from #tern.file<index = 0, offset = 0, size = 4, format = "f32">

// -----
func.func @f() {
  // expected-error@+1 {{'tern.param' op unknown weight @w}}
  %w = tern.param @w : tensor<64xf32>
  return
}

// -----
tern.weight @w : tensor<64xf32> from #tern.file<index = 0, offset = 0, size = 256, format = "f32">
func.func @f() {
  // expected-error@+1 {{'tern.param' op type 'tensor<32xf32>' differs from the weight's 'tensor<64xf32>'}}
  %w = tern.param @w : tensor<32xf32>
  return
}

// -----
func.func @f() {
  // expected-error@+1 {{'tern.cache' op unknown cache @kv}}
  %c = tern.cache @kv : !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
  return
}

// -----
// expected-error@+1 {{element must be f16, f32 or i8, got 'bf16'}}
tern.kv_cache @kv : !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = bf16>

// -----
// expected-error@+1 {{heads, head_size and value_size must be above 0}}
tern.kv_cache @kv : !tern.kv<heads = 2, head_size = 0, value_size = 16, window = 0, element = f16>

// -----
tern.kv_cache @kv : !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
func.func @f() {
  // expected-error@+1 {{element = f32>' differs from the cache's '!tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>'}}
  %c = tern.cache @kv : !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f32>
  return
}

// -----
func.func @f(%table: tensor<64xf32>, %tokens: tensor<?xi32>) {
  // expected-error@+1 {{'tern.embed' op table must have rank 2, got 'tensor<64xf32>'}}
  %x = tern.embed %table, %tokens : tensor<64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%table: tensor<512x64xf32>, %tokens: tensor<?xi32>) {
  // expected-error@+1 {{'tern.embed' op result dimension 1 is 32, expected 64}}
  %x = tern.embed %table, %tokens : tensor<512x64xf32>, tensor<?xi32> -> tensor<?x32xf32>
  return
}

// -----
func.func @f(%table: tensor<512x64xf32>, %tokens: tensor<4xi32>) {
  // expected-error@+1 {{'tern.embed' op 'tensor<4xi32>' and 'tensor<5x64xf32>' must have the same number of rows}}
  %x = tern.embed %table, %tokens : tensor<512x64xf32>, tensor<4xi32> -> tensor<5x64xf32>
  return
}

// -----
func.func @f(%table: tensor<512x64xf32>, %tokens: tensor<?xi32>) {
  // expected-error@+1 {{'tern.embed' op result must be plain f32, got 'tensor<?x64xf16>'}}
  %x = tern.embed %table, %tokens : tensor<512x64xf32>, tensor<?xi32> -> tensor<?x64xf16>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<64xf32>) {
  // expected-error@+1 {{'tern.linear' op weight must be [N, K] or [parts, N, K], got 'tensor<64xf32>'}}
  %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x32xf32>, %w: tensor<128x64xf32>) {
  // expected-error@+1 {{'tern.linear' op x has K = 32, weight K = 64}}
  %y = tern.linear %x, %w : tensor<?x32xf32>, tensor<128x64xf32> -> tensor<?x128xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<128x64xf32>) {
  // expected-error@+1 {{'tern.linear' op result dimension 1 is 64, expected 128}}
  %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<128x64xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<2x128x64xf32>) {
  // expected-error@+1 {{'tern.linear' op result must have rank 3, got 'tensor<?x256xf32>'}}
  %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<2x128x64xf32> -> tensor<?x256xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<2x128x64xf32>, %b: tensor<128xf32>) {
  // expected-error@+1 {{'tern.linear' op a stacked weight takes no bias}}
  %y = tern.linear %x, %w bias %b : tensor<?x64xf32>, tensor<2x128x64xf32>, tensor<128xf32> -> tensor<?x2x128xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<128x64xf32>, %b: tensor<64xf32>) {
  // expected-error@+1 {{'tern.linear' op bias dimension 0 is 64, expected 128}}
  %y = tern.linear %x, %w bias %b : tensor<?x64xf32>, tensor<128x64xf32>, tensor<64xf32> -> tensor<?x128xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32, #tern.enc<f16>>, %w: tensor<128x64xf32>) {
  // expected-error@+1 {{'tern.linear' op x must be plain f32, got 'tensor<?x64xf32, #tern.enc<f16>>'}}
  %y = tern.linear %x, %w : tensor<?x64xf32, #tern.enc<f16>>, tensor<128x64xf32> -> tensor<?x128xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32, #tern.act<group = 32>>, %w: tensor<128x64xf32, #tern.enc<f16>>) {
  // expected-error@+1 {{'tern.linear' op quantized x needs an integer-coded weight, got 'tensor<128x64xf32, #tern.enc<f16>>'}}
  %y = tern.linear %x, %w : tensor<?x64xf32, #tern.act<group = 32>>, tensor<128x64xf32, #tern.enc<f16>> -> tensor<?x128xf32>
  return
}

// -----
func.func @f(%x: tensor<?x192xf32, #tern.act<group = 96>>, %w: tensor<128x192xf32, #tern.enc<int8, group = 64, scale = f16>>) {
  // expected-error@+1 {{'tern.linear' op activation group 96 and weight group 64 do not nest}}
  %y = tern.linear %x, %w : tensor<?x192xf32, #tern.act<group = 96>>, tensor<128x192xf32, #tern.enc<int8, group = 64, scale = f16>> -> tensor<?x128xf32>
  return
}

// -----
func.func @f(%x: tensor<?x256xf32, #tern.act<group = 32>>, %w: tensor<128x256xf32, #tern.enc<int8, group = 64, scale = f16>>) {
  // expected-error@+1 {{'tern.linear' op activation group 32 is smaller than the weight's 64}}
  %y = tern.linear %x, %w : tensor<?x256xf32, #tern.act<group = 32>>, tensor<128x256xf32, #tern.enc<int8, group = 64, scale = f16>> -> tensor<?x128xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32, #tern.act<group = 32>>, %w: tensor<128x64xf32, #tern.enc<int4, group = 32, scale = f16>>) {
  // expected-error@+1 {{'tern.linear' op codes with a zero point need sums over 32 elements, x has sums = 0}}
  %y = tern.linear %x, %w : tensor<?x64xf32, #tern.act<group = 32>>, tensor<128x64xf32, #tern.enc<int4, group = 32, scale = f16>> -> tensor<?x128xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<32xf32>) {
  // expected-error@+1 {{'tern.rms_norm' op weight dimension 0 is 32, expected 64}}
  %y = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<32xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<64xf32>) {
  // expected-error@+1 {{'tern.rms_norm' op row length 64 is no multiple of group 24}}
  %y = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32, group = 24 : i64} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<32xf32>) {
  // expected-error@+1 {{'tern.rms_norm' op weight dimension 0 is 32, expected 64}}
  %y = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32, group = 16 : i64} : tensor<?x64xf32>, tensor<32xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<64xf32>) {
  // expected-error@+1 {{'tern.rms_norm' op epsilon must be finite and not negative}}
  %y = tern.rms_norm %x, %w {epsilon = -1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<64xf32>, %b: tensor<32xf32>) {
  // expected-error@+1 {{'tern.layer_norm' op bias 'tensor<32xf32>' differs from weight 'tensor<64xf32>'}}
  %y = tern.layer_norm %x, %w bias %b {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32>, tensor<32xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<64xf32>) {
  // expected-error@+1 {{'tern.rms_norm' op result 'tensor<?x32xf32>' differs from x 'tensor<?x64xf32>'}}
  %y = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x32xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.encode' op result must be x's shape with a #tern.act encoding, got 'tensor<?x64xf32>'}}
  %y = tern.encode %x : tensor<?x64xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x48xf32>) {
  // expected-error@+1 {{'tern.encode' op row length 48 is no multiple of 32}}
  %y = tern.encode %x : tensor<?x48xf32> -> tensor<?x48xf32, #tern.act<group = 32>>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %p: tensor<?xi32>, %t: tensor<257x8x3xf32>) {
  // expected-error@+1 {{'tern.rope' op table dimension 2 is 3, expected 2}}
  %y = tern.rope %x, %p, %t {head_size = 16 : i32} : tensor<?x64xf32>, tensor<?xi32>, tensor<257x8x3xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %p: tensor<?xi32>, %t: tensor<257x8x2xf32>) {
  // expected-error@+1 {{'tern.rope' op row length 64 is no multiple of head_size 24}}
  %y = tern.rope %x, %p, %t {head_size = 24 : i32} : tensor<?x64xf32>, tensor<?xi32>, tensor<257x8x2xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %p: tensor<?xi32>, %t: tensor<257x16x2xf32>) {
  // expected-error@+1 {{'tern.rope' op table rotates 32 elements, a head has 16}}
  %y = tern.rope %x, %p, %t {head_size = 16 : i32} : tensor<?x64xf32>, tensor<?xi32>, tensor<257x16x2xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %p: tensor<?xi32>, %t: tensor<256x8x2xf32>) {
  // expected-error@+1 {{'tern.rope' op table has 256 rows, more than 256 are needed}}
  %y = tern.rope %x, %p, %t {head_size = 16 : i32} : tensor<?x64xf32>, tensor<?xi32>, tensor<256x8x2xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %p: tensor<?xi32>, %t: tensor<257x8x2xf32>) {
  // expected-error@+1 {{'tern.rope' op result 'tensor<?x32xf32>' differs from x 'tensor<?x64xf32>'}}
  %y = tern.rope %x, %p, %t {head_size = 16 : i32} : tensor<?x64xf32>, tensor<?xi32>, tensor<257x8x2xf32> -> tensor<?x32xf32>
  return
}

// -----
!kv = !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
func.func @f(%c: !kv, %k: tensor<?xf32>, %v: tensor<?x32xf32>, %p: tensor<?xi32>) {
  // expected-error@+1 {{'tern.kv_store' op key must have rank 2, got 'tensor<?xf32>'}}
  %d = tern.kv_store %c, %k, %v, %p, %p : !kv, tensor<?xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----
!kv = !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
func.func @f(%c: !kv, %k: tensor<?x16xf32>, %v: tensor<?x32xf32>, %p: tensor<?xi32>) {
  // expected-error@+1 {{'tern.kv_store' op key dimension 1 is 16, expected 32}}
  %d = tern.kv_store %c, %k, %v, %p, %p : !kv, tensor<?x16xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----
!kv = !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
func.func @f(%c: !kv, %k: tensor<?x32xf32>, %v: tensor<?x64xf32>, %p: tensor<?xi32>) {
  // expected-error@+1 {{'tern.kv_store' op value dimension 1 is 64, expected 32}}
  %d = tern.kv_store %c, %k, %v, %p, %p : !kv, tensor<?x32xf32>, tensor<?x64xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----
!kv = !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
func.func @f(%c: !kv, %k: tensor<4x32xf32>, %v: tensor<5x32xf32>, %p: tensor<?xi32>) {
  // expected-error@+1 {{'tern.kv_store' op 'tensor<4x32xf32>' and 'tensor<5x32xf32>' must have the same number of rows}}
  %d = tern.kv_store %c, %k, %v, %p, %p : !kv, tensor<4x32xf32>, tensor<5x32xf32>, tensor<?xi32>, tensor<?xi32>
  return
}

// -----
!kv = !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
func.func @f(%q: tensor<?x48xf32>, %c: !kv, %p: tensor<?xi32>) {
  // expected-error@+1 {{'tern.attention' op heads = 3 is no multiple of the cache's 2}}
  %a = tern.attention %q, %c, %p, %p {heads = 3 : i32, scale = 0.25 : f32} : tensor<?x48xf32>, !kv, tensor<?xi32>, tensor<?xi32> -> tensor<?x48xf32>
  return
}

// -----
!kv = !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
func.func @f(%q: tensor<?x64xf32>, %c: !kv, %p: tensor<?xi32>) {
  // expected-error@+1 {{'tern.attention' op soft_cap must be a finite number above 0}}
  %a = tern.attention %q, %c, %p, %p {heads = 4 : i32, scale = 0.25 : f32, soft_cap = 0.0 : f32} : tensor<?x64xf32>, !kv, tensor<?xi32>, tensor<?xi32> -> tensor<?x64xf32>
  return
}

// -----
!kv = !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
func.func @f(%q: tensor<?x32xf32>, %c: !kv, %p: tensor<?xi32>) {
  // expected-error@+1 {{'tern.attention' op query dimension 1 is 32, expected 64}}
  %a = tern.attention %q, %c, %p, %p {heads = 4 : i32, scale = 0.25 : f32} : tensor<?x32xf32>, !kv, tensor<?xi32>, tensor<?xi32> -> tensor<?x64xf32>
  return
}

// -----
!kv = !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
func.func @f(%q: tensor<?x64xf32>, %c: !kv, %p: tensor<?xi32>) {
  // expected-error@+1 {{'tern.attention' op result dimension 1 is 32, expected 64}}
  %a = tern.attention %q, %c, %p, %p {heads = 4 : i32, scale = 0.25 : f32} : tensor<?x64xf32>, !kv, tensor<?xi32>, tensor<?xi32> -> tensor<?x32xf32>
  return
}

// -----
!kv = !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
func.func @f(%q: tensor<?xf32>, %c: !kv, %p: tensor<?xi32>) {
  // expected-error@+1 {{'tern.attention' op query must have rank 2, got 'tensor<?xf32>'}}
  %a = tern.attention %q, %c, %p, %p {heads = 4 : i32, scale = 0.25 : f32} : tensor<?xf32>, !kv, tensor<?xi32>, tensor<?xi32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32, #tern.act<group = 32>>) {
  // expected-error@+1 {{'tern.map' op input must be plain, got 'tensor<?x64xf32, #tern.act<group = 32>>'}}
  %y = tern.map (%x) : (tensor<?x64xf32, #tern.act<group = 32>>) -> tensor<?x64xf32> {
  ^bb0(%a: f32):
    tern.yield %a : f32
  }
  return
}

// -----
func.func @f(%x: tensor<2x?x64xf32>) {
  // expected-error@+1 {{'tern.map' op input 'tensor<2x?x64xf32>' has a higher rank than the result}}
  %y = tern.map (%x) : (tensor<2x?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32):
    tern.yield %a : f32
  }
  return
}

// -----
func.func @f(%x: tensor<32xf32>) {
  // expected-error@+1 {{'tern.map' op input 'tensor<32xf32>' does not broadcast to 'tensor<?x64xf32>'}}
  %y = tern.map (%x) : (tensor<32xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32):
    tern.yield %a : f32
  }
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.map' op body takes 2 arguments, expected one scalar of the element type for each of 1 inputs}}
  %y = tern.map (%x) : (tensor<?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32, %b: f32):
    tern.yield %a : f32
  }
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.map' op body must yield one 'f32'}}
  %y = tern.map (%x) : (tensor<?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32):
    tern.yield %a, %a : f32, f32
  }
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %w: tensor<64x64xf32>) {
  %y = tern.map (%x) : (tensor<?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32):
    // expected-error@+1 {{'tern.linear' op is not allowed in the body of tern.map: only arith and math ops on scalars are}}
    %z = tern.linear %x, %w : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
    tern.yield %a : f32
  }
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.reduce' op result 'tensor<?x64xf32>' must be x 'tensor<?x64xf32>' without its last dimension}}
  %y = tern.reduce %x init 0.0 : tensor<?x64xf32> -> tensor<?x64xf32> {
  ^bb0(%a: f32, %b: f32):
    tern.yield %a : f32
  }
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>, %i: tensor<?xi32>) {
  // expected-error@+1 {{'tern.gather' op result 'tensor<?x32xf32>' must have rows of the shape of x 'tensor<?x64xf32>'}}
  %y = tern.gather %x, %i : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x32xf32>
  return
}

// -----
func.func @f(%x: tensor<9x64xf32>, %i: tensor<4xi32>) {
  // expected-error@+1 {{'tern.gather' op result dimension 0 is 9, expected 4}}
  %y = tern.gather %x, %i : tensor<9x64xf32>, tensor<4xi32> -> tensor<9x64xf32>
  return
}

// -----
func.func @f(%x: tensor<4x16xf32>) {
  // expected-error@+1 {{'tern.window' op dim 2 is outside the rank of 'tensor<4x16xf32>'}}
  %y = tern.window %x dim 2 size 3 : tensor<4x16xf32> -> tensor<4x14x3xf32>
  return
}

// -----
func.func @f(%x: tensor<4x16xf32>) {
  // expected-error@+1 {{'tern.window' op size, stride and dilation must be positive, padding not negative}}
  %y = tern.window %x dim 1 size 3 {stride = 0 : i64} : tensor<4x16xf32> -> tensor<4x14x3xf32>
  return
}

// -----
func.func @f(%x: tensor<?x16xf32>) {
  // expected-error@+1 {{'tern.window' op dim 0 of 'tensor<?x16xf32>' must be static}}
  %y = tern.window %x dim 0 size 3 : tensor<?x16xf32> -> tensor<?x16x3xf32>
  return
}

// -----
func.func @f(%x: tensor<4x16xf32>) {
  // expected-error@+1 {{'tern.window' op window is longer than the padded dimension}}
  %y = tern.window %x dim 1 size 17 : tensor<4x16xf32> -> tensor<4x1x17xf32>
  return
}

// -----
func.func @f(%x: tensor<4x16xf32>) {
  // expected-error@+1 {{'tern.window' op result must be 'tensor<4x14x3xf32>', got 'tensor<4x16x3xf32>'}}
  %y = tern.window %x dim 1 size 3 : tensor<4x16xf32> -> tensor<4x16x3xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.slice' op dim 0 must be a static dimension of 'tensor<?x64xf32>'}}
  %y = tern.slice %x dim 0 from 0 length 1 : tensor<?x64xf32> -> tensor<1x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.slice' op range 48 + 32 is outside dimension 1 of 'tensor<?x64xf32>'}}
  %y = tern.slice %x dim 1 from 48 length 32 : tensor<?x64xf32> -> tensor<?x32xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.slice' op drop needs length 1, got 2}}
  %y = tern.slice %x dim 1 from 0 length 2 drop : tensor<?x64xf32> -> tensor<?xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.slice' op result must be 'tensor<?x32xf32>', got 'tensor<?x64xf32>'}}
  %y = tern.slice %x dim 1 from 0 length 32 : tensor<?x64xf32> -> tensor<?x64xf32>
  return
}

// -----
func.func @f(%x: tensor<?x64xf32>) {
  // expected-error@+1 {{'tern.reshape' op 'tensor<?x64xf32>' and 'tensor<?x4x8xf32>' do not have the same number of elements}}
  %y = tern.reshape %x : tensor<?x64xf32> -> tensor<?x4x8xf32>
  return
}

// -----
func.func @f(%x: tensor<4x?xf32>) {
  // expected-error@+1 {{'tern.reshape' op only the leading dimension may be dynamic, got 'tensor<4x?xf32>'}}
  %y = tern.reshape %x : tensor<4x?xf32> -> tensor<?x4xf32>
  return
}
