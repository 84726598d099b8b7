// bfloat16 weights are widened and shifted into floats.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vmulps | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vmulps | FileCheck %s --check-prefix=VNNI

// AVX2: linear_0: {{.*}}vaddps=4 vbroadcastss=1 vmulps=4 vpmovzxwd=4 vpslld=4
// VNNI: linear_0: {{.*}}vaddps=2 vbroadcastss=1 vmulps=2 vpmovzxwd=2 vpslld=2
tern.weight @w : tensor<256x256xf32, #tern.enc<bf16>> from #tern.file<index = 0, offset = 0, size = 131072, format = "bf16">
func.func @forward(%x: tensor<?x256xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x256xf32, #tern.enc<bf16>>
  %y = tern.linear %x, %w : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<bf16>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
