// Sampling: filters, determinism, and frequencies against the softmax it stands for.
#include "runtime/session/Sampler.h"
#include "runtime/session/Softmax.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <vector>

using namespace tern;
using namespace tern::runtime;

static constexpr float notANumber = std::numeric_limits<float>::quiet_NaN();
static constexpr float infinite = std::numeric_limits<float>::infinity();

static std::vector<float> randomLogits(uint32_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> logits(count);
  for (float &x : logits)
    x = float(random.uniform() * 20 - 10);
  return logits;
}

/// The tokens that `draws` draws produce, with their counts.
static std::map<int32_t, int> draw(const std::vector<float> &logits, const SamplingOptions &options,
                                   int draws, uint64_t seed = 1) {
  Sampler sampler;
  EXPECT_TRUE(sampler.allocate({}, uint32_t(logits.size())).isOk());
  Random random(seed);
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i)
    ++counts[sampler.sample(logits.data(), options, {}, random)];
  return counts;
}

/// All tokens by falling logit; equal ones by rising number.
static std::vector<int32_t> mostLikelyFirst(const std::vector<float> &logits) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const float x = logits[size_t(a)], y = logits[size_t(b)];
    return x != y ? x > y : a < b;
  });
  return order;
}

static std::set<int32_t> tokensOf(const std::map<int32_t, int> &counts) {
  std::set<int32_t> tokens;
  for (const auto &[token, count] : counts)
    tokens.insert(token);
  return tokens;
}

TEST(Random, IsThePublishedPcg32) {
  Random random(42, 54); // round 1 of the reference implementation's demo
  for (uint32_t expected :
       {0xa15c02b7u, 0x7b47f409u, 0xba1d3330u, 0x83d2f293u, 0xbfa4784bu, 0xcbed606eu})
    EXPECT_EQ(random.next(), expected);
}

TEST(Random, IsUniform) {
  Random random(7);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}

TEST(ExpOfNegative, IsCloseToExp) {
  for (float x = 0; x > -87; x -= 0.0137f)
    EXPECT_NEAR(double(expOfNegative(x)) / std::exp(double(x)), 1.0, 3e-7) << x;
  EXPECT_EQ(expOfNegative(0), 1.0f);
  EXPECT_EQ(expOfNegative(-1000), 0.0f);
}

TEST(Sampler, GreedyTakesTheLowestTokenAmongEquals) {
  EXPECT_EQ(largestLogit(std::vector<float>{1, 3, 3, 2}.data(), 4), 1);
  EXPECT_EQ(largestLogit(std::vector<float>{notANumber, -5, notANumber, -4}.data(), 4), 3);
  EXPECT_EQ(largestLogit(std::vector<float>{-infinite, notANumber, -3e38f}.data(), 3), 2);
  EXPECT_EQ(largestLogit(std::vector<float>{-infinite, -infinite}.data(), 2), -1);
  EXPECT_EQ(largestLogit(std::vector<float>{-infinite, notANumber}.data(), 2), -1);
  EXPECT_EQ(largestLogit(std::vector<float>{notANumber, notANumber}.data(), 2), -1);
}

TEST(Sampler, SurvivesNonFiniteLogits) {
  SamplingOptions options;
  options.temperature = 1;
  EXPECT_EQ(tokensOf(draw({notANumber, notANumber}, options, 5)), std::set<int32_t>({-1}));
  EXPECT_EQ(tokensOf(draw({0, infinite, 0}, options, 5)), std::set<int32_t>({1}));
  EXPECT_EQ(tokensOf(draw({-infinite, -infinite}, options, 5)), std::set<int32_t>({-1}));
  EXPECT_EQ(tokensOf(draw({-infinite, notANumber}, options, 5)), std::set<int32_t>({-1}));
  EXPECT_EQ(tokensOf(draw({notANumber, -infinite, 2, notANumber}, options, 50)),
            std::set<int32_t>({2}));
}

