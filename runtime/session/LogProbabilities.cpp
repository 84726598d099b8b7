#include "runtime/session/LogProbabilities.h"

#include "runtime/session/Softmax.h"

#include <cstring>

using namespace tern::runtime;

double tern::runtime::logOfAtLeastOne(double x) {
  // x = 2^n m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh((m - 1) / (m + 1)), |argument| <
  // 0.172.
  uint64_t bits;
  memcpy(&bits, &x, sizeof(bits));
  int n = int(bits >> 52) - 1023;
  bits = (bits & ((uint64_t(1) << 52) - 1)) | uint64_t(1023) << 52;
  double m;
  memcpy(&m, &bits, sizeof(m));
  if (m > 1.4142135623730951) {
    m /= 2;
    ++n;
  }
  const double s = (m - 1) / (m + 1), square = s * s;
  double series = 0;
  for (int k = 19; k >= 1; k -= 2) // 0.172^20 / 21 is below 1e-16
    series = series * square + 1.0 / k;
  return n * 0.69314718055994530942 + 2 * s * series;
}

/// Sorts logits [begin, begin + count) into the most likely ones so far.
void LogProbabilities::addToTop(const float *logits, uint32_t begin, uint32_t count,
                                uint32_t wantedTop) {
  if (topCount == wantedTop && largestOf(logits + begin, count) <= top[topCount - 1].logProbability)
    return;
  for (uint32_t i = begin; i < begin + count; ++i) {
    const float logit = logits[i];
    if (__builtin_isnan(logit) ||
        (topCount == wantedTop && logit <= top[topCount - 1].logProbability))
      continue;
    uint32_t at = topCount < wantedTop ? topCount++ : topCount - 1;
    for (; at > 0 && top[at - 1].logProbability < logit; --at)
      top[at] = top[at - 1];
    top[at] = {int32_t(i), logit};
  }
}

void LogProbabilities::compute(const float *logits, uint32_t vocabulary, int32_t token,
                               uint32_t wantedTop) {
  const float largest = logits[largestLogit(logits, vocabulary)];
  topCount = 0;
  double sum = 0;
  constexpr uint32_t block = 256;
  float weights[block];
  for (uint32_t begin = 0; begin < vocabulary; begin += block) {
    const uint32_t count = vocabulary - begin < block ? vocabulary - begin : block;
    for (uint32_t i = 0; i < count; ++i) {
      const float logit = logits[begin + i];
      weights[i] = logit == largest ? 0 : logit - largest;
    }
    expOfNegatives(weights, count); // 0 for NaN
    sum += sumOf(weights, count);
    if (wantedTop)
      addToTop(logits, begin, count, wantedTop);
  }
  const double logSum = logOfAtLeastOne(sum);
  // Where the largest logit is infinite, equal ones share all of the probability.
  const auto ofLogit = [&](float logit) {
    return float((logit == largest ? 0.0 : double(logit) - double(largest)) - logSum);
  };
  chosen = ofLogit(logits[token]);
  for (uint32_t i = 0; i < topCount; ++i)
    top[i].logProbability = ofLogit(top[i].logProbability);
}
