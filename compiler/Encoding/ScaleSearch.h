// The scale of a group that leaves the least squared error: what --quantize=int4 and int8 use.
//
// A scale that clips the largest values is often better than one that just holds them. Candidates
// clip by up to a third of the range; for the codes each of them gives, the best scale is the
// solution of a least-squares problem, and the candidate of the least error wins.
#ifndef TERN_COMPILER_ENCODING_SCALESEARCH_H
#define TERN_COMPILER_ENCODING_SCALESEARCH_H

#include "compiler/Encoding/Encoding.h"

namespace tern {

/// What scales a group, as floats that the encoding's scale type holds exactly.
struct FittedScale {
  float scale = 0;
  float minimum = 0; ///< with EncodingDesc::minimum
};

/// True if searchScale encodes so: integers in groups of at most 256 under a scale of f16 or f32.
bool isSearched(const EncodingDesc &encoding);

/// Encodes one group with the least sum of importance * (value - decoded)^2 that is found.
/// isSearched(encoding). `importance` has one weight of at least 0 per value, or is null: all
/// equal. Values that are not finite get valid codes of no meaning.
FittedScale searchScale(const EncodingDesc &encoding, llvm::ArrayRef<float> values,
                        const float *importance, uint8_t *codes);

} // namespace tern
#endif
