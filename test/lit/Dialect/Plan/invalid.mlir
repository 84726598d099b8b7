// What the verifiers of the plan dialect refuse, and in which words.
// RUN: tern-opt %s -verify-diagnostics -split-input-file

plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  // expected-error@+1 {{'arith.constant' op is not a plan command}}
  %c = arith.constant 0 : i32
}

// -----
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  // expected-error@+1 {{'plan.buffer' op unknown memory space 'heap'; known are arena, tensor, input, output, kv_key, kv_value, block_table}}
  %x = plan.buffer "x" heap : #plan.extent<64, 0, 0>
}

// -----
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  // expected-error@+1 {{'plan.buffer' op space 'tensor' needs a symbol}}
  %x = plan.buffer "x" tensor : #plan.extent<64, 0, 0>
}

// -----
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  // expected-error@+1 {{'plan.buffer' op space 'arena' takes no symbol}}
  %x = plan.buffer "x" arena @w : #plan.extent<64, 0, 0>
}

// -----
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  // expected-error@+1 {{'plan.buffer' op space 'input' needs an index}}
  %x = plan.buffer "x" input : #plan.extent<0, 4, 0>
}

// -----
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  // expected-error@+1 {{'plan.buffer' op space 'arena' takes no index}}
  %x = plan.buffer "x" arena [0] : #plan.extent<0, 4, 0>
}

// -----
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  // expected-error@+1 {{'plan.buffer' op only arena buffers have an offset}}
  %x = plan.buffer "x" input [0] at 64 : #plan.extent<0, 4, 0>
}

// -----
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  // expected-error@+1 {{'plan.buffer' op offset 100 is no multiple of 64}}
  %x = plan.buffer "x" arena at 100 : #plan.extent<0, 4, 0>
}

// -----
tern.kernel @k(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  tern.yield %x : tensor<?x64xf32>
}
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  %x = plan.buffer "x" arena : #plan.extent<0, 256, 0>
  // expected-error@+1 {{'plan.call' op access has 1 letters for 2 buffers}}
  plan.call @k(%x, %x) access "r"
}

// -----
tern.kernel @k(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  tern.yield %x : tensor<?x64xf32>
}
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  %x = plan.buffer "x" arena : #plan.extent<0, 256, 0>
  // expected-error@+1 {{'plan.call' op access letter 'x' is none of r, w, b}}
  plan.call @k(%x) access "x"
}

// -----
tern.kernel @k(%x: tensor<?x64xf32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  tern.yield %x : tensor<?x64xf32>
}
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  %x = plan.buffer "tokens" input [0] : #plan.extent<0, 4, 0>
  // expected-error@+1 {{'plan.call' op writes to buffer 'tokens' in the read-only space input}}
  plan.call @k(%x) access "w"
}

// -----
plan.program @p target "x86_64-avx2" batch 64 wanted 8 {
  %x = plan.buffer "x" arena : #plan.extent<0, 256, 0>
  // expected-error@+1 {{'plan.call' op unknown kernel @k}}
  plan.call @k(%x) access "r"
}
