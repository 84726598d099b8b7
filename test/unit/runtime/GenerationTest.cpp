// Generation through the C interface: text, finishes, several together, cancelling, refusals.
#include "test/unit/runtime/GenerationFixture.h"

#include <atomic>
#include <cmath>
#include <thread>

using namespace tern::test;

TEST_F(Generation, GreedyFollowsTheLargestLogit) {
  ToySession session(model.handle);
  const Generated found = generate(session.handle, greedy(12), prompt);
  EXPECT_EQ(found.finish, TERN_FINISH_MAX_TOKENS);
  std::vector<int32_t> history = prompt, expected;
  for (int i = 0; i < 12; ++i) {
    expected.push_back(largest(referenceLogits(history)));
    history.push_back(expected.back());
  }
  EXPECT_EQ(found.tokens, expected);
}

TEST_F(Generation, StreamsWholeCharacters) {
  ToySession session(model.handle);
  tern_generate_options options = greedy(400);
  options.temperature = 50; // close to uniform: both halves of the two-byte character come up
  options.seed = 3;
  tern_generation *generation = begin(session.handle, options, prompt);
  std::vector<int32_t> tokens;
  std::string text;
  for (;;) {
    tern_piece piece = TERN_PIECE_INIT;
    ASSERT_EQ(tern_next(generation, &piece, &error), TERN_OK) << error.message;
    const std::string_view shown(piece.text, piece.text_size);
    EXPECT_TRUE(piece.token != 96 || shown.find('\xC3') == shown.npos);
    text.append(piece.text, piece.text_size);
    if (piece.finish != TERN_FINISH_NONE)
      break;
    tokens.push_back(piece.token);
  }
  std::string expected;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool completes = tokens[i] == 97 && i > 0 && tokens[i - 1] == 96;
    // Control tokens in between have no bytes, so they do not separate the halves.
    if (tokens[i] < 96)
      expected += char(32 + tokens[i]);
    else if (completes)
      expected += "\xC3\xA9";
    else if (tokens[i] == 97)
      expected += "\xEF\xBF\xBD";
    else if (tokens[i] == 96 && !(i + 1 < tokens.size() && tokens[i + 1] == 97))
      expected += "\xEF\xBF\xBD";
  }
  const bool separated = [&] {
    for (size_t i = 0; i + 1 < tokens.size(); ++i)
      if (tokens[i] == 96 && tokens[i + 1] >= 98)
        return true;
    return false;
  }();
  ASSERT_FALSE(separated) << "choose a seed without a control token inside a character";
  EXPECT_EQ(text, expected);
  EXPECT_NE(text.find("\xEF\xBF\xBD"), std::string::npos);
}

TEST_F(Generation, AnEndTokenEndsIt) {
  ToySession session(model.handle);
  tern_generate_options options = greedy(0);
  options.ignore_end = 0;
  options.temperature = 100;
  const Generated found = generate(session.handle, options, prompt);
  ASSERT_EQ(found.finish, TERN_FINISH_END_TOKEN);
  EXPECT_EQ(found.tokens.back(), toyEndToken);
  EXPECT_EQ(tern_token_is_end(model.handle, toyEndToken), 1);
  EXPECT_EQ(tern_token_is_end(model.handle, 5), 0);
}

TEST_F(Generation, AModelThatGivesOnlyNaNIsDamaged) {
  ToyArtifact toy;
  std::fill(toy.weights[0].begin(), toy.weights[0].end(), 0xFF); // NaN
  LoadedModel damaged(toy.write());
  ASSERT_NE(damaged.handle, nullptr) << damaged.error.message;
  ToySession session(damaged.handle);
  tern_generate_options options = greedy(4);
  const tern_logit_bias bias = {5, -INFINITY};
  options.logit_biases = &bias;
  for (const size_t biasCount : {0, 1}) {
    options.logit_bias_count = biasCount;
    tern_generation *generation = begin(session.handle, options, prompt);
    tern_piece piece = TERN_PIECE_INIT;
    EXPECT_EQ(tern_next(generation, &piece, &error), TERN_INVALID_ARTIFACT) << error.message;
  }
}

