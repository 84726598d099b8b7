// Signed bytes on both sides: widened to 16 bits, since a file may hold the code -128.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vpmaddwd | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vpdpwssd | FileCheck %s --check-prefix=VNNI

// AVX2: linear_0: {{.*}}vpaddd=8 vpbroadcastd=1 vpmaddwd=8 vpmovsxbw=9
// AVX2-COUNT-3: linear_0: {{.*}}vpmaddwd=
// VNNI: linear_0: {{.*}}vpbroadcastd=1 vpdpwssd=4 vpmovsxbw=5
// VNNI-COUNT-3: linear_0: {{.*}}vpdpwssd=
tern.weight @w : tensor<256x256xf32, #tern.enc<int8, group = 32, scale = f16>> from #tern.file<index = 0, offset = 0, size = 69632, format = "q8_0">
func.func @forward(%x: tensor<?x256xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x256xf32, #tern.enc<int8, group = 32, scale = f16>>
  %y = tern.linear %x, %w : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<int8, group = 32, scale = f16>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
