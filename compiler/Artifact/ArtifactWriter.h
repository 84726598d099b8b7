// Writes an ArtifactModel to disk: plans offsets, streams packed weights, digests, renames.
#ifndef TERN_COMPILER_ARTIFACT_ARTIFACTWRITER_H
#define TERN_COMPILER_ARTIFACT_ARTIFACTWRITER_H

#include "compiler/Artifact/ArtifactModel.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace tern {

struct WriteOptions {
  /// Threads that pack; each holds one buffer of `bufferBytes` (or one tile, if that is larger) and
  /// 2 MB.
  unsigned threads = 1;
  uint64_t bufferBytes = uint64_t(8) << 20;
  /// Called with packed bytes so far and in total, from one thread at a time; may be null.
  llvm::function_ref<void(uint64_t done, uint64_t total)> progress = nullptr;
};

/// Writes `model` to `path`. The file appears under its name only when it is complete: it is
/// written beside it under a temporary name, which is removed on failure and on SIGINT or SIGTERM.
/// The same model, input files and compiler give the same bytes, whatever the options. Anonymous
/// memory stays at threads * (bufferBytes + 2 MB) plus the flatbuffer; input pages are released as
/// they are used.
///
/// On success `model.table` holds what the writer filled in. Errors name the file and the cause.
llvm::Error writeArtifact(ArtifactModel &model, llvm::StringRef path,
                          const WriteOptions &options = {});

/// Bytes the tensor will take in the artifact, padding included: what a memory estimate needs.
uint64_t packedSize(const TensorSource &source);

} // namespace tern
#endif
