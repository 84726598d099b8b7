// Log-probabilities of tokens under the model's own distribution: softmax of its logits, before
// biases, penalties and temperature.
#ifndef TERN_RUNTIME_SESSION_LOGPROBABILITIES_H
#define TERN_RUNTIME_SESSION_LOGPROBABILITIES_H

#include <cstdint>

namespace tern::runtime {

struct TokenLogProbability {
  int32_t token;
  float logProbability; ///< natural logarithm; -infinity for a logit of -infinity
};

struct LogProbabilities {
  static constexpr uint32_t maxTop = 20;

  float chosen = 0;
  uint32_t topCount = 0;
  TokenLogProbability top[maxTop]; ///< falling; the lowest token first among equals

  /// For row `logits` of `vocabulary` entries, of which `token` was chosen; the `wantedTop` most
  /// likely tokens, at most maxTop. Allocates nothing; the same bits on every platform.
  void compute(const float *logits, uint32_t vocabulary, int32_t token, uint32_t wantedTop);

private:
  void addToTop(const float *logits, uint32_t begin, uint32_t count, uint32_t wantedTop);
};

/// ln x for finite x >= 1, to within 1e-15 relative to the larger of 1 and the result.
double logOfAtLeastOne(double x);

} // namespace tern::runtime

#endif
