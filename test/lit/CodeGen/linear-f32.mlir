// Float weights: one product and one sum for each element, in ascending order of K.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vbroadcastss | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vbroadcastss | FileCheck %s --check-prefix=AVX512

// AVX2-DAG: linear_0: {{.*}}vbroadcastss=1
// AVX512-DAG: linear_0: {{.*}}vbroadcastss=1
// AVX2-NOT: vgather
// AVX512-NOT: vgather
tern.weight @w : tensor<256x256xf32, #tern.enc<f32>> from #tern.file<index = 0, offset = 0, size = 262144, format = "f32">
func.func @forward(%x: tensor<?x256xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x256xf32, #tern.enc<f32>>
  %y = tern.linear %x, %w : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<f32>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
