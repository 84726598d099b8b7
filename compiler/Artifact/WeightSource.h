// From a `tern.weight` of the graph to the TensorSource the writer packs.
#ifndef TERN_COMPILER_ARTIFACT_WEIGHTSOURCE_H
#define TERN_COMPILER_ARTIFACT_WEIGHTSOURCE_H

#include "compiler/Artifact/ArtifactModel.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "llvm/Support/Error.h"

namespace tern {

/// Resolves `#tern.file`, `#tern.parts` (nested too) and `#tern.rope_table`. A weight whose type
/// has a
/// `#tern.enc` with a layout becomes a MatrixSource, one without a layout or encoding a
/// PlainSource.
llvm::Expected<TensorSource> weightSource(WeightOp weight);

/// `rows` with the importance of their columns (empty: none), which stays the caller's. Experts
/// have columns of their own, one expert after the other: their rows become a piece for each.
llvm::Expected<std::vector<FileRows>> weighRows(const FileRows &rows,
                                                llvm::ArrayRef<float> columns);

/// The schema's tensor record of a weight: name, shape, encoding, layout id. `unit` is the
/// caller's.
std::unique_ptr<fb::TensorT> tensorRecord(WeightOp weight);

} // namespace tern
#endif
