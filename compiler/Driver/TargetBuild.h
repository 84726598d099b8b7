// One target's part of a compilation, stage by stage: fuse, kernels, link, plan.
#ifndef TERN_COMPILER_DRIVER_TARGETBUILD_H
#define TERN_COMPILER_DRIVER_TARGETBUILD_H

#include "compiler/CodeGen/ImageLinker.h"
#include "compiler/CodeGen/KernelCompiler.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Transforms/Passes.h"
#include "mlir/IR/OwningOpRef.h"
#include "targets/TargetInfo.h"

namespace tern {

/// Runs passes; the first error diagnostic becomes the error, warnings become notes.
class PassRunner {
public:
  /// `input` names the model in errors. Both outlive the runner.
  PassRunner(llvm::StringRef input, std::vector<std::string> &notes) : input(input), notes(notes) {}

  llvm::Error run(mlir::ModuleOp module, llvm::function_ref<void(mlir::OpPassManager &)> build);

private:
  llvm::StringRef input;
  std::vector<std::string> &notes;
};

/// The stages are called in this order, the last two in either; each changes the module or fills in
/// what follows from it.
struct TargetBuild {
  TargetInfo target;
  mlir::OwningOpRef<mlir::ModuleOp> module; ///< quantized, then of kernels, then of programs
  llvm::SmallVector<KernelOp> kernels;
  std::vector<CompiledKernel> code; ///< [kernel]
  LinkedImage image;

  llvm::Error fuse(PassRunner &passes, const PipelineOptions &options);
  llvm::Error compileKernels(const KernelCompileOptions &options);
  llvm::Error link();
  llvm::Error plan(PassRunner &passes, const PipelineOptions &options);

  /// Of the compiled kernels, which keep the bytes.
  llvm::SmallVector<LinkInput> linkInputs() const;
};

} // namespace tern
#endif
