#include "compiler/Encoding/WeightedGroup.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace llvm;

namespace tern {

namespace {

constexpr unsigned laneCount = 8;
// Eight floats in one register or in two.
typedef float Lanes __attribute__((vector_size(laneCount * sizeof(float))));

struct CodeSums {
  float q, qq, xq;
};

#if defined(__x86_64__)
// Chosen when the program is loaded; without fused multiply-add, so with the same results.
#define TERN_WIDER_WHERE_POSSIBLE __attribute__((target_clones("avx2", "default")))
#else
#define TERN_WIDER_WHERE_POSSIBLE
#endif

/// The values from `i` on, their weights, and the codes nearest to (value - offset) * inverse.
struct CodedLanes {
  Lanes x, weight, code;
};

__attribute__((always_inline)) inline CodedLanes codedLanes(const WeightedGroup &group, unsigned i,
                                                            float inverse, float offset, float low,
                                                            float high) {
  constexpr float magic = 12582912.0f; // as nearestInteger
  const Lanes lowest = low - Lanes{}, highest = high - Lanes{};
  CodedLanes lanes;
  memcpy(&lanes.x, group.values + i, sizeof lanes.x);
  memcpy(&lanes.weight, group.weights + i, sizeof lanes.weight);
  Lanes position = (lanes.x - offset) * inverse;
  position = position > lowest ? position : lowest;
  position = position < highest ? position : highest;
  lanes.code = (position + magic) - magic;
  return lanes;
}

// The sums that both least-squares problems need, of codes q = clamp(round((x - offset) *
// inverse)).
TERN_WIDER_WHERE_POSSIBLE
CodeSums codeSums(const WeightedGroup &group, float inverse, float offset, float low, float high) {
  Lanes sumQ = {}, sumQQ = {}, sumXQ = {};
  for (unsigned i = 0; i < group.size; i += laneCount) {
    auto [x, weight, code] = codedLanes(group, i, inverse, offset, low, high);
    Lanes weighted = weight * code;
    sumQ += weighted;
    sumQQ += weighted * code;
    sumXQ += weighted * x;
  }
  CodeSums sums{0, 0, 0};
  for (unsigned lane = 0; lane < laneCount; ++lane) {
    sums.q += sumQ[lane];
    sums.qq += sumQQ[lane];
    sums.xq += sumXQ[lane];
  }
  return sums;
}

TERN_WIDER_WHERE_POSSIBLE
float codeError(const WeightedGroup &group, float inverse, float scale, float offset, float low,
                float high) {
  Lanes sum = {};
  for (unsigned i = 0; i < group.size; i += laneCount) {
    auto [x, weight, code] = codedLanes(group, i, inverse, offset, low, high);
    Lanes difference = x - (scale * code + offset);
    sum += weight * difference * difference;
  }
  float error = 0;
  for (unsigned lane = 0; lane < laneCount; ++lane)
    error += sum[lane];
  return error;
}

// Ascending values and how to find the nearest: each step counts where the position is above the
// middle between it and the one before.
struct Steps {
  unsigned count = 0;
  float first = 0, middles[WeightedGroup::maxSteps], rises[WeightedGroup::maxSteps];

