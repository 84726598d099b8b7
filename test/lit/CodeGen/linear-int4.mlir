// Four-bit codes lie in two planes of a byte: a mask for each, a load for both.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vpmaddubsw | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vpdpbusd | FileCheck %s --check-prefix=AVX512

// AVX2-DAG: linear_0: {{.*}} vpand=1 {{.*}}vpmaddubsw=1 {{.*}}vpsrlw=0.5
// AVX512-DAG: linear_0: {{.*}} vpandq={{.*}} vpdpbusd=1
// AVX2-DAG: linear_0: {{.*}} vpand=0.125 {{.*}}vpmaddubsw=1
// AVX512-DAG: linear_0: {{.*}} vpandq=0.125 {{.*}}vpdpbusd=1
tern.weight @w : tensor<256x256xf32, #tern.enc<int4, group = 32, scale = f16>> from #tern.file<index = 0, offset = 0, size = 36864, format = "q4_0">
func.func @forward(%x: tensor<?x256xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x256xf32, #tern.enc<int4, group = 32, scale = f16>>
  %y = tern.linear %x, %w : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<int4, group = 32, scale = f16>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
