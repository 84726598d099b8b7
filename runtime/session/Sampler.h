// Chooses the next token from a row of logits.
//
// In this order: logit biases, penalties, temperature, top-k, top-p, min-p; the draw is from what
// is left. The same logits, options, history and random state give the same token on every
// platform: see Softmax.h. Formulas and their sources are in tern/tern.h, at tern_generate_options.
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

class Sampler {
public:
  Status allocate(const Allocator &allocator, uint32_t vocabulary);
  static uint64_t bytes(uint32_t vocabulary) {
    return uint64_t(vocabulary) * (sizeof(uint64_t) + sizeof(float));
  }

  /// A token, or -1 if every adjusted logit is NaN or -infinity. Linear in the vocabulary,
  /// allocates nothing.
  int32_t sample(const float *logits, const SamplingOptions &options, const TokenHistory &history,
                 Random &random);

private:
  /// What turns a logit into the exponent of its weight.
  struct Scale {
    float largest, temperature;
    float exponentOf(float logit) const { return (logit - largest) / temperature; }
  };
  const float *adjust(const float *logits, const SamplingOptions &options,
                      const TokenHistory &history);
  uint32_t collect(const float *logits, float least);
  void weigh(uint32_t first, uint32_t last, const Scale &scale);
  uint32_t partition(uint32_t first, uint32_t last, uint32_t pivot);
  uint32_t keepTopK(uint32_t count, uint32_t k);
  uint32_t keepTopP(uint32_t count, float p, const Scale &scale);
  uint32_t keepMinP(uint32_t count, float p);
  int32_t draw(uint32_t count, Random &random) const;

  // Candidates: the more likely a token, the larger its key; equal logits go by the token. The
  // weight is e to Scale's exponent. Before there are candidates: how often the
  // tokens to penalize occur, and the logits with biases and penalties.
  Array<uint64_t> keys;
  Array<float> weights;
  uint32_t vocabulary = 0;
};

} // namespace tern::runtime

#endif
