// Selection by partitioning: no full sort of the vocabulary is ever needed.
#include "runtime/session/Sampler.h"

#include <cinttypes>
#include <cstring>
#include <utility>

using namespace tern;
using namespace tern::runtime;

/// Tokens e^-30 times less likely than the best are left out: 2^24 of them together weigh 2e-6,
/// and their logits need no exp.
static constexpr float negligibleExponent = -30.0f;

/// Magnitudes beyond any use, which keep adjusted logits finite.
static constexpr float maxPenalty = 100;
static constexpr float minRepetitionPenalty = 1e-6f; // logits are divided by it
static constexpr float maxBias = 1e6f;

static Status outOfRange(const char *name, float value, const char *expected) {
  return Status::error(StatusCode::invalidArgument, "%s is %g, expected %s", name, double(value),
                       expected);
}

Status SamplingOptions::check(uint32_t vocabulary) const {
  // Written so that NaN fails.
  if (!(temperature >= 0 && temperature <= 100))
    return outOfRange("temperature", temperature, "0 to 100");
  if (!(topP > 0 && topP <= 1))
    return outOfRange("top-p", topP, "more than 0 and at most 1");
  if (!(minP >= 0 && minP <= 1))
    return outOfRange("min-p", minP, "0 to 1");
  if (!(repetitionPenalty >= minRepetitionPenalty && repetitionPenalty <= maxPenalty))
    return outOfRange("the repetition penalty", repetitionPenalty, "1e-6 to 100");
  if (!(frequencyPenalty >= -maxPenalty && frequencyPenalty <= maxPenalty))
    return outOfRange("the frequency penalty", frequencyPenalty, "-100 to 100");
  if (!(presencePenalty >= -maxPenalty && presencePenalty <= maxPenalty))
    return outOfRange("the presence penalty", presencePenalty, "-100 to 100");
  for (uint32_t i = 0; i < biasCount; ++i) {
    const LogitBias &entry = biases[i];
    if (entry.token < 0 || uint32_t(entry.token) >= vocabulary)
      return Status::error(StatusCode::outOfRange,
                           "a logit bias for token %" PRId32 ", the vocabulary has %" PRIu32,
                           entry.token, vocabulary);
    if (!(entry.bias <= maxBias) || (entry.bias < -maxBias && entry.bias * 0 == 0))
      return outOfRange("a logit bias", entry.bias, "-1e6 to 1e6, or -infinity");
  }
  return {};
}

template <typename LogitOf> static int32_t largestOf(uint32_t count, LogitOf logitOf) {
  int32_t best = -1;
  float largest = -__builtin_inff();
  for (uint32_t i = 0; i < count; ++i) {
    const float logit = logitOf(i);
    if (logit > largest) { // false for NaN
      best = int32_t(i);
      largest = logit;
    }
  }
  return best;
}

int32_t tern::runtime::largestLogit(const float *logits, uint32_t count) {
  return largestOf(count, [&](uint32_t i) { return logits[i]; });
}

float tern::runtime::expOfNegative(float x) {
  if (x < -87.0f)
    return 0;
  // x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts, so that n times the first is exact.
  const float scaled = x * 1.44269504f;
  const int32_t n = int32_t(scaled - 0.5f);
  const float r = (x - float(n) * 0.693359375f) - float(n) * -2.12194440e-4f;
  // Minimax polynomial of Cephes' expf.
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const uint32_t bits = uint32_t(n + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof(power));
  return p * power;
}

Status Sampler::allocate(const Allocator &allocator, uint32_t count) {
  vocabulary = count;
  return workspace.allocate(allocator, count, "sampling");
}

/// Moves the candidates before the pivot to the front; returns where the pivot then stands.
uint32_t Sampler::partition(Candidate *candidates, uint32_t count, uint32_t pivot) {
  std::swap(candidates[pivot], candidates[count - 1]);
  uint32_t front = 0;
  for (uint32_t i = 0; i + 1 < count; ++i)
    if (candidates[i].before(candidates[count - 1]))
      std::swap(candidates[i], candidates[front++]);
  std::swap(candidates[front], candidates[count - 1]);
  return front;
}

