// Q4_K: four-bit codes in place under integer scales, which are multiplied in once per group.
// RUN: ternc %s --emit=asm --target=x86_64-avx2 -o - | %loops vpmaddubsw | FileCheck %s --check-prefix=AVX2
// RUN: ternc %s --emit=asm --target=x86_64-avx512vnni -o - | %loops vpdpbusd | FileCheck %s --check-prefix=AVX512

// Eight products of a group of 32 to one multiplication by its scale, for each vector of outputs.
// AVX2-DAG: linear_0: {{.*}}vpmaddubsw=1 vpmaddwd=0.125 {{.*}}vpmulld=0.125
// AVX512-DAG: linear_0: {{.*}}vpdpbusd=1 {{.*}}vpmulld=0.125
tern.weight @w : tensor<256x512xf32, #tern.enc<uint4, group = 32, scale = u6, min, super = 256, super_scale = f16>> from #tern.file<index = 0, offset = 0, size = 73728, format = "q4_k">
func.func @forward(%x: tensor<?x512xf32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %w = tern.param @w : tensor<256x512xf32, #tern.enc<uint4, group = 32, scale = u6, min, super = 256, super_scale = f16>>
  %y = tern.linear %x, %w : tensor<?x512xf32>, tensor<256x512xf32, #tern.enc<uint4, group = 32, scale = u6, min, super = 256, super_scale = f16>> -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}
