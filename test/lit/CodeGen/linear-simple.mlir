// Codes of 4, 5 and 8 bits in groups with a scale each: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_K, int4 and int8.
//
// The inner loops have the dot product of the target and no scalar code (--vector). The lines are those of one row,
// which shares nothing; numbers are instructions to one dot product.
// DEFINE: %{encoding} =
// DEFINE: %{asm} = sed 's/ENCODING/%{encoding}/' %S/Inputs/linear.mlir > %t.mlir && ternc %t.mlir --emit=asm -o -
// DEFINE: %{check} = FileCheck %s --check-prefix

// REDEFINE: %{encoding} = int4, group = 32, scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=Q4_0-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q4_0-AVX512
// RUN: %{asm} --target=x86_64-avxvnni | %loops vpdpbusd --vector | %{check}=Q4_0-AVXVNNI
// RUN: %{asm} --target=aarch64-dotprod | %loops sdot --vector | %{check}=Q4_0-ARM
// Q4_0-AVX2: linear_0:{{.* }}vpand=1{{.* }}vpmaddubsw=1 vpmaddwd=0.125 vpsrlw=0.5
// Q4_0-AVX512: linear_0:{{.* }}vpdpbusd=1
// Q4_0-AVXVNNI: linear_0:{{.* }}vpdpbusd=1
// Q4_0-ARM: linear_0:{{.* }}sdot=1
// Many rows decode once, ahead of the loop, and fetch what comes next, and with narrow vectors three do; others share
// masks. A load of activations serves two vectors.
// Q4_0-AVX2: linear_0:{{.* }}prefetcht1=0.0625{{.* }}vpaddw=0.875 vpbroadcastd=0.562{{.* }}vpmaddubsw=1
// Q4_0-AVX2: linear_0:{{.* }}prefetcht1=0.125{{.* }}vpaddw=0.875 vpbroadcastd=0.562{{.* }}vpmaddubsw=1
// Q4_0-AVX2: linear_0:{{.* }}prefetcht1=0.188{{.* }}vpaddw=0.875 vpbroadcastd=0.562{{.* }}vpmaddubsw=1
// Q4_0-AVX2: linear_0:{{.* }}vpand=0.5{{.* }}vpmaddubsw=1
// Q4_0-AVX512: linear_0:{{.* }}prefetcht1=0.0625{{.* }}vmulps=0.25 vpbroadcastd=0.562 vpdpbusd=1{{ *$}}
// Q4_0-AVX512: linear_0:{{.* }}vpandq=0.25{{.* }}vpdpbusd=1

// REDEFINE: %{encoding} = uint4, group = 32, scale = f16, min
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=Q4_1-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q4_1-AVX512
// Q4_1-AVX2: linear_0:{{.* }}vpand=1{{.* }}vpmaddubsw=1 vpmaddwd=0.125 vpsrlw=0.5
// Q4_1-AVX512: linear_0:{{.* }}vpdpbusd=1

// REDEFINE: %{encoding} = int4, group = 128, scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=INT4_G128-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=INT4_G128-AVX512
// INT4_G128-AVX2: linear_0:{{.* }}vpand=1{{.* }}vpmaddubsw=1 vpsrlw=0.5
// INT4_G128-AVX512: linear_0:{{.* }}vpdpbusd=1

// REDEFINE: %{encoding} = uint4, group = 64, scale = f16, min
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=INT4_G64_MIN-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=INT4_G64_MIN-AVX512
// INT4_G64_MIN-AVX2: linear_0:{{.* }}vpand=1{{.* }}vpmaddubsw=1 vpmaddwd=0.125 vpsrlw=0.5
// INT4_G64_MIN-AVX512: linear_0:{{.* }}vpdpbusd=1

// REDEFINE: %{encoding} = int5, group = 32, scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=Q5_0-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q5_0-AVX512
// Q5_0-AVX2: linear_0:{{.* }}vpand=2{{.* }}vpmaddubsw=1 vpmaddwd=0.25 vpor=1{{.* }}vpsrlw=0.875
// Q5_0-AVX512: linear_0:{{.* }}vpdpbusd=1

// REDEFINE: %{encoding} = uint5, group = 32, scale = f16, min
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=Q5_1-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q5_1-AVX512
// Q5_1-AVX2: linear_0:{{.* }}vpand=2{{.* }}vpmaddubsw=1 vpmaddwd=0.25 vpor=1{{.* }}vpsrlw=0.875
// Q5_1-AVX512: linear_0:{{.* }}vpdpbusd=1

// REDEFINE: %{encoding} = int8, group = 32, scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddwd --vector | %{check}=Q8_0-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q8_0-AVX512
// Q8_0-AVX2: linear_0:{{.* }}vpmaddwd=1 vpmovsxbw=0.625
// Q8_0-AVX512: linear_0:{{.* }}vpdpbusd=1

// REDEFINE: %{encoding} = int8, group = 256, scale = f32
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddwd --vector | %{check}=Q8_K-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q8_K-AVX512
// Q8_K-AVX2: linear_0:{{.* }}vpmaddwd=1 vpmovsxbw=0.625
// Q8_K-AVX512: linear_0:{{.* }}vpdpbusd=1
