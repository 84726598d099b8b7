// Kernels keep to their target's exact features, whatever Halide's target implies: its avx512_zen4 stands for
// GFNI, VBMI, VBMI2, IFMA, BITALG and BF16 too.
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=asm --target=x86_64-baseline -o %t.base.s
// RUN: FileCheck %s --check-prefix=BASE --implicit-check-not=ymm --implicit-check-not=zmm < %t.base.s
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=asm --target=x86_64-avx2 -o %t.avx2.s
// RUN: FileCheck %s --check-prefix=AVX2 --implicit-check-not=zmm --implicit-check-not=%%k < %t.avx2.s
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=asm --target=x86_64-avxvnni -o %t.avxvnni.s
// RUN: FileCheck %s --check-prefix=AVXVNNI --implicit-check-not=zmm --implicit-check-not=%%k < %t.avxvnni.s
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=asm --target=x86_64-avx512vnni -o %t.vnni.s
// RUN: FileCheck %s --check-prefix=VNNI < %t.vnni.s
// RUN: ternc %root/test/lit/CodeGen/linear-bf16.mlir --emit=asm --target=x86_64-avx512vnni -o %t.bf16.s
// RUN: FileCheck %s --check-prefix=VNNI < %t.bf16.s
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=asm --target=aarch64-dotprod -o %t.arm.s
// RUN: FileCheck %s --check-prefix=ARM < %t.arm.s

// BASE: xmm
// SSE2 and nothing after it: no byte shuffles and products, no rounding, no blends, no conversion of half floats.
// BASE-NOT: {{^[[:space:]]+(v|pshufb|pmaddubsw|pmovzx|pmovsx|round|blend|pblend|pinsr[bdq]|pextr[bdq]|pmulld|haddps|movddup|lddqu|popcnt)}}
// AVX2: ymm
// AVX2-NOT: {{[[:space:]](vpdp|vgf2p8|gf2p8|vpermb|lzcnt)}}
// The byte dot product is AVX-VNNI's, not that of AVX-512, and registers end at 15.
// AVXVNNI-NOT: {{[xy]mm(1[6-9]|2[0-9]|3[01])}}
// AVXVNNI: {vex}{{[[:space:]]+}}vpdpbusd
// AVXVNNI-NOT: {{[xy]mm(1[6-9]|2[0-9]|3[01])|[[:space:]](vgf2p8|gf2p8|vpermb|vpternlog|vpermt2|vcvtne)}}
// VNNI-NOT: {{[[:space:]](vgf2p8|gf2p8|vpermb|vpermi2b|vpermt2b|vpmultishift|vpmadd52|vcvtne|vdpbf16|vpshld|vpshrd|vpcompressb|vpcompressw|vpexpandb|vpexpandw|vpopcntb|vpopcntw|vpshufbitqmb)}}
// The signed dot product; no half-float arithmetic, no mixed-sign products, and x18 is the platform's.
// ARM-NOT: {{[^0-9a-z][xw]18([^0-9]|$)}}
// ARM: sdot
// ARM-NOT: {{[[:space:]](usdot|sudot|smmla|ummla|fmlal|bfdot)[[:space:]]|[^0-9a-z][xw]18([^0-9]|$)|fmla[[:space:]].*\.[48]h}}
