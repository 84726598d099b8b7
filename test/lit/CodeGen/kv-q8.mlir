// A cache of int8 codes: the loops of layer.mlir, with two instructions a vector of codes where half precision needs one.
// RUN: sed 's/element = f16/element = i8/' %root/test/lit/Transforms/pipeline.mlir > %t.mlir
// RUN: ternc %t.mlir --emit=asm --target=x86_64-avx2 -o %t.s
// RUN: %loops < %t.s | FileCheck %s --check-prefix=AVX2
// RUN: FileCheck %s --check-prefix=CALLS < %t.s
// RUN: ternc %t.mlir --emit=asm --target=x86_64-avx512vnni -o %t.s
// RUN: %loops < %t.s | FileCheck %s --check-prefix=AVX512
// RUN: FileCheck %s --check-prefix=CALLS < %t.s

// CALLS-NOT: {{callq[[:space:]]+([^mk]|m[^e]|me[^m]|k[^_])}}

// Of keys, then of values: the largest magnitude for the scales, the same again and the codes.
// AVX2: rope_kv_store_0: {{.*}}vpmaxsd=3
// AVX2: rope_kv_store_0: {{.*}}vpmaxsd=3
// AVX2: rope_kv_store_0: {{.*}}vdivps=1 {{.*}}vpacksswb=1 {{.*}}vroundps=1
// AVX2: rope_kv_store_0: {{.*}}vpmaxsd=3
// AVX2: rope_kv_store_0: {{.*}}vpmaxsd=3
// AVX2: rope_kv_store_0: {{.*}}vdivps=1 {{.*}}vmovq=1 {{.*}}vpacksswb=1 {{.*}}vroundps=1
// AVX512: rope_kv_store_0: {{.*}}vpmaxsd=4
// AVX512: rope_kv_store_0: {{.*}}vpmaxsd=4
// AVX512: rope_kv_store_0: {{.*}}vdivps=1 {{.*}}vpmovdb=1 vrndscaleps=1
// AVX512: rope_kv_store_0: {{.*}}vpmaxsd=4
// AVX512: rope_kv_store_0: {{.*}}vpmaxsd=4
// AVX512: rope_kv_store_0: {{.*}}vdivps=1 {{.*}}vmovdqu=1 vpmovdb=1 vrndscaleps=1

// Scores against cached keys, weights times the scales of the values, and these times cached values. A vector of codes
// serves two query heads.
// AVX2: attention_0: {{.*}}vbroadcastss=2 vcvtdq2ps=4 vfmadd231ps=8 vpmovsxbd=4
// AVX2: attention_0: {{.*}}vcvtph2ps=2 {{.*}}vmulps=2
// AVX2: attention_0: {{.*}}vbroadcastss=2 vcvtdq2ps=4 vfmadd231ps=8 vpmovsxbd=4
// AVX512: attention_0: {{.*}}vbroadcastss=2 vcvtdq2ps=4 vfmadd231ps=8 vpmovsxbd=4
// AVX512: attention_0: {{.*}}vcvtph2ps=1 {{.*}}vmulps=1
// AVX512: attention_0: {{.*}}vbroadcastss=2 vcvtdq2ps=4 vfmadd231ps=8 vpmovsxbd=4
