// Selection by partitioning: no full sort of the vocabulary is ever needed.
#include "runtime/session/Sampler.h"

#include "runtime/session/Softmax.h"

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

/// A float as a number in whose order unsigned comparison sorts: for -0 as for 0, for no NaN.
static uint32_t ordered(float value) {
  value += 0.0f;
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits ^ (uint32_t(int32_t(bits) >> 31) | 0x80000000u);
}

static float fromOrdered(uint32_t number) {
  const uint32_t bits = number ^ (number >> 31 ? 0x80000000u : 0xffffffffu);
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

static uint64_t keyOf(float logit, uint32_t token) {
  return uint64_t(ordered(logit)) << 32 | ~token;
}
static float logitOf(uint64_t key) { return fromOrdered(uint32_t(key >> 32)); }
static int32_t tokenOf(uint64_t key) { return int32_t(~uint32_t(key)); }

/// The smallest logit with isEnough(logit), which holds for `largest` and, if for a logit, for all
/// larger ones.
template <typename IsEnough> static float leastLogit(float largest, IsEnough isEnough) {
  uint32_t below = ordered(-__builtin_inff()), enough = ordered(largest);
  while (enough - below > 1) {
    const uint32_t middle = below + (enough - below) / 2;
    (isEnough(fromOrdered(middle)) ? enough : below) = middle;
  }
  return fromOrdered(enough);
}

Status Sampler::allocate(const Allocator &allocator, uint32_t count) {
  vocabulary = count;
  TERN_RETURN_IF_ERROR(keys.allocate(allocator, count, "sampling"));
  return weights.allocate(allocator, count, "sampling");
}

/// The logits with biases and penalties, in `weights`.
const float *Sampler::adjust(const float *logits, const SamplingOptions &options,
                             const TokenHistory &history) {
  float *adjusted = weights.data();
  memcpy(adjusted, logits, size_t(vocabulary) * sizeof(float));
  for (uint32_t i = 0; i < options.biasCount; ++i)
    adjusted[options.biases[i].token] += options.biases[i].bias;
  if (!options.penalizes())
    return adjusted;
  const uint32_t window =
      options.penaltyWindow < history.count ? options.penaltyWindow : history.count;
  const int32_t *newest = history.tokens + (history.count - window);
  uint64_t *occurrences = keys.data();
  for (uint32_t i = 0; i < window; ++i)
    occurrences[newest[i]] = 0;
  for (uint32_t i = 0; i < window; ++i)
    ++occurrences[newest[i]];
  for (uint32_t i = 0; i < window; ++i) {
    uint64_t &count = occurrences[newest[i]];
    if (count == 0)
      continue; // done already
    float &logit = adjusted[newest[i]];
    if (logit > 0)
      logit /= options.repetitionPenalty;
    else
      logit *= options.repetitionPenalty;
    logit -= float(count) * options.frequencyPenalty + options.presencePenalty;
    count = 0;
  }
  return adjusted;
}

/// Makes candidates of the logits from `least` on, in the order of tokens; returns how many.
uint32_t Sampler::collect(const float *logits, float least) {
  constexpr uint32_t block = 64;
  uint32_t count = 0; // at most i
  for (uint32_t begin = 0; begin < vocabulary; begin += block) {
    const uint32_t end = vocabulary - begin < block ? vocabulary : begin + block;
    if (largestOf(logits + begin, end - begin) < least)
      continue;
    for (uint32_t i = begin; i < end; ++i) {
      keys[count] = keyOf(logits[i], i); // stays if the candidate counts; without a branch, because
      count += logits[i] >= least;       // nobody can predict which do
    }
  }
  return count;
}

/// Gives candidates [first, last) their weights.
void Sampler::weigh(uint32_t first, uint32_t last, const Scale &scale) {
  for (uint32_t i = first; i < last; ++i)
    weights[i] = scale.exponentOf(logitOf(keys[i]));
  expOfNegatives(weights.data() + first, last - first);
}

/// Moves what is likelier than the pivot to the front, in its order, as this loop does it:
///
///   swap(candidate[pivot], candidate[last - 1]); front = first;
///   for (i = first; i < last - 1; ++i)
///     if (candidate[i] is likelier than candidate[last - 1])
///       swap(candidate[i], candidate[front++]);
///   swap(candidate[front], candidate[last - 1]);
///
/// but without a branch that nobody could predict: candidate[front] is held back in `head`, and
/// whatever comes is written in its place. Returns where the pivot then stands.
uint32_t Sampler::partition(uint32_t first, uint32_t last, uint32_t pivot) {
  uint64_t *key = keys.data();
  std::swap(key[pivot], key[last - 1]);
  const uint64_t bound = key[last - 1];
  uint32_t front = first;
  uint64_t head = key[first];
  for (uint32_t i = first; i + 1 < last; ++i) {
    const uint64_t current = key[i];
    const bool isBefore = current > bound;
    key[front] = current;
    key[i] = isBefore ? head : current;
    const uint64_t next = key[front + 1];
    head = isBefore ? next : head;
    front += isBefore;
  }
  key[front] = head;
  std::swap(key[front], key[last - 1]);
  return front;
}

/// Brings the k likeliest candidates to the front; returns how many there are.
uint32_t Sampler::keepTopK(uint32_t count, uint32_t k) {
  if (k == 0 || k >= count)
    return count;
  Random pivots; // fixed seed: expected linear time whatever the order of the logits
  uint32_t first = 0, last = count;
  while (last - first > 1) {
    const uint32_t at = partition(first, last, first + pivots.next() % (last - first));
    if (at + 1 == k || at == k)
      break;
    if (at < k)
      first = at + 1;
    else
      last = at;
  }
  return k;
}

/// Brings the smallest set of likeliest candidates whose weight reaches p of the total to the
/// front; returns how many there are.
uint32_t Sampler::keepTopP(uint32_t count, float p, const Scale &scale) {
  if (p >= 1)
    return count;
  weigh(0, count, scale);
  double missing = double(p) * sumOf(weights.data(), count);
  Random pivots;
  uint32_t first = 0, last = count; // the set ends within [first, last]
  while (last - first > 1) {
    const uint32_t at = partition(first, last, first + pivots.next() % (last - first));
    weigh(first, at + 1, scale); // anew: partitioning moves the keys alone
    const double before = sumOf(weights.data() + first, at - first);
    if (before >= missing) {
      last = at;
      continue;
    }
    missing -= before + double(weights[at]);
    first = at + 1;
    if (missing <= 0)
      return first;
  }
  return last;
}

/// Leaves the candidates of at least this weight, in their order.
uint32_t Sampler::keepMinP(uint32_t count, float p) {
  if (p <= 0)
    return count;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < count; ++i) {
    keys[kept] = keys[i];
    weights[kept] = weights[i];
    kept += weights[kept] >= p;
  }
  return kept;
}

