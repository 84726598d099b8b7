// Compiles the kernels of a program: cache look-up, a pool of worker processes, one per kernel.
#ifndef TERN_COMPILER_CODEGEN_KERNELCOMPILER_H
#define TERN_COMPILER_CODEGEN_KERNELCOMPILER_H

#include "compiler/CodeGen/KernelCache.h"
#include "compiler/CodeGen/ObjectEmitter.h"
#include "targets/TargetInfo.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tern {

class KernelOp;

/// "obj", "asm", "llvm" or "stmt".
llvm::StringRef emitKindName(EmitKind kind);
std::optional<EmitKind> parseEmitKind(llvm::StringRef name);

struct CompiledKernel {
  /// The entry's symbol: derived from the kernel's content, not its name, so that kernels of equal
  /// content have equal objects.
  std::string entrySymbol;
  /// What EmitKind asks for.
  std::string code;
  bool fromCache = false;
  double seconds = 0; ///< wall time of the worker; 0 if from the cache
};

struct KernelCompileOptions {
  unsigned jobs = 1; ///< worker processes at once
  EmitKind emit = EmitKind::Object;
  std::string cacheDirectory = KernelCache::defaultDirectory(); ///< empty: no cache
  uint64_t cacheLimitBytes = KernelCache::defaultLimit;
  /// The program that is started as a worker (KernelWorker.h); empty: this executable.
  std::string workerExecutable;
  /// Called after each kernel, from one thread at a time, with the numbers done and in all.
  std::function<void(llvm::StringRef kernel, size_t done, size_t count)> progress;
  /// Called (from one thread at a time) about things that do not stop the compilation, such as a
  /// cache that cannot be written.
  std::function<void(const std::string &)> warn;
};

/// results[i] is the code of kernels[i]. Kernels of equal content are compiled once. The result
/// depends on the kernels, the target and the compiler alone. Errors name the kernel and tell
/// crashes of the code generator from complaints.
llvm::Expected<std::vector<CompiledKernel>> compileKernels(llvm::ArrayRef<KernelOp> kernels,
                                                           const TargetInfo &target,
                                                           const KernelCompileOptions &options);

} // namespace tern
#endif