TEST(Sampler, FrequenciesFollowTheSoftmax) {
  const std::vector<float> logits = {1.0f, 0.0f, 2.0f, -1.0f, 0.5f, -3.0f};
  for (float temperature : {0.5f, 1.0f, 2.0f}) {
    SamplingOptions options;
    options.temperature = temperature;
    constexpr int draws = 60000;
    const auto counts = draw(logits, options, draws, 99);
    double total = 0, chiSquared = 0;
    for (float x : logits)
      total += std::exp(double(x) / double(temperature));
    for (size_t i = 0; i < logits.size(); ++i) {
      const double expected = draws * std::exp(double(logits[i]) / double(temperature)) / total;
      const auto found = counts.find(int32_t(i));
      const double difference = (found == counts.end() ? 0 : found->second) - expected;
      chiSquared += difference * difference / expected;
    }
    EXPECT_LT(chiSquared, 25.7) << "p < 1e-4 with 5 degrees of freedom, temperature "
                                << temperature;
  }
}

TEST(Sampler, TopKKeepsTheMostLikely) {
  const std::vector<float> logits = randomLogits(1000, 7);
  const std::vector<int32_t> order = mostLikelyFirst(logits);
  for (uint32_t k : {1u, 2u, 5u}) {
    SamplingOptions options;
    options.temperature = 20; // flat enough that all k are drawn
    options.topK = k;
    EXPECT_EQ(tokensOf(draw(logits, options, 2000)),
              std::set<int32_t>(order.begin(), order.begin() + k));
  }
}

TEST(Sampler, TopPKeepsTheSmallestSufficientSet) {
  // Probabilities 0.4, 0.3, 0.2, 0.1.
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f),
                                     std::log(0.3f)};
  const std::pair<float, std::set<int32_t>> cases[] = {
      {0.05f, {1}},       {0.39f, {1}},       {0.45f, {1, 3}},       {0.69f, {1, 3}},
      {0.75f, {1, 2, 3}}, {0.89f, {1, 2, 3}}, {0.95f, {0, 1, 2, 3}}, {1.0f, {0, 1, 2, 3}}};
  for (const auto &[p, expected] : cases) {
    SamplingOptions options;
    options.temperature = 1;
    options.topP = p;
    EXPECT_EQ(tokensOf(draw(logits, options, 3000)), expected) << p;
  }
}

TEST(Sampler, TopPAgreesWithSortingForLargeVocabularies) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const std::vector<float> logits = randomLogits(2000, seed);
    const std::vector<int32_t> order = mostLikelyFirst(logits);
    double total = 0, sum = 0;
    for (float x : logits)
      total += std::exp(double(x));
    std::set<int32_t> expected;
    for (int32_t token : order) {
      expected.insert(token);
      sum += std::exp(double(logits[size_t(token)]));
      if (sum >= 0.01 * total)
        break;
    }
    SamplingOptions options;
    options.temperature = 1;
    options.topP = 0.01f;
    const auto drawn = tokensOf(draw(logits, options, 3000, seed));
    EXPECT_EQ(drawn, expected) << "seed " << seed;
  }
}

TEST(Sampler, MinPIsRelativeToTheBest) {
  const std::vector<float> logits = {0.0f, std::log(0.5f), std::log(0.1f)};
  SamplingOptions options;
  options.temperature = 1;
  options.minP = 0.3f;
  EXPECT_EQ(tokensOf(draw(logits, options, 2000)), std::set<int32_t>({0, 1}));
  options.minP = 1;
  EXPECT_EQ(tokensOf(draw(logits, options, 100)), std::set<int32_t>({0}));
}

TEST(Sampler, TheSeedDecides) {
  const std::vector<float> logits = randomLogits(300, 3);
  SamplingOptions options;
  options.temperature = 3;
  options.topP = 0.9f;
  options.topK = 100;
  const auto sequence = [&](uint64_t seed) {
    Sampler sampler;
    EXPECT_TRUE(sampler.allocate({}, 300).isOk());
    Random random(seed);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 50; ++i)
      tokens.push_back(sampler.sample(logits.data(), options, {}, random));
    return tokens;
  };
  EXPECT_EQ(sequence(5), sequence(5));
  EXPECT_NE(sequence(5), sequence(6));
}

