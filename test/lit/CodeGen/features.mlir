// Kernels keep to their target's exact features, whatever Halide's target implies: its avx512_zen4 stands for
// GFNI, VBMI, VBMI2, IFMA, BITALG and BF16 too.
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=asm --target=x86_64-avx2 -o %t.avx2.s
// RUN: FileCheck %s --check-prefix=AVX2 --implicit-check-not=zmm --implicit-check-not=%%k < %t.avx2.s
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=asm --target=x86_64-avx512vnni -o %t.vnni.s
// RUN: FileCheck %s --check-prefix=VNNI < %t.vnni.s
// RUN: ternc %root/test/lit/CodeGen/linear-bf16.mlir --emit=asm --target=x86_64-avx512vnni -o %t.bf16.s
// RUN: FileCheck %s --check-prefix=VNNI < %t.bf16.s

// AVX2: ymm
// AVX2-NOT: {{[[:space:]](vpdp|vgf2p8|gf2p8|vpermb|lzcnt)}}
// VNNI-NOT: {{[[:space:]](vgf2p8|gf2p8|vpermb|vpermi2b|vpermt2b|vpmultishift|vpmadd52|vcvtne|vdpbf16|vpshld|vpshrd|vpcompressb|vpcompressw|vpexpandb|vpexpandw|vpopcntb|vpopcntw|vpshufbitqmb)}}
