// The other side of KernelCompiler: turns one printed kernel into code, in its own process.
//
// A mistake inside Halide or LLVM aborts the process, and Halide names symbols by counters of the
// process; so each kernel is generated in a fresh one.
#ifndef TERN_COMPILER_CODEGEN_KERNELWORKER_H
#define TERN_COMPILER_CODEGEN_KERNELWORKER_H

#include "llvm/ADT/StringRef.h"

namespace tern {

/// The first argument that makes an executable a worker: `ternc --kernel-worker TARGET KIND`.
inline constexpr llvm::StringLiteral kernelWorkerFlag = "--kernel-worker";

bool isKernelWorkerCommand(int argc, char **argv);

/// The whole main function of a worker: reads a module with one `tern.kernel` from standard input,
/// writes its code to standard output. Exit status 0, or 1 with the reason on standard error.
int runKernelWorker(int argc, char **argv);

} // namespace tern
#endif
