// Signed bytes on both sides: pairs of 16-bit products, since a file may hold the code -128; with the four-way dot
// product of unsigned by signed bytes where several rows pay for making the codes unsigned.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vpmaddwd | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vpdpbusd | FileCheck %s --check-prefix=AVX512

// AVX2-DAG: linear_0: {{.*}} vpaddd=1 {{.*}}vpmaddwd=1 vpmovsxbw=1.12
// AVX512-DAG: linear_0: {{.*}}vpdpbusd=1
tern.weight @w : tensor<256x256xf32, #tern.enc<int8, group = 32, scale = f16>> from #tern.file<index = 0, offset = 0, size = 69632, format = "q8_0">
func.func @forward(%x: tensor<?x256xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x256xf32, #tern.enc<int8, group = 32, scale = f16>>
  %y = tern.linear %x, %w : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<int8, group = 32, scale = f16>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
