// Sums are kept in eight lanes whatever the machine, so that results are the same on each.
#include "compiler/Encoding/ScaleSearch.h"

#include "compiler/Encoding/GroupArithmetic.h"
#include <algorithm>
#include <cmath>
#include <cstring>

using namespace llvm;

namespace tern {

namespace {

constexpr unsigned lanes = 8;
constexpr unsigned largestGroup = 256;

// Added and taken away again, it leaves the nearest integer, halves to even, of a magnitude below
// 2^22: 1.5 * 2^23 has no bits after the point.
constexpr float nearestMagic = 12582912.0f;

float nearest(float x) { return (x + nearestMagic) - nearestMagic; }

// A group's values and weights, padded to whole lanes with weights of 0.
struct Group {
  unsigned size = 0; ///< a multiple of lanes
  float values[largestGroup], weights[largestGroup];

  Group(ArrayRef<float> data, const float *importance) {
    size = (unsigned(data.size()) + lanes - 1) / lanes * lanes;
    bool weighted = false;
    for (unsigned i = 0; i < size; ++i) {
      values[i] = i < data.size() ? data[i] : 0;
      weights[i] = i >= data.size() ? 0 : importance ? importance[i] : 1;
      weighted |= weights[i] > 0;
    }
    if (!weighted) // nothing is known of the group
      std::fill_n(weights, data.size(), 1.0f);
  }
};

struct CodeSums {
  float q, qq, xq;
};

#if defined(__x86_64__)
// Chosen when the program is loaded; without fused multiply-add, so with the same results.
#define TERN_WIDER_WHERE_POSSIBLE __attribute__((target_clones("avx2", "default")))
#else
#define TERN_WIDER_WHERE_POSSIBLE
#endif

// The sums that both least-squares problems need, of codes q = clamp(round((x - offset) *
// inverse)).
TERN_WIDER_WHERE_POSSIBLE
CodeSums codeSums(const Group &group, float inverse, float offset, float low, float high) {
  // Eight floats in one register or in two.
  typedef float Lanes __attribute__((vector_size(lanes * sizeof(float))));
  Lanes sumQ = {}, sumQQ = {}, sumXQ = {}, lowest = low - Lanes{}, highest = high - Lanes{};
  for (unsigned i = 0; i < group.size; i += lanes) {
    Lanes x, weight;
    memcpy(&x, group.values + i, sizeof x);
    memcpy(&weight, group.weights + i, sizeof weight);
    Lanes position = (x - offset) * inverse;
    position = position > lowest ? position : lowest;
    position = position < highest ? position : highest;
    Lanes code = (position + nearestMagic) - nearestMagic, weighted = weight * code;
    sumQ += weighted;
    sumQQ += weighted * code;
    sumXQ += weighted * x;
  }
  CodeSums sums{0, 0, 0};
  for (unsigned lane = 0; lane < lanes; ++lane) {
    sums.q += sumQ[lane];
    sums.qq += sumQQ[lane];
    sums.xq += sumXQ[lane];
  }
  return sums;
}

float rounded(ScaleType type, float scale) { return scaleFromBits(type, scaleToBits(type, scale)); }

// Candidates as steps beyond the code range: the largest value lies at 1 + step / codes of it.
constexpr unsigned candidates = 22;
float stepOf(unsigned candidate) { return -0.8f + 0.2f * float(candidate); }

void writeCodes(ArrayRef<float> values, FittedScale fit, float low, float high, int zero,
                uint8_t *codes) {
  float inverse = fit.scale == 0 ? 0 : 1 / fit.scale;
  for (unsigned i = 0; i < values.size(); ++i) {
    float position = (values[i] - fit.minimum) * inverse;
    float code = nearest(position > low ? std::min(position, high) : low); // NaN becomes low
    codes[i] = uint8_t(int(code) + zero);
  }
}

FittedScale searchSymmetric(const EncodingDesc &encoding, ArrayRef<float> values,
                            const Group &group, uint8_t *codes) {
  int zero = encoding.zero();
  bool evenRange = encoding.codes == CodeKind::Int8;
  float low = evenRange ? -127 : float(-zero), high = evenRange ? 127 : float(zero - 1);
  float peak = 0;
  for (float x : values)
    peak = std::fabs(x) > std::fabs(peak) ? x : peak;
  FittedScale best;
  float bestGain = 0;
  auto consider = [&](float inverse) {
    CodeSums sums = codeSums(group, inverse, 0, low, high);
    // The error of the best scale is sum(w x^2) - xq^2 / qq.
    if (sums.qq > 0 && sums.xq * sums.xq > bestGain * sums.qq) {
      bestGain = sums.xq * sums.xq / sums.qq;
      best.scale = sums.xq / sums.qq;
    }
  };
  // An uneven range is tried both ways round.
  if (std::isfinite(peak) && peak != 0)
    for (unsigned i = 0; i < candidates; ++i) {
      float step = stepOf(i);
      consider((low - step) / peak);
      if (!evenRange)
        consider((-low + step) / peak);
    }
  best.scale = rounded(encoding.scale, best.scale);
  writeCodes(values, best, low, high, zero, codes);
  return best;
}

FittedScale searchWithMinimum(const EncodingDesc &encoding, ArrayRef<float> values,
                              const Group &group, uint8_t *codes) {
  float high = float(encoding.largestCode());
  auto [least, largest] = std::minmax_element(values.begin(), values.end());
  float range = *largest - *least, sumW = 0, sumX = 0;
  for (unsigned i = 0; i < group.size; ++i) {
    sumW += group.weights[i];
    sumX += group.weights[i] * group.values[i];
  }
  FittedScale best{0, sumX / sumW};
  float bestGain = sumX * sumX / sumW;
  auto consider = [&](float inverse, float offset) {
    CodeSums sums = codeSums(group, inverse, offset, 0, high);
    float determinant = sumW * sums.qq - sums.q * sums.q;
    if (!(determinant > 0))
      return;
    float scale = (sumW * sums.xq - sumX * sums.q) / determinant;
    float minimum = (sums.qq * sumX - sums.q * sums.xq) / determinant;
    float gain = scale * sums.xq + minimum * sumX;
    if (gain > bestGain) {
      bestGain = gain;
      best = {scale, minimum};
    }
  };
  // What is clipped lies above, below, or half on each side.
  if (std::isfinite(range) && range > 0)
    for (unsigned i = 0; i < candidates; ++i) {
      float step = stepOf(i);
      float inverse = (high + step) / range, clipped = range - high / inverse;
      for (float share : {0.0f, 0.5f, 1.0f})
        consider(inverse, *least + share * clipped);
    }
  best.scale = rounded(encoding.scale, best.scale);
  best.minimum = rounded(encoding.scale, best.minimum);
  writeCodes(values, best, 0, high, 0, codes);
  return best;
}

} // namespace

bool isSearched(const EncodingDesc &encoding) {
  bool floatScale = encoding.scale == ScaleType::F16 || encoding.scale == ScaleType::F32;
  if (encoding.hasSuper() || !floatScale || encoding.groupSize > largestGroup)
    return false;
  switch (encoding.codes) {
  case CodeKind::Int3:
  case CodeKind::Int4:
  case CodeKind::Int5:
  case CodeKind::Int6:
  case CodeKind::Int8:
    return !encoding.minimum;
  case CodeKind::UInt2:
  case CodeKind::UInt4:
  case CodeKind::UInt5:
    return encoding.minimum;
  default:
    return false;
  }
}

FittedScale searchScale(const EncodingDesc &encoding, ArrayRef<float> values,
                        const float *importance, uint8_t *codes) {
  Group group(values, importance);
  return encoding.minimum ? searchWithMinimum(encoding, values, group, codes)
                          : searchSymmetric(encoding, values, group, codes);
}

} // namespace tern
