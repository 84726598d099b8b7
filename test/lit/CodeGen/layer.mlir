// The kernels of a layer beside its linear ones: every inner loop that runs over a row or over positions is vector code,
// and no kernel calls anything but the memory routines linked into it.
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=asm --target=x86_64-avx2 -o %t.s
// RUN: %loops < %t.s | FileCheck %s --check-prefix=AVX2
// RUN: FileCheck %s --check-prefix=CALLS < %t.s
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=asm --target=x86_64-avx512vnni -o %t.s
// RUN: %loops < %t.s | FileCheck %s --check-prefix=AVX512
// RUN: FileCheck %s --check-prefix=CALLS < %t.s

// CALLS-NOT: {{callq[[:space:]]+([^mk]|m[^e]|me[^m]|k[^_])}}

// Rows of a half-precision table.
// AVX2: embed_0: {{.*}}vcvtph2ps=4
// AVX512: embed_0: {{.*}}vcvtph2ps=2

// Sum of squares, then the largest magnitude (as an integer), then the codes: rounding, clamping, packing.
// AVX2: rms_norm_encode_0: {{.*}}vaddps=4 vmovaps=4 vmulps=4
// AVX2: rms_norm_encode_0: {{.*}}vmulps=8 vpmaxsd=4
// AVX2: rms_norm_encode_0: {{.*}}vpackssdw=4 vpacksswb=4 {{.*}}vroundps=4
// AVX512: rms_norm_encode_0: {{.*}}vaddps=2 vmovaps=2 vmulps=2
// AVX512: rms_norm_encode_0: {{.*}}vmulps=4 vpmaxsd=2
// AVX512: rms_norm_encode_0: {{.*}}vpmovdb=2 {{.*}}vrndscaleps=2

// Keys and values are rounded to half precision a vector at a time.
// AVX2: rope_kv_store_0: {{.*}}vcvtps2ph=1
// AVX2: rope_kv_store_0: {{.*}}vcvtps2ph=1
// AVX512: rope_kv_store_0: {{.*}}vcvtps2ph=1
// AVX512: rope_kv_store_0: {{.*}}vcvtps2ph=1

// Scores against cached keys, and probabilities times cached values.
// AVX2: attention_0: {{.*}}vcvtph2ps=
// AVX2: attention_0: {{.*}}vcvtph2ps=
// AVX512: attention_0: {{.*}}vcvtph2ps=
// AVX512: attention_0: {{.*}}vcvtph2ps=
