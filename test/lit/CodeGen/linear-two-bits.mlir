// Codes of two bits and of 1.6: TQ2_0, I2_S, quaternary, Q2_0, TQ1_0 (ternary-b3).
//
// The inner loops have the dot product of the target and no scalar code (--vector). The lines are those of one row,
// which shares nothing; numbers are instructions to one dot product.
// DEFINE: %{encoding} =
// DEFINE: %{asm} = sed 's/ENCODING/%{encoding}/' %S/Inputs/linear.mlir > %t.mlir && ternc %t.mlir --emit=asm -o -
// DEFINE: %{check} = FileCheck %s --check-prefix

// REDEFINE: %{encoding} = ternary, group = 256, scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=TQ2_0-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=TQ2_0-AVX512
// RUN: %{asm} --target=x86_64-avxvnni | %loops vpdpbusd --vector | %{check}=TQ2_0-AVXVNNI
// RUN: %{asm} --target=aarch64-dotprod | %loops sdot --vector | %{check}=TQ2_0-ARM
// TQ2_0-AVX2: linear_0:{{.* }}vpand=1{{.* }}vpmaddubsw=1 vpsrlw=0.75
// TQ2_0-AVX512: linear_0:{{.* }}vmovdqa64=0.25 vpandq=1 vpbroadcastd=0.25 vpdpbusd=1
// TQ2_0-AVXVNNI: linear_0:{{.* }}vpdpbusd=1
// TQ2_0-ARM: linear_0:{{.* }}sdot=1
// Many rows decode once, ahead of the loop, and with narrow vectors three do; others share masks. A load of
// activations serves two vectors.
// TQ2_0-AVX2-COUNT-3: linear_0:{{.* }}vpaddw=1 vpbroadcastd=0.5 vpmaddubsw=1{{ *$}}
// TQ2_0-AVX2: linear_0:{{.* }}vpand=0.5{{.* }}vpmaddubsw=1
// TQ2_0-AVX512: linear_0:{{.* }}vmovdqa64=0.25 vpbroadcastd=0.5 vpdpbusd=1{{ *$}}
// TQ2_0-AVX512: linear_0:{{.* }}vpandq=0.25{{.* }}vpbroadcastd=0.5 vpdpbusd=1

// REDEFINE: %{encoding} = ternary, group = 128, scale = f32
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=I2_S-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=I2_S-AVX512
// I2_S-AVX2: linear_0:{{.* }}vpand=1{{.* }}vpmaddubsw=1 vpmaddwd=0.0312 vpsrlw=0.75
// I2_S-AVX512: linear_0:{{.* }}vpdpbusd=1

// REDEFINE: %{encoding} = quaternary, group = 256, scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=QUATERNARY-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=QUATERNARY-AVX512
// QUATERNARY-AVX2: linear_0:{{.* }}vpand=1{{.* }}vpmaddubsw=1 vpsrlw=0.75
// QUATERNARY-AVX512: linear_0:{{.* }}vpdpbusd=1

// REDEFINE: %{encoding} = quaternary, group = 64, scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=Q2_0-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q2_0-AVX512
// Q2_0-AVX2: linear_0:{{.* }}vpand=1{{.* }}vpmaddubsw=1 vpmaddwd=0.0625 vpsrlw=0.75
// Q2_0-AVX512: linear_0:{{.* }}vpdpbusd=1

// Two matrices of the same activations: those of a group would be kept from one to the other, and spilled.
// DEFINE: %{stacked} = sed 's/ENCODING/%{encoding}/' %S/Inputs/linear-stacked.mlir > %t.mlir && ternc %t.mlir --emit=asm -o -
// RUN: %{stacked} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=STACKED
// STACKED: linear_0: addq=0.0625 cmpq=0.0625 jne=0.0625 vmovdqa=0.25 vpand{{.*}} vpbroadcastd=0.25 vpdpbusd=1{{ *$}}

// REDEFINE: %{encoding} = ternary-b3, group = 256, scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=TQ1_0-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=TQ1_0-AVX512
// One row, AVX2: five digits of two comparisons each. With dot products of unsigned bytes the digits are not extracted:
// two products to each, and two additions for the next step (3 v modulo 256), no constants 9, 27, 81.
// TQ1_0-AVX2: linear_0:{{.* }}vpaddb=1.6{{.* }}vpand=1{{.* }}vpcmpeqb=2 vpmaddubsw=1{{.* }}vpmaxub=2
// TQ1_0-AVX512: linear_0:{{.* }}vmovdqa=0.1 vpaddb=1 vpbroadcastd=0.125 vpdpbusd=1{{$}}
