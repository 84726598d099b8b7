// The order of the passes, and the pipelines' names for tern-opt.
#include "compiler/Transforms/Passes.h"

#include "mlir/Pass/PassRegistry.h"

using namespace mlir;
using namespace tern;

void tern::buildQuantizePipeline(OpPassManager &manager, const PipelineOptions &options) {
  manager.addPass(createTernSimplify());
  manager.addPass(createTernQuantize({options.policy}));
}

void tern::buildFusePipeline(OpPassManager &manager, const PipelineOptions &options) {
  manager.addPass(createTernFuse());
  manager.addPass(createTernSimplify());
  manager.addPass(createTernChooseLayouts({options.target}));
  manager.addPass(createTernFormKernels());
}

void tern::buildPlanPipeline(OpPassManager &manager, const PipelineOptions &options) {
  manager.addPass(createTernLowerToPlan({options.target, options.maxBatch, options.maxWanted}));
  manager.addNestedPass<plan::ProgramOp>(createPlanMemory());
}

namespace {

struct PipelineCommandLine : PassPipelineOptions<PipelineCommandLine> {
  Option<std::string> target{*this, "target", llvm::cl::desc("target name"),
                             llvm::cl::init("x86_64-avx2")};
  Option<std::string> policy{*this, "policy", llvm::cl::desc("quantization policy"),
                             llvm::cl::init("keep")};
  Option<int64_t> maxBatch{*this, "max-batch", llvm::cl::desc("bound of T"), llvm::cl::init(64)};
  Option<int64_t> maxWanted{*this, "max-wanted", llvm::cl::desc("bound of R"), llvm::cl::init(8)};

  PipelineOptions get() const { return {target, policy, maxBatch, maxWanted}; }
};

} // namespace

void tern::registerTernPipelines() {
  using Registration = PassPipelineRegistration<PipelineCommandLine>;
  Registration("tern-quantize-pipeline", "simplify and quantize",
               [](OpPassManager &manager, const PipelineCommandLine &options) {
                 buildQuantizePipeline(manager, options.get());
               });
  Registration("tern-fuse-pipeline", "fuse, choose layouts, form kernels",
               [](OpPassManager &manager, const PipelineCommandLine &options) {
                 buildFusePipeline(manager, options.get());
               });
  Registration("tern-plan-pipeline", "lower to a plan and plan its memory",
               [](OpPassManager &manager, const PipelineCommandLine &options) {
                 buildPlanPipeline(manager, options.get());
               });
  Registration("tern-pipeline", "everything from an imported graph to a plan",
               [](OpPassManager &manager, const PipelineCommandLine &options) {
                 buildQuantizePipeline(manager, options.get());
                 buildFusePipeline(manager, options.get());
                 buildPlanPipeline(manager, options.get());
               });
}