  explicit Steps(ArrayRef<float> steps) : count(unsigned(steps.size()) - 1), first(steps[0]) {
    for (unsigned i = 0; i < count; ++i) {
      middles[i] = (steps[i] + steps[i + 1]) / 2;
      rises[i] = steps[i + 1] - steps[i];
    }
  }
};

TERN_WIDER_WHERE_POSSIBLE
CodeSums stepSums(const WeightedGroup &group, const Steps &steps, float inverse) {
  Lanes sumQQ = {}, sumXQ = {};
  for (unsigned i = 0; i < group.size; i += laneCount) {
    Lanes x, weight;
    memcpy(&x, group.values + i, sizeof x);
    memcpy(&weight, group.weights + i, sizeof weight);
    Lanes position = x * inverse, q = steps.first + Lanes{};
    for (unsigned s = 0; s < steps.count; ++s)
      q += position > steps.middles[s] ? steps.rises[s] + Lanes{} : Lanes{};
    sumQQ += weight * q * q;
    sumXQ += weight * q * x;
  }
  CodeSums sums{0, 0, 0};
  for (unsigned lane = 0; lane < laneCount; ++lane) {
    sums.qq += sumQQ[lane];
    sums.xq += sumXQ[lane];
  }
  return sums;
}

float inverseOf(float scale) { return scale == 0 ? 0 : 1 / scale; }

// Candidates as steps beyond the code range: the largest value lies at 1 + step / codes of it.
constexpr unsigned candidates = 22;
float stepOf(unsigned candidate) { return -0.8f + 0.2f * float(candidate); }

} // namespace

WeightedGroup::WeightedGroup(ArrayRef<float> data, const float *importance) {
  size = (unsigned(data.size()) + laneCount - 1) / laneCount * laneCount;
  bool weighted = false;
  for (unsigned i = 0; i < size; ++i) {
    values[i] = i < data.size() ? data[i] : 0;
    weights[i] = i >= data.size() ? 0 : importance ? importance[i] : 1;
    weighted |= weights[i] > 0;
  }
  if (!weighted)
    std::fill_n(weights, data.size(), 1.0f);
}

float WeightedGroup::errorOf(FittedScale fit, const CodeRange &range) const {
  return codeError(*this, inverseOf(fit.scale), fit.scale, fit.minimum, range.low, range.high);
}

float WeightedGroup::fitScale(const CodeRange &range) const {
  float peak = 0;
  for (unsigned i = 0; i < size; ++i)
    peak = std::fabs(values[i]) > std::fabs(peak) ? values[i] : peak;
  float best = 0, bestGain = 0;
  auto consider = [&](float inverse) {
    CodeSums sums = codeSums(*this, inverse, 0, range.low, range.high);
    // The error of the best scale is sum(w x^2) - xq^2 / qq.
    if (sums.qq > 0 && sums.xq * sums.xq > bestGain * sums.qq) {
      bestGain = sums.xq * sums.xq / sums.qq;
      best = sums.xq / sums.qq;
    }
  };
  // An uneven range is tried both ways round.
  if (std::isfinite(peak) && peak != 0)
    for (unsigned i = 0; i < candidates; ++i) {
      float step = stepOf(i);
      consider((range.low - step) / peak);
      if (!range.even)
        consider((-range.low + step) / peak);
    }
  return best;
}

FittedScale WeightedGroup::fitScaleAndMinimum(float high, bool belowZero) const {
  // The padding has zeros that may lie outside the values: only what counts is looked at.
  float least = values[0], largest = values[0], sumW = 0, sumX = 0;
  for (unsigned i = 0; i < size; ++i) {
    if (weights[i] > 0) {
      least = std::min(least, values[i]);
      largest = std::max(largest, values[i]);
    }
    sumW += weights[i];
    sumX += weights[i] * values[i];
  }
  float range = largest - least;
  FittedScale best{0, sumX / sumW};
  float bestGain = sumX * sumX / sumW;
  if (belowZero && !(best.minimum < 0)) {
    best.minimum = 0;
    bestGain = 0;
  }
  auto consider = [&](float inverse, float offset) {
    CodeSums sums = codeSums(*this, inverse, offset, 0, high);
    float determinant = sumW * sums.qq - sums.q * sums.q;
    float scale = (sumW * sums.xq - sumX * sums.q) / determinant;
    float minimum = (sums.qq * sumX - sums.q * sums.xq) / determinant;
    if (belowZero && sums.qq > 0 && !(determinant > 0 && minimum <= 0)) {
      minimum = 0;
      scale = sums.xq / sums.qq;
    } else if (!(determinant > 0)) {
      return;
    }
    float gain = belowZero ? scale * (2 * sums.xq - scale * sums.qq - 2 * minimum * sums.q) +
                                 minimum * (2 * sumX - minimum * sumW)
                           : scale * sums.xq + minimum * sumX;
    if (gain > bestGain && (scale > 0 || !belowZero)) {
      bestGain = gain;
      best = {scale, minimum};
    }
  };
  bool fromZero = belowZero && largest > 0;
  if (!std::isfinite(range) || !(range > 0 || fromZero))
    return std::isfinite(best.minimum) ? best : FittedScale{};
  for (unsigned i = 0; i < candidates; ++i) {
    float step = stepOf(i);
    // What is clipped lies above, below, or half on each side.
    float inverse = (high + step) / range, clipped = range - high / inverse;
    if (range > 0)
      for (float share : {0.0f, 0.5f, 1.0f})
        consider(inverse, least + share * clipped);
    if (fromZero)
      consider((high + step) / largest, 0);
  }
  return best;
}

float WeightedGroup::errorOf(float scale, ArrayRef<float> steps) const {
  CodeSums sums = stepSums(*this, Steps(steps), inverseOf(scale));
  float squares = 0;
  for (unsigned i = 0; i < size; ++i)
    squares += weights[i] * values[i] * values[i];
  return squares - scale * (2 * sums.xq - scale * sums.qq);
}

float WeightedGroup::fitScale(ArrayRef<float> steps) const {
  float peak = 0;
  for (unsigned i = 0; i < size; ++i)
    peak = std::fabs(values[i]) > std::fabs(peak) ? values[i] : peak;
  float best = 0, bestGain = 0;
  if (!std::isfinite(peak) || peak == 0)
    return best;
  Steps book(steps);
  // The largest value lies near the one end or the other.
  constexpr unsigned stretches = 24;
  for (float end : {steps.front(), steps.back()})
    for (unsigned i = 0; i < stretches; ++i) {
      CodeSums sums = stepSums(*this, book, end * (0.88f + 0.02f * float(i)) / peak);
      if (sums.qq > 0 && sums.xq * sums.xq > bestGain * sums.qq) {
        bestGain = sums.xq * sums.xq / sums.qq;
        best = sums.xq / sums.qq;
      }
    }
  return best;
}

void writeCodes(ArrayRef<float> values, FittedScale fit, const CodeRange &range, int zero,
                uint8_t *codes) {
  float inverse = inverseOf(fit.scale);
  for (unsigned i = 0; i < values.size(); ++i) {
    float position = (values[i] - fit.minimum) * inverse;
    float code = nearestInteger(position > range.low ? std::min(position, range.high) : range.low);
    codes[i] = uint8_t(int(code) + zero);
  }
}

} // namespace tern
