// Creation and registration of the passes that Passes.td describes, and of the named pipelines.
#ifndef TERN_COMPILER_TRANSFORMS_PASSES_H
#define TERN_COMPILER_TRANSFORMS_PASSES_H

#include "compiler/Dialect/Plan/PlanDialect.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"

namespace tern {

#define GEN_PASS_DECL
#include "compiler/Transforms/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "compiler/Transforms/Passes.h.inc"

/// What the pipelines need to know beyond the module.
struct PipelineOptions {
  std::string target = "x86_64-avx2";
  std::string policy = "keep";
  int64_t maxBatch = 64;
  int64_t maxWanted = 8;
};

/// Imported graph -> quantized graph (--emit=quantized-ir).
void buildQuantizePipeline(mlir::OpPassManager &, const PipelineOptions &);
/// Quantized graph -> kernels and launches (--emit=fused-ir).
void buildFusePipeline(mlir::OpPassManager &, const PipelineOptions &);
/// Kernels and launches -> plan with planned memory (--emit=plan-ir).
void buildPlanPipeline(mlir::OpPassManager &, const PipelineOptions &);

/// tern-quantize-pipeline, tern-fuse-pipeline, tern-plan-pipeline, tern-pipeline (all three).
void registerTernPipelines();

} // namespace tern
#endif
