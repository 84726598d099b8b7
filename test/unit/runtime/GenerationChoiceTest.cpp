// How a generation chooses tokens and where it ends: penalties, biases, seeds, stop strings,
// log-probabilities.
#include "test/unit/runtime/GenerationFixture.h"

#include <cmath>
#include <set>

using namespace tern::test;

TEST_F(Generation, PenaltiesLookAtPromptAndContinuation) {
  ToySession session(model.handle);
  tern_generate_options options = greedy(12);
  const tern_logit_bias bias = {3, -INFINITY};
  options.presence_penalty = 100;
  options.penalty_window = UINT32_MAX;
  options.logit_biases = &bias;
  options.logit_bias_count = 1;
  const Generated found = generate(session.handle, options, prompt);
  std::vector<int32_t> history = prompt, expected;
  for (int i = 0; i < 12; ++i) {
    std::vector<float> logits = referenceLogits(history);
    logits[3] = -INFINITY;
    for (int32_t token : std::set<int32_t>(history.begin(), history.end()))
      logits[size_t(token)] -= 100;
    expected.push_back(largest(logits));
    history.push_back(expected.back());
  }
  EXPECT_EQ(found.tokens, expected);
}

TEST_F(Generation, ExcludingEveryTokenIsAnError) {
  ToySession session(model.handle);
  std::vector<tern_logit_bias> biases;
  for (int32_t token = 0; token < TOY_VOCABULARY; ++token)
    biases.push_back({token, -INFINITY});
  for (const float temperature : {0.0f, 1.0f})
    for (const bool all : {false, true}) {
      tern_generate_options options = greedy(4);
      options.temperature = temperature;
      options.logit_biases = biases.data();
      options.logit_bias_count = biases.size() - (all ? 0 : 1);
      tern_generation *generation = begin(session.handle, options, prompt);
      tern_piece piece = TERN_PIECE_INIT;
      ASSERT_EQ(tern_next(generation, &piece, &error), all ? TERN_INVALID_ARGUMENT : TERN_OK);
      EXPECT_EQ(piece.token, all ? -1 : TOY_VOCABULARY - 1);
      if (all)
        EXPECT_NE(std::string(error.message).find("biases exclude"), std::string::npos);
    }
}

TEST_F(Generation, SamplingIsDecidedByTheSeed) {
  ToySession session(model.handle, 2);
  tern_generate_options options = greedy(30);
  options.temperature = 2;
  options.top_p = 0.95f;
  options.seed = 1;
  const Generated first = generate(session.handle, options, prompt);
  options.slot = 1;
  EXPECT_EQ(generate(session.handle, options, prompt).tokens, first.tokens);
  options.seed = 2;
  EXPECT_NE(generate(session.handle, options, prompt).tokens, first.tokens);
}

TEST_F(Generation, LogProbabilitiesAreThoseOfTheModel) {
  ToySession session(model.handle);
  tern_generate_options options = greedy(12);
  options.temperature = 3;
  options.presence_penalty = 2; // changes the choice, not the probabilities
  options.logprobs = 1;
  options.top_logprobs = 7;
  tern_generation *generation = begin(session.handle, options, prompt);
  std::vector<int32_t> history = prompt;
  for (int step = 0; step < 12; ++step) {
    tern_piece piece = TERN_PIECE_INIT;
    ASSERT_EQ(tern_next(generation, &piece, &error), TERN_OK) << error.message;
    const std::vector<float> logits = referenceLogits(history);
    double sum = 0;
    for (float x : logits)
      sum += std::exp(double(x));
    const auto expected = [&](int32_t token) {
      return double(logits[size_t(token)]) - std::log(sum);
    };
    EXPECT_NEAR(double(piece.logprob), expected(piece.token), 1e-5);
    ASSERT_EQ(piece.top_count, 7u);
    std::vector<float> sorted = logits;
    std::sort(sorted.rbegin(), sorted.rend());
    for (size_t i = 0; i < 7; ++i) {
      EXPECT_EQ(logits[size_t(piece.top[i].token)], sorted[i]);
      EXPECT_NEAR(double(piece.top[i].logprob), expected(piece.top[i].token), 1e-5);
    }
    history.push_back(piece.token);
  }
}

TEST_F(Generation, StopStringsEndItAcrossTokens) {
  // Every token is one character or less: any longer stop string crosses borders.
  ToySession session(model.handle);
  tern_generate_options options = greedy(300);
  options.temperature = 50;
  options.seed = 3;
  const std::string whole = generate(session.handle, options, prompt).text;
  for (size_t length : {1, 2, 3, 7})
    for (size_t at : {0, 1, 20, 90}) {
      const std::string stop = whole.substr(at, length);
      const char *texts[] = {"never here", stop.c_str()};
      options.stop_strings = texts;
      options.stop_string_count = 2;
      tern_generation *generation = begin(session.handle, options, prompt);
      const Generated found = collect(generation);
      EXPECT_EQ(found.finish, TERN_FINISH_STOP_STRING) << stop;
      EXPECT_EQ(found.text, whole.substr(0, whole.find(stop))) << stop;
      tern_piece piece = TERN_PIECE_INIT;
      ASSERT_EQ(tern_next(generation, &piece, &error), TERN_OK);
      EXPECT_EQ(piece.finish, TERN_FINISH_STOP_STRING) << "the finish repeats";
      EXPECT_EQ(piece.text_size, 0u);
    }
}

TEST_F(Generation, TextHeldBackForAStopStringComesAtTheEnd) {
  ToySession session(model.handle);
  const Generated whole = generate(session.handle, greedy(10), prompt);
  const std::string stop = whole.text.substr(whole.text.size() - 3) + "!?";
  const char *texts[] = {stop.c_str()};
  tern_generate_options options = greedy(10);
  options.stop_strings = texts;
  options.stop_string_count = 1;
  const Generated found = generate(session.handle, options, prompt);
  EXPECT_EQ(found.finish, TERN_FINISH_MAX_TOKENS);
  EXPECT_EQ(found.text, whole.text);
}
