// The table part of an artifact: found, checked against its digest and its schema, versions
// compared.
//
// What this file checks makes the FlatBuffer accessors safe to call. That the numbers in it make
// sense is the business of Verify.h.
#ifndef TERN_RUNTIME_CORE_ARTIFACT_H
#define TERN_RUNTIME_CORE_ARTIFACT_H

#include "runtime/core/CheckedMath.h"
#include "runtime/core/Memory.h"
#include "runtime/core/Source.h"
#include "runtime/core/Status.h"
#include "tern_generated.h"

namespace tern::runtime {

/// Highest Artifact.minimum_reader this runtime understands.
inline constexpr uint32_t readerVersion = 2;
/// Every segment begins at a multiple of this.
inline constexpr uint64_t segmentAlignment = 16384;

class ArtifactTable {
public:
  /// Reads the table part of `source`. The table lies in the source's memory if that is in place,
  /// else in memory of `allocator`.
  static Status open(const Source &source, const Allocator &allocator, ArtifactTable &result);

  const fb::Artifact &operator*() const { return *root; }
  const fb::Artifact *operator->() const { return root; }
  /// End of the table part and its digest: segments lie behind it.
  uint64_t end() const { return endOffset; }

  /// SHA-256 of the table part, which covers code and weights through the digests it holds.
  const uint8_t *digest() const { return tableDigest; }

private:
  Block copy;
  const uint8_t *tableDigest = nullptr;
  const fb::Artifact *root = nullptr;
  uint64_t endOffset = 0;
};

/// Value of an extent for T rows of which R are wanted.
inline CheckedSize evaluate(const fb::Extent &extent, uint64_t rows, uint64_t wanted) {
  return CheckedSize(extent.constant()) + CheckedSize(extent.per_token()) * rows +
         CheckedSize(extent.per_wanted()) * wanted;
}

/// Number of elements of a vector that may be absent.
template <typename T> uint32_t sizeOf(const flatbuffers::Vector<T> *vector) {
  return vector ? vector->size() : 0;
}

/// Characters of a string that may be absent.
inline const char *textOf(const flatbuffers::String *text) { return text ? text->c_str() : ""; }

/// Compares bytes with their recorded SHA-256. `what` names them in the error.
Status checkDigest(const void *data, uint64_t size, const fb::Digest &expected, const char *what);

} // namespace tern::runtime

#endif
