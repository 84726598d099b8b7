// bfloat16 weights are widened and shifted into floats.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vpmovzxwd | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vpmovzxwd | FileCheck %s --check-prefix=AVX512

// AVX2-DAG: linear_0: {{.*}} vpmovzxwd=1 vpslld=1
// AVX512-DAG: linear_0: {{.*}} vpmovzxwd=1 vpslld=1
tern.weight @w : tensor<256x256xf32, #tern.enc<bf16>> from #tern.file<index = 0, offset = 0, size = 131072, format = "bf16">
func.func @forward(%x: tensor<?x256xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x256xf32, #tern.enc<bf16>>
  %y = tern.linear %x, %w : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<bf16>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
