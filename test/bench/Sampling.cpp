// Speed of choosing a token from the logits of a large vocabulary.
//
//   sampling_bench [VOCABULARY]
//
// Logits are drawn as language models give them: most around 0 with a standard deviation of 3, some
// hundreds of tokens that the context makes likely up to 18 above. Microseconds of this thread's
// processor time for a token, medians over rows; the workspace is that of one session.
#include "runtime/session/LogProbabilities.h"
#include "runtime/session/Sampler.h"
#include "test/bench/Timing.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

using namespace tern;
using namespace tern::runtime;

namespace {

constexpr int rowCount = 64;

std::vector<float> logitsOf(uint32_t vocabulary, uint64_t seed) {
  std::mt19937_64 random(seed); // NOLINT(bugprone-random-generator-seed)
  std::normal_distribution<float> noise(0.0f, 3.0f);
  std::vector<float> logits(vocabulary);
  for (float &logit : logits)
    logit = noise(random);
  for (int i = 0; i < 400; ++i)
    logits[random() % vocabulary] = 18.0f - 1.8f * std::log(float(i + 1)) + noise(random) / 6.0f;
  return logits;
}

template <typename Body>
double microseconds(const std::vector<std::vector<float>> &rows, Body body) {
  std::vector<double> times;
  for (int round = 0; round < 4; ++round)
    for (const std::vector<float> &logits : rows)
      times.push_back(1e6 * seconds([&] { body(logits.data()); }));
  return median(times);
}

} // namespace

int main(int argc, char **argv) {
  const uint32_t vocabulary = argc > 1 ? uint32_t(std::strtoul(argv[1], nullptr, 10)) : 151936;
  if (vocabulary < 1000 || vocabulary > 1u << 24) {
    std::fprintf(stderr, "sampling_bench: a vocabulary of 1000 to 2^24 tokens\n");
    return 2;
  }
  std::vector<std::vector<float>> rows;
  for (int row = 0; row < rowCount; ++row)
    rows.push_back(logitsOf(vocabulary, uint64_t(row)));
  std::vector<int32_t> history(4096);
  for (size_t i = 0; i < history.size(); ++i)
    history[i] = int32_t(i * 7919 % vocabulary);

  struct Case {
    const char *name;
    float temperature;
    uint32_t topK;
    float topP, minP, repetition;
  };
  const Case cases[] = {{"greedy", 0, 0, 1, 0, 1},
                        {"greedy, repetition penalty", 0, 0, 1, 0, 1.1f},
                        {"temperature 0.7", 0.7f, 0, 1, 0, 1},
                        {"temperature 1.5", 1.5f, 0, 1, 0, 1},
                        {"0.7, top-p 0.9", 0.7f, 0, 0.9f, 0, 1},
                        {"1.5, top-p 0.9", 1.5f, 0, 0.9f, 0, 1},
                        {"0.7, top-k 40", 0.7f, 40, 1, 0, 1},
                        {"0.7, top-k 40, top-p 0.9", 0.7f, 40, 0.9f, 0, 1},
                        {"0.7, min-p 0.05", 0.7f, 0, 1, 0.05f, 1},
                        {"0.7, top-p 0.9, min-p 0.05, penalty", 0.7f, 0, 0.9f, 0.05f, 1.1f}};
  std::printf("%u logits, microseconds a token\n", vocabulary);
  int64_t sum = 0; // so that nothing is left out
  for (const Case &test : cases) {
    SamplingOptions options;
    options.temperature = test.temperature;
    options.topK = test.topK;
    options.topP = test.topP;
    options.minP = test.minP;
    options.repetitionPenalty = test.repetition;
    Sampler sampler;
    if (!sampler.allocate({}, vocabulary).isOk())
      return 1;
    Random random(1);
    const double time = microseconds(rows, [&](const float *logits) {
      sum += sampler.sample(logits, options, {history.data(), uint32_t(history.size())}, random);
    });
    std::printf("%-38s%8.0f\n", test.name, time);
  }
  LogProbabilities logProbabilities;
  for (const uint32_t top : {0u, 5u, 20u})
    std::printf("log-probabilities, %2u most likely     %8.0f\n", top,
                microseconds(rows, [&](const float *logits) {
                  logProbabilities.compute(logits, vocabulary, 7, top);
                  sum += logProbabilities.topCount;
                }));
  return sum == 0;
}
