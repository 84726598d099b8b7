// The bytes of one tensor, produced piece by piece into a caller's buffer.
#ifndef TERN_COMPILER_ARTIFACT_TENSORSTREAM_H
#define TERN_COMPILER_ARTIFACT_TENSORSTREAM_H

#include "compiler/Artifact/ArtifactModel.h"
#include "compiler/Import/GGUF/MappedFile.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"

namespace tern {

/// Gives room for exactly `bytes` bytes (a multiple of 4, so aligned), which the producer then
/// fills.
using ProvideBytes = llvm::function_ref<llvm::Expected<uint8_t *>(uint64_t bytes)>;

/// Checks a source against the input files: indices, ranges, shapes. `name` is for messages.
llvm::Error checkSource(llvm::StringRef name, const TensorSource &source,
                        llvm::ArrayRef<gguf::MappedFile> inputs);

/// Produces packedSize(source) bytes in order, in pieces of about `pieceBytes` (a single tile or
/// row may be larger), and releases input pages behind itself. The source has passed checkSource.
/// `errors` becomes what ArtifactModel::errors describes. A matrix whose values cannot be encoded,
/// since they are not finite or too large for its scales, is an error.
llvm::Error produceTensor(const TensorSource &source, llvm::ArrayRef<gguf::MappedFile> inputs,
                          uint64_t pieceBytes, ProvideBytes provide,
                          std::vector<EncodingError> &errors);

} // namespace tern
#endif
