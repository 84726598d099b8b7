// How a weight matrix [rows][K] lies in the artifact for one target.
//
// The packer writes this order, the kernels read it, both from this one description:
//
//   for each tile of `tileRows` rows                      (the last tile padded with zero weights)
//     float codes (f32, f16, bf16):
//       for each k in 0..K-1:  tileRows elements          (row fastest)
//     grouped codes:
//       for each group g of `groupSize` along K
//         for each part p                                 (parts > 1: stacked matrices
//         [parts][rows][K])
//           tileRows scales                               (f16 or f32)
//           for each line j in 0 .. groupSize / (4 * planes) - 1
//             for each row r in the tile, for each i in 0..3:
//               one byte with `planes` codes; plane q (bits q * codeBits ...) is the code of
//               k = g * groupSize + (j * planes + q) * 4 + i
//   (float codes with parts: for each k, for each part, tileRows elements)
//
// planes = 8 / codeBits. Ternary, quaternary and int4 codes are stored unsigned as they are
// (code, not code - zero); int8 codes are stored as two's complement.
// A layout is identified by `id()`; it is the layout string of the `#tern.enc` attribute and of the
// artifact.
#ifndef TERN_COMPILER_ENCODING_WEIGHTLAYOUT_H
#define TERN_COMPILER_ENCODING_WEIGHTLAYOUT_H

#include "compiler/Encoding/Encoding.h"

namespace tern {

struct WeightLayout {
  unsigned tileRows = 32; ///< rows per tile = rows per task of a linear kernel

  unsigned planes(const EncodingDesc &e) const { return e.isFloat() ? 1 : 8 / e.codeBits(); }
  /// Bytes of one group of one tile and part, scales included.
  uint64_t groupBytes(const EncodingDesc &) const;
  /// Bytes of one tile, all parts.
  uint64_t tileBytes(const EncodingDesc &, uint64_t k, uint64_t parts = 1) const;
  /// Bytes of the whole packed tensor.
  uint64_t packedBytes(const EncodingDesc &, uint64_t rows, uint64_t k, uint64_t parts = 1) const;
  std::string id() const; ///< "rows32"
};

/// The layout named by an artifact or attribute string; nullopt if unknown.
std::optional<WeightLayout> parseWeightLayout(llvm::StringRef id);

} // namespace tern
#endif
