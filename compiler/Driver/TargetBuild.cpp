// Each stage is one pipeline of passes, or one call of the code generator.
#include "compiler/Driver/TargetBuild.h"

#include "mlir/IR/Diagnostics.h"

using namespace mlir;

namespace tern {

llvm::Error PassRunner::run(ModuleOp module, llvm::function_ref<void(OpPassManager &)> build) {
  std::string message;
  MLIRContext *context = module.getContext();
  ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error && message.empty())
      message = diagnostic.str();
    else if (diagnostic.getSeverity() == DiagnosticSeverity::Warning)
      notes.push_back(diagnostic.str());
    return success();
  });
  PassManager manager(context);
  build(manager);
  if (failed(manager.run(module)))
    return llvm::createStringError(input + ": " + (message.empty() ? "a pass failed" : message));
  return llvm::Error::success();
}

llvm::Error TargetBuild::fuse(PassRunner &passes, const PipelineOptions &options) {
  if (llvm::Error error =
          passes.run(*module, [&](OpPassManager &manager) { buildFusePipeline(manager, options); }))
    return error;
  kernels.assign(module->getOps<KernelOp>().begin(), module->getOps<KernelOp>().end());
  return llvm::Error::success();
}

llvm::Error TargetBuild::compileKernels(const KernelCompileOptions &options) {
  auto compiled = tern::compileKernels(kernels, target, options);
  if (!compiled)
    return compiled.takeError();
  code = std::move(*compiled);
  return llvm::Error::success();
}

llvm::Error TargetBuild::link() {
  auto linked = linkImage(linkInputs());
  if (!linked)
    return linked.takeError();
  image = std::move(*linked);
  return llvm::Error::success();
}

llvm::Error TargetBuild::plan(PassRunner &passes, const PipelineOptions &options) {
  return passes.run(*module, [&](OpPassManager &manager) { buildPlanPipeline(manager, options); });
}

SmallVector<LinkInput> TargetBuild::linkInputs() const {
  SmallVector<LinkInput> inputs;
  for (const CompiledKernel &kernel : code)
    inputs.push_back({kernel.code, kernel.entrySymbol});
  return inputs;
}

} // namespace tern
