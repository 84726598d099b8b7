// Reference arithmetic: values of one group from codes and scales, and back.
//
// Every rounding here is part of an encoding's definition: values equal those of the `gguf` package
// and of ggml's own functions to the last bit.
#ifndef TERN_COMPILER_ENCODING_GROUPARITHMETIC_H
#define TERN_COMPILER_ENCODING_GROUPARITHMETIC_H

#include "compiler/Encoding/Encoding.h"

namespace tern {

/// How the scale of a group is found when values are encoded.
enum class GroupFit : uint8_t {
  Peak,   ///< the largest magnitude meets the end of the code range: what GGUF's quantizers do;
          ///< there is none for super-groups and IQ4_NL
  Search, ///< what --quantize does: integers and code books by searchScales; ternary by the mean
          ///< magnitude (BitNet's absmean); quaternary by the nearer of +-2 and +-1
};

/// The raw bits of what scales a group: as stored, integers with their offset. The super-group's
/// are repeated in each of its groups.
struct GroupScale {
  uint32_t scale = 0, minimum = 0;
  uint32_t superScale = 0, superMinimum = 0;
  bool operator==(const GroupScale &) const = default;
};

/// A floating-point scale from its bits, and its bits from a float (f16 and f32 only).
float scaleFromBits(ScaleType type, uint32_t bits);
uint32_t scaleToBits(ScaleType type, float scale);

/// Encodes the values under one outermost scale, `encoding.outerSize()` of them, into as many codes
/// and a GroupScale for each group. `importance` serves GroupFit::Search of integers and code
/// books: the weight of each value's squared error, or null.
void encodeGroups(const EncodingDesc &encoding, GroupFit fit, const float *values, uint8_t *codes,
                  GroupScale *scales, const float *importance = nullptr);
/// The values of Encoding.h's formulas, evaluated in float from left to right.
void decodeGroup(const EncodingDesc &encoding, const uint8_t *codes, const GroupScale &scale,
                 float *values);

} // namespace tern
#endif