/// Brings the k first candidates to the front; returns how many there are.
uint32_t Sampler::keepTopK(uint32_t count, uint32_t k) {
  if (k == 0 || k >= count)
    return count;
  Random pivots; // fixed seed: expected linear time whatever the order of the logits
  uint32_t first = 0, last = count;
  while (last - first > 1) {
    const uint32_t at =
        first + partition(&workspace[first], last - first, pivots.next() % (last - first));
    if (at + 1 == k || at == k)
      break;
    if (at < k)
      first = at + 1;
    else
      last = at;
  }
  return k;
}

/// Brings the smallest set of first candidates whose weight reaches p of the total to the front.
uint32_t Sampler::keepTopP(uint32_t count, float p) {
  if (p >= 1)
    return count;
  double total = 0;
  for (uint32_t i = 0; i < count; ++i)
    total += double(workspace[i].weight);
  double missing = double(p) * total;
  Random pivots;
  uint32_t first = 0, last = count; // the set ends within [first, last]
  while (last - first > 1) {
    const uint32_t at =
        first + partition(&workspace[first], last - first, pivots.next() % (last - first));
    double before = 0;
    for (uint32_t i = first; i < at; ++i)
      before += double(workspace[i].weight);
    if (before >= missing) {
      last = at;
      continue;
    }
    missing -= before + double(workspace[at].weight);
    first = at + 1;
    if (missing <= 0)
      return first;
  }
  return last;
}

/// Puts the logits with biases and penalties into the workspace.
void Sampler::adjust(const float *logits, const SamplingOptions &options,
                     const TokenHistory &history) {
  for (uint32_t i = 0; i < vocabulary; ++i)
    workspace[i] = {logits[i], 0, int32_t(i)};
  for (uint32_t i = 0; i < options.biasCount; ++i)
    workspace[size_t(options.biases[i].token)].logit += options.biases[i].bias;
  if (!options.penalizes())
    return;
  const uint32_t window =
      options.penaltyWindow < history.count ? options.penaltyWindow : history.count;
  const int32_t *newest = history.tokens + (history.count - window);
  for (uint32_t i = 0; i < window; ++i)
    workspace[size_t(newest[i])].weight += 1;
  for (uint32_t i = 0; i < window; ++i) {
    Candidate &candidate = workspace[size_t(newest[i])];
    if (candidate.weight == 0)
      continue; // done already
    if (candidate.logit > 0)
      candidate.logit /= options.repetitionPenalty;
    else
      candidate.logit *= options.repetitionPenalty;
    candidate.logit -= candidate.weight * options.frequencyPenalty + options.presencePenalty;
    candidate.weight = 0;
  }
}

int32_t Sampler::sample(const float *logits, const SamplingOptions &options,
                        const TokenHistory &history, Random &random) {
  const bool adjusted = options.biasCount > 0 || options.penalizes();
  if (adjusted)
    adjust(logits, options, history);
  const auto logitOf = [&](uint32_t i) { return adjusted ? workspace[i].logit : logits[i]; };
  const int32_t best = largestOf(vocabulary, logitOf);
  if (best < 0 || options.temperature <= 0)
    return best;
  const float largest = logitOf(uint32_t(best));
  if (!__builtin_isfinite(largest)) // it alone has probability
    return best;

  uint32_t count = 0; // at most i: the entry read is not overwritten yet
  for (uint32_t i = 0; i < vocabulary; ++i) {
    const float logit = logitOf(i);
    const float exponent = (logit - largest) / options.temperature;
    if (exponent >= negligibleExponent) // false for NaN
      workspace[count++] = {logit, expOfNegative(exponent), int32_t(i)};
  }
  count = keepTopK(count, options.topK);
  count = keepTopP(count, options.topP);

  double total = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (workspace[i].weight < options.minP)
      workspace[i].weight = 0;
    total += double(workspace[i].weight);
  }
  double left = random.uniform() * total;
  int32_t token = best;
  for (uint32_t i = 0; i < count; ++i) {
    if (workspace[i].weight == 0)
      continue;
    token = workspace[i].token; // the last one stands if rounding leaves something over
    left -= double(workspace[i].weight);
    if (left < 0)
      break;
  }
  return token;
}
