// From a file's rows to the bytes a WeightLayout describes.
//
// Packing copies codes and scales where the target encoding holds the source's, and otherwise
// decodes and encodes by GroupFit::Search. Everything works on
// ranges of tiles, so that a caller can stream a tensor of any size through a small buffer and use
// several threads.
#ifndef TERN_COMPILER_ENCODING_PACKWEIGHTS_H
#define TERN_COMPILER_ENCODING_PACKWEIGHTS_H

#include "compiler/Encoding/BlockFormat.h"
#include "compiler/Encoding/WeightLayout.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"

namespace tern {

/// Rows of `k` elements, one after another in a file's format. Pointers are not owned.
struct SourceRows {
  const BlockFormat *format = nullptr;
  const uint8_t *data = nullptr;
  uint64_t rows = 0;
  const float *importance = nullptr; ///< weight of each of the k columns' errors, or null
  float tensorScale = 0;             ///< with BlockFormat::tensorScaleBytes
};

/// What encoding values anew has cost, summed over elements; both 0 where codes were copied.
struct EncodingError {
  double squaredError = 0, squaredValues = 0;
  void add(const float *values, const float *encoded, uint64_t count);
  void operator+=(const EncodingError &other) {
    squaredError += other.squaredError;
    squaredValues += other.squaredValues;
  }
  /// |encoded - values| / |values|, the Frobenius norms; 0 for nothing but zeros.
  double relative() const;
};

/// A matrix [rows][k], or [parts][rows][k], and how it shall lie in the artifact.
struct PackedMatrix {
  WeightLayout layout;
  EncodingDesc encoding;
  uint64_t rows = 0, k = 0;
  /// Per part, the sources whose rows follow each other; their rows add up to `rows`.
  llvm::SmallVector<llvm::SmallVector<SourceRows, 1>, 1> parts;

  uint64_t tiles() const { return (rows + layout.tileRows - 1) / layout.tileRows; }
  uint64_t tileBytes() const { return layout.tileBytes(encoding, k, parts.size()); }
  uint64_t bytes() const { return tiles() * tileBytes(); }
};

/// True if every value of `format` can be stored in `encoding` without a change: packing then
/// copies.
bool holdsExactly(const EncodingDesc &encoding, const BlockFormat &format);

/// Says what is wrong with a request before any byte is packed: rows that do not add up, a K that
/// is no multiple of a block or group, codes that do not fill bytes.
llvm::Error checkPackedMatrix(const PackedMatrix &matrix);

/// Writes tiles [first, end) to `out`, (end - first) * tileBytes() bytes. Rows past the last are
/// zero bytes: code 0 under scale 0. The matrix has passed checkPackedMatrix. Thread-safe.
/// `errors` is empty or has an entry for each source, in the order of the parts, to add to.
void packTiles(const PackedMatrix &matrix, uint64_t first, uint64_t end, uint8_t *out,
               llvm::MutableArrayRef<EncodingError> errors = {});

/// True if a Ternary-typed tensor of 2-bit codes holds code 3 (value +2) anywhere: it is then
/// Quaternary. `data` is `blocks` blocks of `format`, codes first. Thread-safe.
bool holdsCode3(const BlockFormat &format, const uint8_t *data, uint64_t blocks);

} // namespace tern
#endif