TEST_F(Generation, TogetherTheyGiveTheSameAsAlone) {
  // More generations than rows that may want logits, prompts longer than a batch, all options.
  constexpr uint32_t count = 9;
  ToySession together(model.handle, count, 64), alone(model.handle, 1, 64);
  std::vector<tern_generation *> generations;
  std::vector<Generated> expected, found(count);
  for (uint32_t i = 0; i < count; ++i) {
    std::vector<int32_t> tokens;
    for (uint32_t t = 0; t < 1 + i * 6; ++t)
      tokens.push_back(int32_t((t * 5 + i * 11) % 90));
    tern_generate_options options = greedy(3 + 7 * i);
    options.temperature = i % 2 ? 1.5f : 0;
    options.seed = i;
    options.presence_penalty = i % 3 ? 0.5f : 0;
    options.context_shift = i % 4 == 3;
    expected.push_back(generate(alone.handle, options, tokens));
    options.slot = i;
    generations.push_back(begin(together.handle, options, tokens));
  }
  std::vector<tern_generation *> running = generations;
  running.push_back(generations[4]); // twice: once
  for (int step = 0; !running.empty(); ++step) {
    if (step % 5 != 4) // it is optional
      ASSERT_EQ(tern_evaluate_together(together.handle, running.data(), running.size(), &error),
                TERN_OK)
          << error.message;
    if (step == 0)
      running.pop_back();
    std::vector<tern_generation *> left;
    for (tern_generation *generation : running) {
      Generated &result = found[size_t(
          std::find(generations.begin(), generations.end(), generation) - generations.begin())];
      tern_piece piece = TERN_PIECE_INIT;
      ASSERT_EQ(tern_next(generation, &piece, &error), TERN_OK) << error.message;
      result.text.append(piece.text ? piece.text : "", piece.text_size);
      if (piece.token >= 0)
        result.tokens.push_back(piece.token);
      result.finish = piece.finish;
      if (piece.finish == TERN_FINISH_NONE)
        left.push_back(generation);
    }
    running = left;
  }
  for (uint32_t i = 0; i < count; ++i) {
    EXPECT_EQ(found[i].tokens, expected[i].tokens) << i;
    EXPECT_EQ(found[i].text, expected[i].text) << i;
    EXPECT_EQ(found[i].finish, expected[i].finish) << i;
  }
  // All are over: nothing is left to evaluate.
  EXPECT_EQ(tern_evaluate_together(together.handle, generations.data(), count, &error), TERN_OK);
  tern_generation *foreign = begin(alone.handle, greedy(1), prompt);
  EXPECT_EQ(tern_evaluate_together(together.handle, &foreign, 1, &error), TERN_INVALID_ARGUMENT);
}

TEST_F(Generation, RefusesBadPromptsAndOptions) {
  ToySession session(model.handle, 1, 32);
  tern_generation *generation = nullptr;
  const auto status = [&](const tern_generate_options &options, std::vector<int32_t> tokens) {
    return tern_generate_begin(session.handle, &options, tokens.data(), tokens.size(), &generation,
                               &error);
  };
  EXPECT_EQ(status(greedy(1), {}), TERN_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error.message).find("empty"), std::string::npos);
  EXPECT_EQ(generation, nullptr);
  EXPECT_EQ(status(greedy(1), {-1}), TERN_OUT_OF_RANGE);
  EXPECT_EQ(status(greedy(1), {TOY_VOCABULARY}), TERN_OUT_OF_RANGE);
  EXPECT_EQ(status(greedy(1), std::vector<int32_t>(33, 1)), TERN_OUT_OF_RANGE);
  tern_generate_options options = greedy(1);
  options.slot = 1;
  EXPECT_EQ(status(options, {1}), TERN_OUT_OF_RANGE);
  options = greedy(1);
  options.temperature = -1;
  EXPECT_EQ(status(options, {1}), TERN_INVALID_ARGUMENT);
  options = greedy(1);
  options.repetition_penalty = -1;
  EXPECT_EQ(status(options, {1}), TERN_INVALID_ARGUMENT);
  options = greedy(1);
  options.logit_bias_count = 1;
  EXPECT_EQ(status(options, {1}), TERN_INVALID_ARGUMENT) << "no biases";
  const std::vector<tern_logit_bias> biases(TERN_MAX_LOGIT_BIASES + 1, {1, 1.0f});
  options.logit_biases = biases.data();
  options.logit_bias_count = biases.size();
  EXPECT_EQ(status(options, {1}), TERN_OUT_OF_RANGE);
  options.logit_bias_count -= 1;
  EXPECT_EQ(status(options, {1}), TERN_OK);
  options = greedy(1);
  const std::string tooLong(TERN_MAX_STOP_STRING_BYTES + 1, 'a');
  const std::vector<const char *> stops(TERN_MAX_STOP_STRINGS + 1, "a");
  const char *bad[] = {"", nullptr, tooLong.c_str()};
  options.stop_strings = stops.data();
  options.stop_string_count = stops.size();
  EXPECT_EQ(status(options, {1}), TERN_OUT_OF_RANGE);
  options.stop_string_count -= 1;
  EXPECT_EQ(status(options, {1}), TERN_OK);
  options.stop_string_count = 1;
  for (const char *&stop : bad) {
    options.stop_strings = &stop;
    EXPECT_NE(status(options, {1}), TERN_OK);
  }
  options.stop_strings = nullptr;
  EXPECT_EQ(status(options, {1}), TERN_INVALID_ARGUMENT);
  options = greedy(1);
  options.logprobs = 1;
  options.top_logprobs = TERN_MAX_TOP_LOGPROBS + 1;
  EXPECT_EQ(status(options, {1}), TERN_OUT_OF_RANGE);
  options = greedy(1);
  options.context_shift = 1;
  options.shift_keep = 32;
  EXPECT_EQ(status(options, {1}), TERN_OUT_OF_RANGE);
  options = greedy(1);
  options.struct_size = offsetof(tern_generate_options, repetition_penalty);
  options.repetition_penalty = -1; // behind the size that is announced: not looked at
  EXPECT_EQ(status(options, {1}), TERN_OK) << error.message;
  options = greedy(1);
  options.struct_size = 0;
  EXPECT_EQ(status(options, {1}), TERN_INVALID_ARGUMENT);
}

