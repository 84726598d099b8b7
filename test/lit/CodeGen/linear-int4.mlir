// Four-bit codes, two planes in each byte: low and high halves are masked out, groups are scaled as they end.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vpmaddubsw | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vpdpbusd | FileCheck %s --check-prefix=VNNI

// AVX2: linear_0: {{.*}}vpmaddubsw=32 {{.*}}vpsrlw=16
// AVX2-COUNT-3: linear_0: {{.*}}vpmaddubsw=
// VNNI: linear_0: {{.*}}vpandq=16 {{.*}}vpdpbusd=16
// VNNI-COUNT-3: linear_0: {{.*}}vpdpbusd=
tern.weight @w : tensor<256x256xf32, #tern.enc<int4, group = 32, scale = f16>> from #tern.file<index = 0, offset = 0, size = 36864, format = "q4_0">
func.func @forward(%x: tensor<?x256xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x256xf32, #tern.enc<int4, group = 32, scale = f16>>
  %y = tern.linear %x, %w : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<int4, group = 32, scale = f16>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
