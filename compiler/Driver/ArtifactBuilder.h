// From compiled modules to the ArtifactModel that the writer packs.
#ifndef TERN_COMPILER_DRIVER_ARTIFACTBUILDER_H
#define TERN_COMPILER_DRIVER_ARTIFACTBUILDER_H

#include "compiler/Artifact/ArtifactModel.h"
#include "compiler/CodeGen/ImageLinker.h"
#include "compiler/Dialect/Plan/PlanDialect.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Import/ImportanceMatrix.h"
#include "compiler/Text/TokenizerSpec.h"
#include "mlir/IR/BuiltinOps.h"
#include "targets/TargetInfo.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

namespace tern {

/// Collects variants over one tensor table. Add what all variants share first (constructor), then
/// each target's module after the plan pipeline, in order of preference.
class ArtifactBuilder {
public:
  /// Metadata, bounds and caches from the imported module's attributes and symbols.
  ArtifactBuilder(mlir::ModuleOp imported, int64_t maxBatch, int64_t maxWanted);

  void addMetadata(llvm::StringRef key, llvm::StringRef value);
  /// `warn` is called for each thing of it that the artifact's tokenizer leaves out. After an error
  /// the builder is as before.
  llvm::Error addTokenizer(const TokenizerSpec &tokenizer,
                           llvm::function_ref<void(llvm::StringRef)> warn);

  /// Weighs the errors of matrices that are encoded anew. Before the first variant; not owned.
  void setImportance(const ImportanceMatrix *matrix) { importance = matrix; }
  /// How many matrices it weighs.
  size_t weighedMatrices() const { return weighed; }

  /// `kernels` are the module's kernels in the order of `image.entries`. Tensors whose name,
  /// encoding and layout are already in the table are shared.
  llvm::Error addVariant(mlir::ModuleOp module, const TargetInfo &target,
                         llvm::ArrayRef<KernelOp> kernels, const LinkedImage &image);

  /// The finished model; the builder is empty afterwards.
  ArtifactModel take(std::vector<std::string> inputFiles);

private:
  llvm::Expected<uint32_t> tensorIndex(WeightOp weight);
  llvm::Error weigh(MatrixSource &matrix);
  llvm::Error addPlan(mlir::ModuleOp module, plan::ProgramOp program, fb::VariantT &variant);

  ArtifactModel model;
  const ImportanceMatrix *importance = nullptr;
  size_t weighed = 0;
  llvm::StringMap<uint32_t> tensors;  ///< name, encoding and layout -> index
  llvm::StringMap<uint32_t> units;    ///< by name
  llvm::StringMap<uint32_t> kvCaches; ///< by symbol
};

} // namespace tern
#endif