TEST_F(Generation, WorksWithoutATokenizer) {
  LoadedModel plain(ToyArtifact().write());
  ASSERT_NE(plain.handle, nullptr) << plain.error.message;
  ToySession session(plain.handle);
  const Generated found = generate(session.handle, greedy(4), prompt);
  EXPECT_EQ(found.tokens.size(), 4u);
  EXPECT_EQ(found.text, "");
  const char *stop = "a";
  tern_generate_options options = greedy(1);
  options.stop_strings = &stop;
  options.stop_string_count = 1;
  tern_generation *generation = nullptr;
  EXPECT_EQ(tern_generate_begin(session.handle, &options, prompt.data(), 1, &generation, &error),
            TERN_NOT_FOUND);
  size_t count = 0;
  EXPECT_EQ(tern_tokenize(plain.handle, "a", 1, 0, nullptr, 0, &count, &error), TERN_NOT_FOUND);
}

TEST_F(Generation, IsCancelledBetweenCalls) {
  ToySession session(model.handle);
  tern_generation *generation = begin(session.handle, greedy(0), prompt);
  tern_piece piece = TERN_PIECE_INIT;
  ASSERT_EQ(tern_next(generation, &piece, &error), TERN_OK);
  EXPECT_EQ(piece.finish, TERN_FINISH_NONE);
  tern_cancel(generation);
  ASSERT_EQ(tern_next(generation, &piece, &error), TERN_OK);
  EXPECT_EQ(piece.finish, TERN_FINISH_CANCELLED);
  EXPECT_EQ(tern_slot_length(session.handle, 0), prompt.size()) << "what was complete is kept";
  EXPECT_EQ(collect(begin(session.handle, greedy(3), prompt)).tokens.size(), 3u) << "and goes on";
}

TEST_F(Generation, IsCancelledFromAnotherThread) {
  for (int round = 0; round < 20; ++round) {
    ToySession session(model.handle, 1, 0, 2);
    tern_generation *generation = begin(session.handle, greedy(0), prompt);
    std::atomic<int> produced{0};
    std::thread canceller([&] {
      while (produced.load() < round)
        std::this_thread::yield();
      tern_cancel(generation);
    });
    tern_finish finish = TERN_FINISH_NONE;
    while (finish == TERN_FINISH_NONE) {
      tern_piece piece = TERN_PIECE_INIT;
      ASSERT_EQ(tern_next(generation, &piece, &error), TERN_OK) << error.message;
      finish = piece.finish;
      ++produced;
    }
    canceller.join();
    // A thousand positions may be full before the other thread gets to run.
    EXPECT_TRUE(finish == TERN_FINISH_CANCELLED || finish == TERN_FINISH_SLOT_FULL);
  }
}
