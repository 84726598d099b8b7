// Chooses the next token from a row of logits.
//
// Filters apply in this order: temperature, top-k, top-p, min-p; the draw is from what is left. The
// same logits, options and random state give the same token on every platform: sums are taken in
// double precision in one order, and exp is computed here.
#ifndef TERN_RUNTIME_SESSION_SAMPLER_H
#define TERN_RUNTIME_SESSION_SAMPLER_H

#include "runtime/core/Memory.h"
#include "runtime/session/Random.h"

#include <cstdint>

namespace tern::runtime {

struct SamplingOptions {
  float temperature = 0; ///< 0: the largest logit, the lowest token among equals
  uint32_t topK = 0;     ///< the k most likely tokens; 0: all
  float topP = 1;        ///< the smallest set of most likely tokens with this probability
  float minP = 0;        ///< tokens at least this likely, relative to the most likely one

  /// Fails, naming the value, unless every option is in its range.
  Status check() const;
};

/// The token with the largest logit, -1 if all are NaN. NaN never wins.
int32_t largestLogit(const float *logits, uint32_t count);

class Sampler {
public:
  Status allocate(const Allocator &allocator, uint32_t vocabulary);
  static uint64_t bytes(uint32_t vocabulary) { return uint64_t(vocabulary) * sizeof(Candidate); }

  /// A token, or -1 if all logits are NaN. Linear in the vocabulary, allocates nothing.
  int32_t sample(const float *logits, const SamplingOptions &options, Random &random);

private:
  struct Candidate {
    float logit;
    float weight; ///< exp((logit - largest) / temperature)
    int32_t token;
    bool before(const Candidate &other) const {
      return logit != other.logit ? logit > other.logit : token < other.token;
    }
  };
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
