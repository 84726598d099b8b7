// The entry point of a kernel: from (TernArgs, first, last) to a call of a Halide function.
//
// The shim picks the variant by the row count, builds the halide_buffer_t records that the
// variant's parameter bindings describe on the stack and calls it. halide_buffer_t appears nowhere
// else: neither in the artifact nor in the runtime.
#ifndef TERN_COMPILER_CODEGEN_SHIM_H
#define TERN_COMPILER_CODEGEN_SHIM_H

#include "compiler/Kernels/KernelGenerator.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

namespace tern {

/// Defines `void <kernel.signature.name>(ptr args, i32 first, i32 last)` in `module`;
/// `functions[i]` is the Halide function of `kernel.variants[i]`. Fails when a binding does not fit
/// the function or the variants leave a row count without code.
llvm::Error defineShim(llvm::Module &module, const GeneratedKernel &kernel,
                       llvm::ArrayRef<llvm::Function *> functions);

} // namespace tern
#endif
