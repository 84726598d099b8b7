// A code book: a byte shuffle looks up a vector of codes; nothing is left of the scalar calls.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vpmaddwd | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vpdpbusd | FileCheck %s --check-prefix=AVX512

// One row: a shuffle to a vector of codes.
// AVX2-DAG: linear_0: {{.*}} vpmaddwd=1 {{.*}}vpshufb=1
// AVX512-DAG: linear_0: {{.*}} vpdpbusd=1 vpshufb=1
// Several rows share it.
// AVX512-DAG: linear_0: {{.*}} vpdpbusd=1 vpshufb=0.125
// AVX2-NOT: vpextrb
// AVX512-NOT: vpextrb
tern.weight @w : tensor<256x512xf32, #tern.enc<iq4nl, group = 32, scale = f16>> from #tern.file<index = 0, offset = 0, size = 73728, format = "iq4_nl">
func.func @forward(%x: tensor<?x512xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x512xf32, #tern.enc<iq4nl, group = 32, scale = f16>>
  %y = tern.linear %x, %w : tensor<?x512xf32>, tensor<256x512xf32, #tern.enc<iq4nl, group = 32, scale = f16>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
