// The linked image of a model's kernels needs nothing: no imports, no library, no relocation, no page that is both
// writable and executable.
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=obj --target=x86_64-avx2 -o %t.avx2
// RUN: llvm-readelf --program-headers --dynamic --relocations --dyn-symbols %t.avx2 | FileCheck %s
// RUN: ternc %root/test/lit/Transforms/pipeline.mlir --emit=obj --target=x86_64-avx512vnni -o %t.avx512
// RUN: llvm-readelf --program-headers --dynamic --relocations --dyn-symbols %t.avx512 | FileCheck %s

// CHECK: Elf file type is DYN
// CHECK-NOT: {{RWE|TLS|INTERP}}
// CHECK: LOAD {{.*}} R E 0x1000
// CHECK-NOT: {{RWE|TLS|INTERP}}
// CHECK: Dynamic section
// CHECK-NOT: {{NEEDED|INIT|FINI|TEXTREL|JMPREL}}
// CHECK: There are no relocations in this file.
// CHECK: 0: {{.*}} UND
// CHECK-NOT: UND
// CHECK: FUNC GLOBAL DEFAULT {{.*}} k_
// CHECK-NOT: UND
