// Ternary codes lie in four planes of a byte and are multiplied where they lie: a mask each, a load for four.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vpmaddubsw | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vpdpbusd | FileCheck %s --check-prefix=AVX512

// One row: a vector of bytes is loaded once, masked four times, and meets the same four activations in every lane.
// AVX2-DAG: linear_0: {{.*}} vmovdqa=0.25 vpaddw=1 vpand=1 vpbroadcastd=0.25 vpmaddubsw=1 vpsrlw=0.75
// The planes are left in place; their sums are shifted after the loop.
// AVX512-DAG: linear_0: {{.*}} vmovdqa64=0.25 vpandq=1 vpbroadcastd=0.25 vpdpbusd=1
// Several rows: masks and loads are shared.
// AVX2-DAG: linear_0: {{.*}} vpand=0.125 {{.*}}vpmaddubsw=1
// AVX512-DAG: linear_0: {{.*}} vpandq=0.125 {{.*}}vpdpbusd=1
tern.weight @w : tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>> from #tern.file<index = 0, offset = 0, size = 16896, format = "tq2_0">
func.func @forward(%x: tensor<?x256xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>>
  %y = tern.linear %x, %w : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
