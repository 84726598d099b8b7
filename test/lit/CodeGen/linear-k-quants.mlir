// K-quants: codes under integer scales, which are multiplied in once per group: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K.
//
// The inner loops have the dot product of the target and no scalar code (--vector). The lines are those of one row,
// which shares nothing; numbers are instructions to one dot product.
// DEFINE: %{encoding} =
// DEFINE: %{asm} = sed 's/ENCODING/%{encoding}/' %S/Inputs/linear.mlir > %t.mlir && ternc %t.mlir --emit=asm -o -
// DEFINE: %{check} = FileCheck %s --check-prefix

// REDEFINE: %{encoding} = uint2, group = 16, scale = u4, min, super = 256, super_scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=Q2_K-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q2_K-AVX512
// Q2_K-AVX2: linear_0:{{.* }}vpand=1.5{{.* }}vpmaddubsw=1 vpmaddwd=0.25{{.* }}vpmulld=0.5 vpsrlw=1{{$| }}
// Q2_K-AVX512: linear_0:{{.* }}vpdpbusd=1{{.* }}vpmulld=0.5{{$| }}
// Of many rows the decoded codes hold their scales, where the products fit a byte.
// Q2_K-AVX512: linear_0:{{.* }}vpbroadcastd=0.5 vpdpbusd=1{{ *$}}

// REDEFINE: %{encoding} = int3, group = 16, scale = i6, super = 256, super_scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=Q3_K-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q3_K-AVX512
// Q3_K-AVX2: linear_0:{{.* }}vpand=2.5{{.* }}vpmaddubsw=1 vpmaddwd=0.25{{.* }}vpmulld=0.25 vpor=1.25{{.* }}vpsrlw=1.56
// Q3_K-AVX512: linear_0:{{.* }}vpdpbusd=1{{.* }}vpmulld=0.25
// Q3_K-AVX512: linear_0:{{.* }}vpbroadcastd=0.5 vpdpbusd=1{{ *$}}

// REDEFINE: %{encoding} = uint4, group = 32, scale = u6, min, super = 256, super_scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=Q4_K-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q4_K-AVX512
// RUN: %{asm} --target=x86_64-avxvnni | %loops vpdpbusd --vector | %{check}=Q4_K-AVXVNNI
// Q4_K-AVX2: linear_0:{{.* }}vpand=1.38{{.* }}vpmaddubsw=1 vpmaddwd=0.125{{.* }}vpmulld=0.25{{.* }}vpsrlw=0.688
// Q4_K-AVX512: linear_0:{{.* }}vpdpbusd=1{{.* }}vpmulld=0.25{{$| }}
// Q4_K-AVX512: linear_0:{{.* }}vpaddd=0.125 vpbroadcastd=0.5 vpdpbusd=1 vpmulld=0.125 vpxor{{[^p]*$}}
// Q4_K-AVXVNNI: linear_0:{{.* }}vpdpbusd=1{{.* }}vpmulld=0.25{{$| }}

// REDEFINE: %{encoding} = uint5, group = 32, scale = u6, min, super = 256, super_scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=Q5_K-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q5_K-AVX512
// Q5_K-AVX2: linear_0:{{.* }}vpand=2.38{{.* }}vpmaddubsw=1 vpmaddwd=0.25{{.* }}vpmulld=0.25 vpor=1.12{{.* }}vpsrlw=1.06
// Q5_K-AVX512: linear_0:{{.* }}vpdpbusd=1{{.* }}vpmulld=0.25{{$| }}

// REDEFINE: %{encoding} = int6, group = 16, scale = i8, super = 256, super_scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=Q6_K-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=Q6_K-AVX512
// RUN: %{asm} --target=aarch64-dotprod | %loops sdot --vector | %{check}=Q6_K-ARM
// Q6_K-AVX2: linear_0:{{.* }}vpand=2{{.* }}vpmaddubsw=1 vpmaddwd=0.5{{.* }}vpmulld=0.25 vpor=1{{.* }}vpsrlw=0.75
// Q6_K-AVX512: linear_0:{{.* }}vpdpbusd=1{{.* }}vpmulld=0.25
// Q6_K-AVX512: linear_0:{{.* }}vpaddd=0.25 vpbroadcastd=0.625 vpdpbusd=1 vpmulld=0.25{{ *$}}
// Q6_K-ARM: linear_0:{{.* }}mla=0.25{{.* }}sdot=1