TEST(Sampler, SeedsGiveTheseTokens) {
  // What test/e2e/reference_sampler.py, a second implementation, draws from these logits.
  std::vector<float> logits(101);
  for (int i = 0; i < 101; ++i)
    logits[size_t(i)] = float(i * 37 % 101 - 50) / 8;
  struct Case {
    float temperature;
    uint32_t topK;
    float topP, minP;
    uint64_t seed;
    std::vector<int32_t> tokens;
  };
  const Case cases[] = {
      {1, 0, 1, 0, 1, {60, 79, 60, 68, 19, 32, 49, 79, 90, 30, 38, 27}},
      {1, 0, 1, 0, UINT64_MAX, {8, 65, 60, 19, 79, 49, 90, 87, 30, 30, 73, 90}},
      {2, 20, 1, 0, 7, {98, 30, 68, 16, 38, 19, 16, 90, 60, 79, 46, 49}},
      {1.5f, 0, 0.8f, 0, 8, {98, 46, 60, 87, 46, 30, 79, 38, 79, 38, 5, 27}},
      {3, 0, 1, 0.25f, 9, {30, 13, 81, 87, 73, 27, 49, 46, 87, 46, 68, 95}},
      {2.5f, 50, 0.9f, 0.125f, 10, {32, 5, 87, 65, 8, 62, 30, 60, 65, 16, 98, 38}}};
  for (const Case &test : cases) {
    SamplingOptions options;
    options.temperature = test.temperature;
    options.topK = test.topK;
    options.topP = test.topP;
    options.minP = test.minP;
    Sampler sampler;
    ASSERT_TRUE(sampler.allocate({}, uint32_t(logits.size())).isOk());
    Random random(test.seed);
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < test.tokens.size(); ++i)
      tokens.push_back(sampler.sample(logits.data(), options, {}, random));
    EXPECT_EQ(tokens, test.tokens) << "seed " << test.seed;
  }
}

namespace {
/// The choice among candidates as its definition has it, with plain loops.
struct PlainSampler {
  struct Candidate {
    float logit;
    double weight;
    int32_t token;
    bool before(const Candidate &other) const {
      return logit != other.logit ? logit > other.logit : token < other.token;
    }
  };
  std::vector<Candidate> candidates;

  size_t partition(size_t first, size_t last, size_t pivot) {
    std::swap(candidates[pivot], candidates[last - 1]);
    size_t front = first;
    for (size_t i = first; i + 1 < last; ++i)
      if (candidates[i].before(candidates[last - 1]))
        std::swap(candidates[i], candidates[front++]);
    std::swap(candidates[front], candidates[last - 1]);
    return front;
  }

  void keepTopK(size_t k) {
    size_t first = 0, last = candidates.size();
    if (k == 0 || k >= last)
      return;
    for (Random pivots; last - first > 1;) {
      const size_t at = partition(first, last, first + pivots.next() % (last - first));
      if (at + 1 == k || at == k)
        break;
      (at < k ? first : last) = at < k ? at + 1 : at;
    }
    candidates.resize(k);
  }

  void keepTopP(double p) {
    if (p >= 1)
      return;
    double missing = 0;
    for (const Candidate &candidate : candidates)
      missing += p * candidate.weight;
    size_t first = 0, last = candidates.size();
    for (Random pivots; last - first > 1 && missing > 0;) {
      const size_t at = partition(first, last, first + pivots.next() % (last - first));
      double before = 0;
      for (size_t i = first; i < at; ++i)
        before += candidates[i].weight;
      if (before >= missing) {
        last = at;
        continue;
      }
      missing -= before + candidates[at].weight;
      first = at + 1;
    }
    candidates.resize(missing <= 0 ? first : last);
  }

  int32_t sample(const std::vector<float> &logits, const SamplingOptions &options, Random &random) {
    candidates.clear();
    const float largest = logits[size_t(mostLikelyFirst(logits)[0])];
    for (size_t i = 0; i < logits.size(); ++i)
      if (const float exponent = (logits[i] - largest) / options.temperature; exponent >= -30)
        candidates.push_back({logits[i], double(expOfNegative(exponent)), int32_t(i)});
    keepTopK(options.topK);
    keepTopP(double(options.topP));
    std::erase_if(candidates,
                  [&](const Candidate &entry) { return entry.weight < double(options.minP); });
    double left = 0;
    for (const Candidate &candidate : candidates)
      left += candidate.weight;
    left *= random.uniform();
    for (const Candidate &candidate : candidates)
      if ((left -= candidate.weight) < 0)
        return candidate.token;
    return candidates.back().token;
  }
};
} // namespace