/// One of the first candidates, of which there is one, by its weight.
int32_t Sampler::draw(uint32_t count, Random &random) const {
  constexpr uint32_t block = 256;
  double left = random.uniform() * sumOf(weights.data(), count);
  for (uint32_t begin = 0;; begin += block) {
    const bool isLast = count - begin <= block;
    const uint32_t end = isLast ? count : begin + block;
    const double sum = sumOf(weights.data() + begin, end - begin);
    if (left >= sum && !isLast) {
      left -= sum;
      continue;
    }
    for (uint32_t i = begin; i < end; ++i) {
      left -= double(weights[i]);
      if (left < 0)
        return tokenOf(keys[i]);
    }
    if (isLast) // rounding has left something over
      return tokenOf(keys[count - 1]);
  }
}

int32_t Sampler::sample(const float *logits, const SamplingOptions &options,
                        const TokenHistory &history, Random &random) {
  if (options.biasCount > 0 || options.penalizes())
    logits = adjust(logits, options, history);
  const int32_t best = largestLogit(logits, vocabulary);
  if (best < 0 || options.temperature <= 0)
    return best;
  const float largest = logits[best];
  if (!__builtin_isfinite(largest)) // it alone has probability
    return best;
  const Scale scale = {largest, options.temperature};
  const bool minPAlone = options.minP > 0 && options.topK == 0 && options.topP >= 1;
  const float least = leastLogit(largest, [&](float logit) {
    // Well below min-p, whatever the rounding; keepMinP() looks closely.
    const float exponent = scale.exponentOf(logit);
    return exponent >= negligibleExponent &&
           !(minPAlone && expOfNegative(exponent) < options.minP * 0.99f);
  });
  uint32_t count = keepTopK(collect(logits, least), options.topK);
  count = keepTopP(count, options.topP, scale);
  weigh(0, count, scale);
  count = keepMinP(count, options.minP); // not 0: the likeliest has weight 1
  return draw(count, random);
}
