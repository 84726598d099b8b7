// Ternary codes, four planes in each byte: one row of x multiplies 32 rows of weights straight from the packed bytes.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vpmaddubsw | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vpdpbusd | FileCheck %s --check-prefix=VNNI

// 128 bytes of codes and 16 bytes of x a turn: each byte is masked four times, never unpacked.
// AVX2: linear_0: {{.*}}vmovdqa=4 vpaddw=16 vpand=16 vpbroadcastd=4 vpmaddubsw=16 vpsrlw=12
// AVX2-COUNT-3: linear_0: {{.*}}vpmaddubsw=
// VNNI: linear_0: {{.*}}vmovdqa64=2 vpandq=8 vpbroadcastd=4 vpdpbusd=8
// VNNI-COUNT-3: linear_0: {{.*}}vpdpbusd=
tern.weight @w : tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>> from #tern.file<index = 0, offset = 0, size = 16896, format = "tq2_0">
func.func @forward(%x: tensor<?x256xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>>
  %y = tern.linear %x, %w : tensor<?x256xf32>, tensor<256x256xf32, #tern.enc<ternary, group = 256, scale = f16>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
