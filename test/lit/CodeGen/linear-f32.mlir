// Float weights: a product and a sum for each element, in the order of K, never contracted.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vmulps | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vmulps | FileCheck %s --check-prefix=VNNI

// AVX2: linear_0: {{.*}}vaddps=4 vbroadcastss=1 vmulps=4
// AVX2-COUNT-3: linear_0: {{.*}}vmulps=
// AVX2-NOT: vfmadd
// VNNI: linear_0: {{.*}}vaddps=2 vbroadcastss=1 vmulps=2
// VNNI-NOT: vfmadd
tern.weight @w : tensor<256x256xf32, #tern.enc<f32>> from #tern.file<index = 0, offset = 0, size = 262144, format = "f32">
func.func @forward(%x: tensor<?x256xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x256xf32, #tern.enc<f32>>
  %y = tern.linear %x, %w : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<f32>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
