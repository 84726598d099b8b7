// From a generated kernel to machine code: Halide's bitcode through LLVM 22.
//
// The variants of a kernel are linked into one module, joined by the shim (Shim.h) that is the
// kernel's only global symbol, optimised, and emitted with exactly the target's features. The
// module is position independent, uses no red zone and no thread-local storage, and imports
// nothing. Aborts inside LLVM are possible for a wrong module: run this in a worker process
// (KernelWorker.h).
#ifndef TERN_COMPILER_CODEGEN_OBJECTEMITTER_H
#define TERN_COMPILER_CODEGEN_OBJECTEMITTER_H

#include "compiler/Kernels/KernelGenerator.h"
#include "targets/TargetInfo.h"
#include "llvm/Support/Error.h"
#include <string>

namespace tern {

/// What code generation of one kernel results in.
enum class EmitKind : uint8_t {
  Object,   ///< a relocatable object
  Assembly, ///< the target's assembly language
  LLVM,     ///< LLVM IR after optimisation
  Stmt      ///< Halide's lowered form of every variant (no LLVM involved)
};

/// Code for `kernel`, whose entry symbol is `kernel.signature.name`. The bytes depend on the
/// arguments alone. Errors name the kernel.
llvm::Expected<std::string> emitKernelCode(const GeneratedKernel &kernel, const TargetInfo &target,
                                           EmitKind kind = EmitKind::Object);

} // namespace tern
#endif
