// plan-memory: offsets of arena buffers by lifetime, the peak, and the bound that no plan can beat.
// RUN: tern-opt %s -pass-pipeline='builtin.module(plan.program(plan-memory))' -split-input-file | FileCheck %s

tern.kernel @k(%x: tensor<?x16xf32> {tern.dim = "T"}) -> tensor<?x16xf32> {
  tern.yield %x : tensor<?x16xf32>
}
// A chain: the third buffer takes the place of the first, which is dead by then.
// CHECK-LABEL: plan.program @chain
// CHECK-SAME: arena_bytes = 8192 : i64, arena_lower_bound = 8192 : i64
// CHECK: plan.buffer "a" arena at 0 :
// CHECK: plan.buffer "b" arena at 4096 :
// CHECK: plan.buffer "c" arena at 0 :
plan.program @chain target "x86_64-avx2" batch 64 wanted 8 {
  %in = plan.buffer "in" input [0] : #plan.extent<0, 64, 0>
  %a = plan.buffer "a" arena : #plan.extent<0, 64, 0>
  %b = plan.buffer "b" arena : #plan.extent<0, 64, 0>
  %c = plan.buffer "c" arena : #plan.extent<0, 64, 0>
  %out = plan.buffer "out" output [0] : #plan.extent<0, 64, 0>
  plan.call @k(%in, %a) access "rw"
  plan.call @k(%a, %b) access "rw"
  plan.call @k(%b, %c) access "rw"
  plan.call @k(%c, %out) access "rw"
}

// -----
tern.kernel @k(%x: tensor<?x16xf32> {tern.dim = "T"}) -> tensor<?x16xf32> {
  tern.yield %x : tensor<?x16xf32>
}
// A value that is read late keeps its place: the residual of a layer.
// CHECK-LABEL: plan.program @residual
// CHECK-SAME: arena_bytes = 12288 : i64, arena_lower_bound = 12288 : i64
// CHECK: plan.buffer "residual" arena at 0 :
// CHECK: plan.buffer "b" arena at 4096 :
// CHECK: plan.buffer "c" arena at 8192 :
plan.program @residual target "x86_64-avx2" batch 64 wanted 8 {
  %in = plan.buffer "in" input [0] : #plan.extent<0, 64, 0>
  %a = plan.buffer "residual" arena : #plan.extent<0, 64, 0>
  %b = plan.buffer "b" arena : #plan.extent<0, 64, 0>
  %c = plan.buffer "c" arena : #plan.extent<0, 64, 0>
  %out = plan.buffer "out" output [0] : #plan.extent<0, 64, 0>
  plan.call @k(%in, %a) access "rw"
  plan.call @k(%a, %b) access "rw"
  plan.call @k(%b, %c) access "rw"
  plan.call @k(%a, %c, %out) access "rrw"
}

// -----
tern.kernel @k(%x: tensor<?x16xf32> {tern.dim = "T"}) -> tensor<?x16xf32> {
  tern.yield %x : tensor<?x16xf32>
}
// The largest buffer is placed first; sizes are taken at batch * per token + wanted * per wanted row and
// rounded up to 64 bytes; a small buffer fills the gap below a large one.
// CHECK-LABEL: plan.program @sizes
// CHECK-SAME: arena_bytes = 704 : i64, arena_lower_bound = 704 : i64
// CHECK: plan.buffer "small" arena at 640 : <10, 1, 0>
// CHECK: plan.buffer "large" arena at 0 : <0, 32, 16>
plan.program @sizes target "x86_64-avx2" batch 16 wanted 8 {
  %small = plan.buffer "small" arena : #plan.extent<10, 1, 0>
  %large = plan.buffer "large" arena : #plan.extent<0, 32, 16>
  plan.call @k(%small) access "w"
  plan.call @k(%small, %large) access "rw"
}

// -----
tern.kernel @k(%x: tensor<?x16xf32> {tern.dim = "T"}) -> tensor<?x16xf32> {
  tern.yield %x : tensor<?x16xf32>
}
// A buffer that fits a hole between two living ones is put there.
// CHECK-LABEL: plan.program @hole
// CHECK: plan.buffer "low" arena at 0 :
// CHECK: plan.buffer "middle" arena at 1024 :
// CHECK: plan.buffer "high" arena at 1792 :
// CHECK: plan.buffer "fits" arena at 1024 :
plan.program @hole target "x86_64-avx2" batch 1 wanted 1 {
  %low = plan.buffer "low" arena : #plan.extent<1024, 0, 0>
  %middle = plan.buffer "middle" arena : #plan.extent<768, 0, 0>
  %high = plan.buffer "high" arena : #plan.extent<640, 0, 0>
  %fits = plan.buffer "fits" arena : #plan.extent<512, 0, 0>
  plan.call @k(%low, %middle, %high) access "www"
  plan.call @k(%middle) access "r"
  plan.call @k(%fits) access "w"
  plan.call @k(%low, %high, %fits) access "rrr"
}

// -----
tern.kernel @k(%x: tensor<?x16xf32> {tern.dim = "T"}) -> tensor<?x16xf32> {
  tern.yield %x : tensor<?x16xf32>
}
// Only arena buffers are placed.
// CHECK-LABEL: plan.program @spaces
// CHECK-SAME: arena_bytes = 0 : i64, arena_lower_bound = 0 : i64
// CHECK: plan.buffer "in" input[0] : <0, 64, 0>
// CHECK: plan.buffer "out" output[0] : <0, 64, 0>
plan.program @spaces target "x86_64-avx2" batch 64 wanted 8 {
  %in = plan.buffer "in" input [0] : #plan.extent<0, 64, 0>
  %out = plan.buffer "out" output [0] : #plan.extent<0, 64, 0>
  plan.call @k(%in, %out) access "rw"
}
