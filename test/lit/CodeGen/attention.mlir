// Every loop over blocks of the cache ends with the row's own block, plain, with a soft cap and with ALiBi: Halide
// trims them by conditions, and stops to do so where an expression hides what it reads.
// RUN: ternc %s --emit=stmt --target=x86_64-avx2 -o %t.avx2
// RUN: FileCheck %s < %t.avx2
// RUN: FileCheck %s --check-prefix=BOUND --implicit-check-not="blocks$x, 0, 32768" < %t.avx2
// RUN: ternc %s --emit=stmt --target=aarch64-dotprod -o %t.arm
// RUN: FileCheck %s < %t.arm
// RUN: sed 's/element = f16/element = i8/g' %s > %t.codes.mlir
// RUN: ternc %t.codes.mlir --emit=stmt --target=x86_64-avx2 -o %t.codes
// RUN: FileCheck %s < %t.codes
// RUN: FileCheck %s --check-prefix=CODES < %t.codes
// RUN: FileCheck %s --check-prefix=BOUND --implicit-check-not="blocks$x, 0, 32768" < %t.codes

// The next cache block is fetched into the second cache: keys in the loop over a head's elements, the lines of a
// position's values in that over positions.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | FileCheck %s --check-prefix=FETCH
// RUN: ternc %s --emit=asm --target=aarch64-dotprod -o - | FileCheck %s --check-prefix=FETCH-ARM
// FETCH: prefetcht1
// FETCH: vfmadd231ps
// FETCH: prefetcht1
// FETCH: prefetcht1
// FETCH: vfmadd231ps
// FETCH-NOT: tern_placeholder
// FETCH-ARM-COUNT-3: prfm pldl2keep

// CHECK-LABEL: kernel plain
// CHECK: for (state.s1.blocks$x, 0, t{{[0-9]+}} + 1)
// CHECK: for (scores.s1.scoreBlocks$x, 0, t{{[0-9]+}} + 1)
// CHECK: for (laneMaximum.s1.maximumBlocks$x, 0, t{{[0-9]+}} + 1)
// CHECK: for (weights.s1.weightBlocks$x, 0, t{{[0-9]+}} + 1)
// CHECK: for (laneSum.s1.sumBlocks$x, 0, t{{[0-9]+}} + 1)
// CHECK: for (blockValues.s1.valueBlocks$x, 0, t{{[0-9]+}} + 1)
// CHECK-LABEL: kernel capped
// CHECK: for (state.s1.blocks$x, 0, t{{[0-9]+}} + 1)
// CHECK: for (scores.s1.scoreBlocks$x, 0, t{{[0-9]+}} + 1)
// CHECK: for (weights.s1.weightBlocks$x, 0, t{{[0-9]+}} + 1)
// CHECK-LABEL: kernel biased
// CHECK: for (state.s1.blocks$x, 0, t{{[0-9]+}} + 1)
// CHECK: for (scores.s1.scoreBlocks$x, 0, t{{[0-9]+}} + 1)
// BOUND: kernel biased
// CODES: for (valueWeights.s1.valueWeightBlocks$x, 0, t{{[0-9]+}} + 1)

tern.kernel @plain(%q: tensor<?x256xf32> {tern.dim = "T"}, %c: !tern.kv<heads = 2, head_size = 64, value_size = 64, window = 0, element = f16>, %p: tensor<?xi32> {tern.dim = "T"}, %s: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %a = tern.attention %q, %c, %p, %s {heads = 4 : i32, scale = 0.125 : f32} : tensor<?x256xf32>, !tern.kv<heads = 2, head_size = 64, value_size = 64, window = 0, element = f16>, tensor<?xi32>, tensor<?xi32> -> tensor<?x256xf32>
  tern.yield %a : tensor<?x256xf32>
}
tern.kernel @capped(%q: tensor<?x256xf32> {tern.dim = "T"}, %c: !tern.kv<heads = 2, head_size = 64, value_size = 64, window = 0, element = f16>, %p: tensor<?xi32> {tern.dim = "T"}, %s: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %a = tern.attention %q, %c, %p, %s {heads = 4 : i32, scale = 0.125 : f32, soft_cap = 50.0 : f32} : tensor<?x256xf32>, !tern.kv<heads = 2, head_size = 64, value_size = 64, window = 0, element = f16>, tensor<?xi32>, tensor<?xi32> -> tensor<?x256xf32>
  tern.yield %a : tensor<?x256xf32>
}
tern.kernel @biased(%q: tensor<?x256xf32> {tern.dim = "T"}, %c: !tern.kv<heads = 2, head_size = 64, value_size = 64, window = 0, element = f16>, %p: tensor<?xi32> {tern.dim = "T"}, %s: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %a = tern.attention %q, %c, %p, %s {heads = 4 : i32, scale = 0.125 : f32, alibi = 8.0 : f32} : tensor<?x256xf32>, !tern.kv<heads = 2, head_size = 64, value_size = 64, window = 0, element = f16>, tensor<?xi32>, tensor<?xi32> -> tensor<?x256xf32>
  tern.yield %a : tensor<?x256xf32>
}
