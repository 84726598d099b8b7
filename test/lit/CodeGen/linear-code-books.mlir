// Code books of 16 values: IQ4_NL and MXFP4. A byte shuffle looks up a vector of codes.
//
// The inner loops have the dot product of the target and no scalar code (--vector). The lines are those of one row,
// which shares nothing; numbers are instructions to one dot product.
// DEFINE: %{encoding} =
// DEFINE: %{asm} = sed 's/ENCODING/%{encoding}/' %S/Inputs/linear.mlir > %t.mlir && ternc %t.mlir --emit=asm -o -
// DEFINE: %{check} = FileCheck %s --check-prefix

// REDEFINE: %{encoding} = iq4nl, group = 32, scale = f16
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddwd --vector | %{check}=IQ4_NL-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=IQ4_NL-AVX512
// RUN: %{asm} --target=x86_64-avxvnni | %loops vpdpbusd --vector | %{check}=IQ4_NL-AVXVNNI
// RUN: %{asm} --target=aarch64-dotprod | %loops sdot --vector | %{check}=IQ4_NL-ARM
// IQ4_NL-AVX2: linear_0:{{.* }}vpand=1{{.* }}vpmaddwd=1 vpmovsxbw=1.12 vpshufb=1 vpsrlw=0.5
// IQ4_NL-AVX512: linear_0:{{.* }}vpdpbusd=1 vpshufb=1
// IQ4_NL-AVXVNNI: linear_0:{{.* }}vpdpbusd=1 vpshufb=1
// IQ4_NL-ARM: linear_0:{{.* }}sdot=1{{.* }}tbl=1
// Many rows look up ahead of the loop, four share it.
// IQ4_NL-AVX512: linear_0:{{.* }}vpdpbusd=1{{ *$}}
// IQ4_NL-AVX512: linear_0:{{.* }}vpdpbusd=1 vpshufb=0.25

// REDEFINE: %{encoding} = e2m1, group = 32, scale = e8m0
// RUN: %{asm} --target=x86_64-avx2 | %loops vpmaddubsw --vector | %{check}=MXFP4-AVX2
// RUN: %{asm} --target=x86_64-avx512vnni | %loops vpdpbusd --vector | %{check}=MXFP4-AVX512
// RUN: %{asm} --target=aarch64-dotprod | %loops sdot --vector | %{check}=MXFP4-ARM
// MXFP4-AVX2: linear_0:{{.* }}vpand=1{{.* }}vpmaddubsw=1 vpmaddwd=0.25 vpshufb=1 vpsrlw=0.5
// MXFP4-AVX512: linear_0:{{.* }}vpdpbusd=1{{.* }}vpshufb=1
// MXFP4-ARM: linear_0:{{.* }}sdot=1{{.* }}tbl=1.25