TEST(Sampler, LargeVocabulariesAreSampledByTheDefinition) {
  const uint64_t seed = 20;
  Random random(seed);
  for (int round = 0; round < 120; ++round) {
    std::vector<float> logits = randomLogits(1 + random.next() % 3000, random.next());
    if (round % 3 == 0) // many equal ones, zeros of both signs among them
      for (float &x : logits)
        x = std::round(x) / (random.next() % 2 ? 1.0f : -1.0f);
    SamplingOptions options;
    options.temperature = std::vector<float>{0.05f, 0.7f, 2, 100}[random.next() % 4];
    options.topK = std::vector<uint32_t>{0, 0, 1, 40, 1000}[random.next() % 5];
    options.topP = std::vector<float>{1, 1, 0.9f, 0.5f, 0.01f}[random.next() % 5];
    options.minP = std::vector<float>{0, 0, 0.05f, 0.9f, 1}[random.next() % 5];
    Sampler sampler;
    ASSERT_TRUE(sampler.allocate({}, uint32_t(logits.size())).isOk());
    PlainSampler plain;
    Random first{uint64_t(round)}, second{uint64_t(round)};
    for (int draws = 0; draws < 10; ++draws)
      ASSERT_EQ(sampler.sample(logits.data(), options, {}, first),
                plain.sample(logits, options, second))
          << "seed " << seed << ", round " << round;
  }
}

TEST(Sampler, RefusesOptionsOutOfRange) {
  const auto code = [](auto set) {
    SamplingOptions options;
    set(options);
    return options.check(100).code();
  };
  EXPECT_EQ(code([](auto &) {}), StatusCode::ok);
  EXPECT_EQ(code([](auto &o) { o.temperature = -1; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.temperature = notANumber; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.temperature = infinite; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.topP = 0; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.topP = 1.5f; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.topP = notANumber; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.minP = -0.1f; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.repetitionPenalty = 0; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.repetitionPenalty = 0.9e-6f; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.repetitionPenalty = 1e-6f; }), StatusCode::ok);
  EXPECT_EQ(code([](auto &o) { o.repetitionPenalty = notANumber; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.frequencyPenalty = infinite; }), StatusCode::invalidArgument);
  EXPECT_EQ(code([](auto &o) { o.presencePenalty = -101; }), StatusCode::invalidArgument);
  const auto biasCode = [](LogitBias bias) {
    SamplingOptions options;
    options.biases = &bias;
    options.biasCount = 1;
    return options.check(100).code();
  };
  EXPECT_EQ(biasCode({99, -infinite}), StatusCode::ok);
  EXPECT_EQ(biasCode({100, 1}), StatusCode::outOfRange);
  EXPECT_EQ(biasCode({-1, 1}), StatusCode::outOfRange);
  EXPECT_EQ(biasCode({0, infinite}), StatusCode::invalidArgument);
  EXPECT_EQ(biasCode({0, notANumber}), StatusCode::invalidArgument);
  EXPECT_EQ(biasCode({0, -2e6f}), StatusCode::invalidArgument);
}

/// The greedy token after biases and penalties.
static int32_t greedyToken(const std::vector<float> &logits, SamplingOptions options,
                           const std::vector<int32_t> &history,
                           const std::vector<LogitBias> &biases = {}) {
  Sampler sampler;
  EXPECT_TRUE(sampler.allocate({}, uint32_t(logits.size())).isOk());
  Random random;
  options.biases = biases.data();
  options.biasCount = uint32_t(biases.size());
  return sampler.sample(logits.data(), options, {history.data(), uint32_t(history.size())}, random);
}

TEST(Sampler, TheRepetitionPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  SamplingOptions options;
  options.repetitionPenalty = 2;
  EXPECT_EQ(greedyToken({4, 2.1f, 1}, options, {0}), 1);
  EXPECT_EQ(greedyToken({4, 1.9f, 1}, options, {0, 0, 0}), 0) << "once, however often it occurs";
  EXPECT_EQ(greedyToken({-1, -1.9f, -3}, options, {0}), 1);
  EXPECT_EQ(greedyToken({-1, -2.1f, -3}, options, {0}), 0);
}

