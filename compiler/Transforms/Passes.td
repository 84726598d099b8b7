// The passes, in the order of the pipeline (Pipelines.cpp).
#ifndef TERN_TRANSFORMS_PASSES_TD
#define TERN_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def TernSimplify : Pass<"tern-simplify", "::mlir::ModuleOp"> {
  let summary = "Fold, merge equal ops, drop dead ops and the weights nobody uses";
  let description = [{
    Runs each op's folders and dead-code elimination, merges equal pure ops, and erases `tern.weight` and
    `tern.kv_cache` symbols without uses.
  }];
}

def TernQuantize : Pass<"tern-quantize", "::mlir::ModuleOp"> {
  let summary = "Choose each weight's encoding and quantize the activations that meet integer codes";
  let description = [{
    The policy applies to matrices used by `tern.linear` and `tern.embed`; vectors stay f32. `keep` leaves an
    encoding as the file has it. A weight whose type changes keeps its source: the packer decodes and encodes.

    A linear op on integer codes gets a `tern.encode` on x, shared by all users: groups of 256 for ternary and
    quaternary codes, of 32 for others; one scale per row for ternary weights when the module says
    `tern.activation_quantization = "int8-per-token"`, because the model was trained so.
  }];
  let options = [
    Option<"policy", "policy", "std::string", "\"keep\"",
           "keep | f32 | f16 | int8 | int4[:g32] | ternary, and PATTERN=POLICY pairs, comma-separated">
  ];
  let dependentDialects = ["::tern::TernDialect"];
}

def TernFuse : Pass<"tern-fuse", "::mlir::ModuleOp"> {
  let summary = "One linear op where several read the same x";
  let description = [{
    Linear ops with the same x and the same encoding: a gate / up pair that only meets in one `tern.map` becomes a
    stacked weight [2, N, K]; others are appended row-wise, and slices take the parts. The new weights are
    `#tern.parts` of the old ones.
  }];
  let dependentDialects = ["::tern::TernDialect"];
}

def TernChooseLayouts : Pass<"tern-choose-layouts", "::mlir::ModuleOp"> {
  let summary = "Give each matrix the packed layout that the target's kernels read";
  let options = [Option<"target", "target", "std::string", "\"x86_64-avx2\"", "target name">];
  let dependentDialects = ["::tern::TernDialect"];
}

def TernFormKernels : Pass<"tern-form-kernels", "::mlir::ModuleOp"> {
  let summary = "Outline ops that run together into kernels, one per structure";
  let description = [{
    Every op of a function except parameter accesses moves into a `tern.kernel`: a norm with the gather before and the encode
    or the elementwise tail after it, a linear op with its elementwise tail, norms and rope of keys and query with the cache
    store, everything else alone. Views are copied to their users. Kernels equal but for their names are merged.
  }];
  let dependentDialects = ["::tern::TernDialect"];
}

def TernLowerToPlan : Pass<"tern-lower-to-plan", "::mlir::ModuleOp"> {
  let summary = "Turn functions of launches into plan programs";
  let description = [{
    Each value becomes its component buffers (compiler/Kernels/KernelSignature.h), each launch a `plan.call`;
    `plan.fetch` and `plan.release` mark the first and last use of each weight unit, those aside of which
    a kernel only looks up rows or experts.
  }];
  let options = [
    Option<"target", "target", "std::string", "\"x86_64-avx2\"", "target name">,
    Option<"maxBatch", "max-batch", "int64_t", "64", "bound of T">,
    Option<"maxWanted", "max-wanted", "int64_t", "8", "bound of R">
  ];
  let dependentDialects = ["::tern::plan::PlanDialect"];
}

def PlanMemory : Pass<"plan-memory", "::tern::plan::ProgramOp"> {
  let summary = "Give every arena buffer its offset";
  let description = [{
    Buffers live from their first write to their last use. Greedy by size: the largest buffer first, each at the lowest
    offset free for its whole life (Pisarchyk and Lee, 2020), at the bounds of T and R. The peak and the largest sum of
    simultaneously live bytes, below which no plan can go, are recorded.
  }];
}
#endif
