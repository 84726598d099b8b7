// Conversions between float and the two 16-bit float formats, as bit patterns.
//
// Round to nearest even in both; NaN stays NaN. They match NumPy's float16 and the `gguf` package's
// bfloat16 bit for bit, on every host: no hardware conversion is used.
#ifndef TERN_COMPILER_ENCODING_HALFFLOAT_H
#define TERN_COMPILER_ENCODING_HALFFLOAT_H

#include <bit>
#include <cstdint>

namespace tern {

inline float halfToFloat(uint16_t half) {
  // Shift exponent and mantissa into place and rescale by 2^112: exact for normal and subnormal
  // values.
  uint32_t magnitude = uint32_t(half & 0x7fff) << 13;
  float scaled = std::bit_cast<float>(magnitude) * 0x1p112f;
  uint32_t bits =
      (half & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000 : std::bit_cast<uint32_t>(scaled);
  return std::bit_cast<float>(bits | uint32_t(half & 0x8000) << 16);
}

inline uint16_t floatToHalf(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  uint16_t sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) // NaN keeps its leading payload bits and stays a NaN
    return sign | 0x7c00 | ((bits >> 13 & 0x3ff) ? (bits >> 13 & 0x3ff) : 0x200);
  if (bits >= 0x477ff000) // rounds to 2^16 or more
    return sign | 0x7c00;
  if (bits < 0x38800000) {
    // Subnormal half: adding 0.5 aligns the mantissa so that the float adder does the rounding.
    float aligned = std::bit_cast<float>(bits) + 0.5f;
    return sign | uint16_t(std::bit_cast<uint32_t>(aligned) - 0x3f000000);
  }
  uint32_t rounded = bits + 0xfff + (bits >> 13 & 1);
  return sign | uint16_t((rounded - 0x38000000) >> 13);
}

inline float bfloat16ToFloat(uint16_t value) { return std::bit_cast<float>(uint32_t(value) << 16); }

inline uint16_t floatToBfloat16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return uint16_t(bits >> 16 | 0x40); // quiet NaN
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

} // namespace tern
#endif
