// Chooses the next token from a row of logits.
//
// In this order: logit biases, penalties, temperature, top-k, top-p, min-p; the draw is from what
// is left. The same logits, options, history and random state give the same token on every
// platform: sums are taken in double precision in one order, and exp is computed here. Formulas and
// their sources are in tern/tern.h, at tern_generate_options.
#ifndef TERN_RUNTIME_SESSION_SAMPLER_H
#define TERN_RUNTIME_SESSION_SAMPLER_H

#include "runtime/core/Memory.h"
#include "runtime/session/Random.h"

#include <cstdint>

namespace tern::runtime {

/// Added to a token's logit; -infinity excludes the token.
struct LogitBias {
  int32_t token;
  float bias;
};

struct SamplingOptions {
  float temperature = 0; ///< 0: the largest logit, the lowest token among equals
  uint32_t topK = 0;     ///< the k most likely tokens; 0: all
  float topP = 1;        ///< the smallest set of most likely tokens with this probability
  float minP = 0;        ///< tokens at least this likely, relative to the most likely one

  float repetitionPenalty = 1; ///< 1: off
  float frequencyPenalty = 0;
  float presencePenalty = 0;
  uint32_t penaltyWindow = 64; ///< newest tokens of the history that are penalized
  const LogitBias *biases = nullptr;
  uint32_t biasCount = 0;

  bool penalizes() const {
    return repetitionPenalty != 1 || frequencyPenalty != 0 || presencePenalty != 0;
  }
  /// Fails, naming the value, unless every option is in its range and every bias's token below
  /// `vocabulary`.
  Status check(uint32_t vocabulary) const;
};

/// All tokens before the one to choose.
struct TokenHistory {
  const int32_t *tokens = nullptr;
  uint32_t count = 0;
};

/// The token with the largest logit, the lowest among equals. NaN and -infinity never win: -1 if
/// there is nothing else.
int32_t largestLogit(const float *logits, uint32_t count);

class Sampler {
public:
  Status allocate(const Allocator &allocator, uint32_t vocabulary);
  static uint64_t bytes(uint32_t vocabulary) { return uint64_t(vocabulary) * sizeof(Candidate); }

  /// A token, or -1 if every adjusted logit is NaN or -infinity. Linear in the vocabulary,
  /// allocates nothing.
  int32_t sample(const float *logits, const SamplingOptions &options, const TokenHistory &history,
                 Random &random);

private:
  struct Candidate {
    float logit;
    float weight; ///< exp((logit - largest) / temperature); occurrences while penalties apply
    int32_t token;
    bool before(const Candidate &other) const {
      return logit != other.logit ? logit > other.logit : token < other.token;
    }
  };
  void adjust(const float *logits, const SamplingOptions &options, const TokenHistory &history);
  static uint32_t partition(Candidate *candidates, uint32_t count, uint32_t pivot);
  uint32_t keepTopK(uint32_t count, uint32_t k);
  uint32_t keepTopP(uint32_t count, float p);

  Array<Candidate> workspace;
  uint32_t vocabulary = 0;
};

/// e^x for x <= 0 to within 2 units in the last place; the same bits everywhere.
float expOfNegative(float x);

} // namespace tern::runtime

#endif
