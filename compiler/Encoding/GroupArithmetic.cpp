#include "compiler/Encoding/GroupArithmetic.h"

#include "compiler/Encoding/HalfFloat.h"
#include "compiler/Encoding/ScaleSearch.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/ErrorHandling.h"
#include <algorithm>
#include <cmath>

using namespace llvm;

namespace tern {

namespace {

// To the nearest integer, halves away from zero (as ggml's roundf), then clamped; NaN becomes 0.
int roundClamped(float x, int low, int high) {
  if (!(x > float(low)))
    return x == x ? low : 0;
  if (!(x < float(high)))
    return high;
  float magnitude = std::fabs(x);
  int whole = int(magnitude);
  whole += magnitude - float(whole) >= 0.5f;
  return x < 0 ? -whole : whole;
}

float peakMagnitude(ArrayRef<float> values) {
  float peak = 0;
  for (float x : values)
    peak = std::max(peak, std::fabs(x));
  return peak;
}

// The first value of the largest magnitude, with its sign.
float signedPeak(ArrayRef<float> values) {
  float peak = 0, result = 0;
  for (float x : values)
    if (std::fabs(x) > peak) {
      peak = std::fabs(x);
      result = x;
    }
  return result;
}

// Symmetric: code = round(x / scale) + zero in low..high.
float encodeSymmetric(ArrayRef<float> values, float scale, int low, int high, int zero,
                      uint8_t *codes) {
  float inverse = scale == 0 ? 0 : 1 / scale;
  for (auto [i, x] : enumerate(values))
    codes[i] = uint8_t(roundClamped(x * inverse, low, high) + zero);
  return scale;
}

// floor(x) in 0..largest; NaN becomes 0.
uint8_t floorClamped(float x, int largest) {
  return !(x > 0) ? 0 : x >= float(largest) ? uint8_t(largest) : uint8_t(x);
}

// GGUF's Q4_0 and Q5_0: the value of largest magnitude becomes code 0 (that is, -zero).
float encodeSignedPeak(ArrayRef<float> values, int zero, uint8_t *codes) {
  float scale = signedPeak(values) / float(-zero);
  float inverse = scale == 0 ? 0 : 1 / scale;
  for (auto [i, x] : enumerate(values))
    codes[i] = floorClamped(x * inverse + (float(zero) + 0.5f), 2 * zero - 1);
  return scale;
}

// GGUF's Q4_1 and Q5_1: the range of the values from its least to its largest.
std::pair<float, float> encodeRange(ArrayRef<float> values, int largest, uint8_t *codes) {
  float low = values.front(), high = values.front();
  for (float x : values) {
    low = std::min(low, x);
    high = std::max(high, x);
  }
  float scale = (high - low) / float(largest);
  float inverse = scale == 0 ? 0 : 1 / scale;
  for (auto [i, x] : enumerate(values))
    codes[i] = floorClamped((x - low) * inverse + 0.5f, largest);
  return {scale, low};
}

// GGUF's MXFP4: the exponent of the largest magnitude, less that of the largest code; the nearest
// value of the book, the first of equals.
uint32_t encodePowerOfTwo(const EncodingDesc &encoding, ArrayRef<float> values, uint8_t *codes) {
  float peak = peakMagnitude(values);
  uint32_t bits = 0;
  if (peak > 0)
    bits = uint32_t(std::clamp(std::floor(std::log2(peak)) - 2 + 127, 0.0f, 254.0f));
  float scale = scaleFromBits(ScaleType::E8M0, bits);
  ArrayRef<int8_t> book = encoding.codeBook();
  for (auto [i, x] : enumerate(values)) {
    unsigned best = 0;
    for (unsigned code = 1; code < book.size(); ++code)
      if (std::fabs(scale * float(book[code]) - x) < std::fabs(scale * float(book[best]) - x))
        best = code;
    codes[i] = uint8_t(best);
  }
  return bits;
}

// The mean magnitude, except that a group of nothing but 0 and +-m keeps its values exactly.
float ternaryMean(ArrayRef<float> values, float peak) {
  double sum = 0;
  bool exact = true;
  for (float x : values) {
    sum += std::fabs(x);
    exact &= x == 0 || std::fabs(x) == peak;
  }
  return exact ? peak : float(sum / double(values.size()));
}

// The value of largest magnitude becomes code 3 (that is, +2), or, where that is nearer as a whole,
// +-1.
float encodeQuaternary(ArrayRef<float> values, uint8_t *codes) {
  auto errorOf = [&](float scale) {
    encodeSymmetric(values, scale, -1, 2, 1, codes);
    double error = 0;
    for (auto [i, x] : enumerate(values)) {
      double difference = double(scale) * (int(codes[i]) - 1) - x;
      error += difference * difference;
    }
    return error;
  };
  float peak = signedPeak(values), scale = peak / 2;
  if (errorOf(std::fabs(peak)) < errorOf(scale))
    scale = std::fabs(peak);
  return encodeSymmetric(values, scale, -1, 2, 1, codes);
}

} // namespace

float scaleFromBits(ScaleType type, uint32_t bits) {
  switch (type) {
  case ScaleType::F16:
    return halfToFloat(uint16_t(bits));
  case ScaleType::F32:
    return std::bit_cast<float>(bits);
  case ScaleType::E8M0: // half of the power of two, since its codes are doubled
    return std::bit_cast<float>(bits < 2 ? 0x00200000u << bits : (bits - 1) << 23);
  default:
    llvm_unreachable("integer scales have no value of their own");
  }
}

uint32_t scaleToBits(ScaleType type, float scale) {
  return type == ScaleType::F16 ? floatToHalf(scale) : std::bit_cast<uint32_t>(scale);
}

namespace {
GroupScale encodeByRule(const EncodingDesc &encoding, GroupFit fit, ArrayRef<float> values,
                        uint8_t *codes) {
  float scale = 0;
  switch (encoding.codes) {
  case CodeKind::Int8:
    scale = encodeSymmetric(values, peakMagnitude(values) / 127, -127, 127, 0, codes);
    break;
  case CodeKind::Int3:
  case CodeKind::Int4:
  case CodeKind::Int5:
  case CodeKind::Int6:
    scale = encodeSignedPeak(values, encoding.zero(), codes);
    break;
  case CodeKind::UInt2:
  case CodeKind::UInt4:
  case CodeKind::UInt5: {
    auto [step, low] = encodeRange(values, encoding.largestCode(), codes);
    return {scaleToBits(encoding.scale, step), scaleToBits(encoding.scale, low)};
  }
  case CodeKind::Ternary:
  case CodeKind::TernaryB3: {
    float peak = peakMagnitude(values);
    scale = encodeSymmetric(values, fit == GroupFit::Search ? ternaryMean(values, peak) : peak, -1,
                            1, 1, codes);
    break;
  }
  case CodeKind::Quaternary:
    // GGUF's Q2_0 leaves code 3 to models that were trained with it.
    scale = fit == GroupFit::Peak ? encodeSymmetric(values, peakMagnitude(values), -1, 2, 1, codes)
                                  : encodeQuaternary(values, codes);
    break;
  case CodeKind::E2M1:
    return {encodePowerOfTwo(encoding, values, codes)};
  case CodeKind::IQ4NL:
  case CodeKind::F32:
  case CodeKind::F16:
  case CodeKind::BF16:
    llvm_unreachable("encoded by GroupFit::Search");
  }
  return {scaleToBits(encoding.scale, scale)};
}
} // namespace

void encodeGroups(const EncodingDesc &encoding, GroupFit fit, const float *values, uint8_t *codes,
                  GroupScale *scales, const float *importance) {
  if (fit == GroupFit::Search && isSearched(encoding))
    searchScales(encoding, values, importance, codes, scales);
  else
    *scales = encodeByRule(encoding, fit, {values, encoding.groupSize}, codes);
}

void decodeGroup(const EncodingDesc &encoding, const uint8_t *codes, const GroupScale &bits,
                 float *values) {
  float scale = 0, minimum = 0;
  if (encoding.hasSuper()) {
    int inner = encoding.scale == ScaleType::I8 ? int(int8_t(bits.scale))
                                                : int(bits.scale) - encoding.scaleZero();
    scale = scaleFromBits(encoding.superScale, bits.superScale) * float(inner);
    if (encoding.minimum)
      minimum = scaleFromBits(encoding.superScale, bits.superMinimum) * float(bits.minimum);
  } else {
    scale = scaleFromBits(encoding.scale, bits.scale);
    if (encoding.minimum)
      minimum = -scaleFromBits(encoding.scale, bits.minimum);
  }
  ArrayRef<int8_t> book = encoding.codeBook();
  int zero = encoding.zero();
  for (unsigned i = 0; i < encoding.groupSize; ++i) {
    int code = encoding.codes == CodeKind::Int8 ? int(int8_t(codes[i])) : int(codes[i]) - zero;
    float value = scale * float(book.empty() ? code : book[codes[i]]);
    values[i] = encoding.minimum ? value - minimum : value;
  }
}

} // namespace tern
