#include "runtime/session/LogProbabilities.h"

#include "runtime/session/Sampler.h"

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

void LogProbabilities::compute(const float *logits, uint32_t vocabulary, int32_t token,
                               uint32_t wantedTop) {
  const float largest = logits[largestLogit(logits, vocabulary)];
  topCount = 0;
  double sum = 0;
  for (uint32_t i = 0; i < vocabulary; ++i) {
    const float logit = logits[i];
    if (!(logit <= largest)) // NaN
      continue;
    sum += logit == largest ? 1.0 : double(expOfNegative(logit - largest));
    if (wantedTop == 0 || (topCount == wantedTop && logit <= top[topCount - 1].logProbability))
      continue;
    uint32_t at = topCount < wantedTop ? topCount++ : topCount - 1;
    for (; at > 0 && top[at - 1].logProbability < logit; --at)
      top[at] = top[at - 1];
    top[at] = {int32_t(i), logit};
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