TEST(Sampler, FrequencyCountsAndPresenceDoesNot) {
  SamplingOptions options;
  options.frequencyPenalty = 0.5f;
  EXPECT_EQ(greedyToken({3, 2}, options, {0}), 0);
  EXPECT_EQ(greedyToken({3, 2}, options, {0, 0, 0}), 1);
  options.frequencyPenalty = 0;
  options.presencePenalty = 0.9f;
  EXPECT_EQ(greedyToken({3, 2}, options, {0, 0, 0}), 0);
  options.presencePenalty = 1.1f;
  EXPECT_EQ(greedyToken({3, 2}, options, {0}), 1);
  options.presencePenalty = -1.1f;
  EXPECT_EQ(greedyToken({3, 2}, options, {1}), 1) << "negative penalties reward";
}

TEST(Sampler, OnlyTheWindowIsPenalized) {
  SamplingOptions options;
  options.presencePenalty = 5;
  options.penaltyWindow = 2;
  EXPECT_EQ(greedyToken({3, 2, 1, 0}, options, {0, 1, 2}), 0);
  EXPECT_EQ(greedyToken({3, 2, 1, 0}, options, {1, 2, 0}), 1);
  options.penaltyWindow = 0;
  EXPECT_EQ(greedyToken({3, 2, 1, 0}, options, {1, 2, 0}), 0);
  options.penaltyWindow = UINT32_MAX;
  EXPECT_EQ(greedyToken({3, 2, 1, 0}, options, {0, 1, 2}), 3);
}

TEST(Sampler, BiasesAddUpAndComeBeforePenalties) {
  SamplingOptions options;
  EXPECT_EQ(greedyToken({1, 2, 3}, options, {}, {{0, 1}, {0, 1.5f}}), 0);
  EXPECT_EQ(greedyToken({1, 2, 3}, options, {}, {{2, -infinite}}), 1);
  EXPECT_EQ(greedyToken({1, 2}, options, {}, {{0, -infinite}, {1, -infinite}}), -1);
  EXPECT_EQ(greedyToken({infinite, 2}, options, {}, {{0, -infinite}}), 1);
  options.repetitionPenalty = 2;
  // (-1 + 5) / 2 = 2; biased after the penalty it would be -2 + 5 = 3.
  EXPECT_EQ(greedyToken({-1, 2.5f}, options, {0}, {{0, 5}}), 1);
  options.repetitionPenalty = 1;
  options.temperature = 1;
  EXPECT_EQ(tokensOf(draw({1, 2, 3}, options, 500)), std::set<int32_t>({0, 1, 2}));
  for (int i = 0; i < 20; ++i)
    EXPECT_NE(greedyToken({1, 2, 3}, options, {}, {{2, -infinite}}), 2);
}

TEST(Sampler, FrequenciesFollowTheSoftmaxOfPenalizedLogits) {
  const std::vector<float> logits = {1.0f, 0.0f, 2.0f, -1.0f};
  const std::vector<int32_t> history = {2, 2, 0, 3};
  const LogitBias bias = {1, 0.75f};
  SamplingOptions options;
  options.temperature = 0.8f;
  options.repetitionPenalty = 1.25f;
  options.frequencyPenalty = 0.3f;
  options.presencePenalty = 0.1f;
  options.biases = &bias;
  options.biasCount = 1;
  const double adjusted[] = {1.0 / 1.25 - 0.4, 0.75, 2.0 / 1.25 - 0.7, -1.0 * 1.25 - 0.4};
  Sampler sampler;
  ASSERT_TRUE(sampler.allocate({}, 4).isOk());
  Random random(11);
  constexpr int draws = 60000;
  double counts[4] = {}, total = 0, chiSquared = 0;
  for (int i = 0; i < draws; ++i)
    ++counts[sampler.sample(logits.data(), options, {history.data(), 4}, random)];
  for (double x : adjusted)
    total += std::exp(x / 0.8);
  for (int i = 0; i < 4; ++i) {
    const double expected = draws * std::exp(adjusted[i] / 0.8) / total;
    chiSquared += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  EXPECT_LT(chiSquared, 21.1) << "p < 1e-4 with 3 degrees of freedom";
}
