// Generation through the C interface: text, finishes, reuse of a slot's prefix, cancelling.
#include "test/unit/runtime/ToyArtifact.h"
#include "test/unit/runtime/ToyText.h"

#include <atomic>
#include <cmath>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <thread>

using namespace tern::test;

namespace {
struct Generated {
  std::vector<int32_t> tokens;
  std::string text;
  tern_finish finish = TERN_FINISH_NONE;
};

class Generation : public testing::Test {
protected:
  LoadedModel model{toyWithText()};
  tern_error error = TERN_ERROR_INIT;

  void SetUp() override { ASSERT_NE(model.handle, nullptr) << model.error.message; }

  tern_generation *begin(tern_session *session, const tern_generate_options &options,
                         const std::vector<int32_t> &prompt) {
    tern_generation *generation = nullptr;
    EXPECT_EQ(
        tern_generate_begin(session, &options, prompt.data(), prompt.size(), &generation, &error),
        TERN_OK)
        << error.message;
    return generation;
  }
  Generated collect(tern_generation *generation) {
    Generated result;
    while (result.finish == TERN_FINISH_NONE) {
      tern_piece piece = TERN_PIECE_INIT;
      if (tern_next(generation, &piece, &error) != TERN_OK) {
        ADD_FAILURE() << error.message;
        break;
      }
      result.finish = piece.finish;
      result.text.append(piece.text ? piece.text : "", piece.text_size);
      if (piece.token >= 0)
        result.tokens.push_back(piece.token);
    }
    return result;
  }
  Generated generate(tern_session *session, const tern_generate_options &options,
                     const std::vector<int32_t> &prompt) {
    return collect(begin(session, options, prompt));
  }
};
} // namespace

static tern_generate_options greedy(uint32_t maxTokens) {
  tern_generate_options options = TERN_GENERATE_OPTIONS_INIT;
  options.max_tokens = maxTokens;
  options.ignore_end = 1;
  return options;
}

static int32_t largest(const std::vector<float> &logits) {
  return int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

static const std::vector<int32_t> prompt = {40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53,
                                            54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67};

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

TEST_F(Generation, StopsWhenTheSlotIsFull) {
  ToySession session(model.handle, 1, 40);
  tern_generation *generation = begin(session.handle, greedy(0), prompt);
  const Generated found = collect(generation);
  EXPECT_EQ(found.finish, TERN_FINISH_SLOT_FULL);
  // The last token comes from the logits of the last position and has no place of its own.
  EXPECT_EQ(found.tokens.size(), 40 - prompt.size() + 1);
  EXPECT_EQ(tern_slot_length(session.handle, 0), 40u);
  tern_piece piece = TERN_PIECE_INIT;
  ASSERT_EQ(tern_next(generation, &piece, &error), TERN_OK);
  EXPECT_EQ(piece.finish, TERN_FINISH_SLOT_FULL) << "the finish repeats";
  EXPECT_EQ(piece.text_size, 0u);
}

TEST_F(Generation, ReusesTheCommonPrefixOfTheHistory) {
  ToySession session(model.handle), fresh(model.handle);
  const Generated first = generate(session.handle, greedy(5), prompt);
  std::vector<int32_t> longer = prompt;
  longer.insert(longer.end(), first.tokens.begin(), first.tokens.begin() + 3);
  longer.push_back(7);
  tern_generation *generation = begin(session.handle, greedy(5), longer);
  EXPECT_EQ(tern_slot_length(session.handle, 0), prompt.size() + 3) << "the shared part is kept";
  EXPECT_EQ(collect(generation).tokens, generate(fresh.handle, greedy(5), longer).tokens);
  // The same history again: only its last token is evaluated.
  begin(session.handle, greedy(5), longer);
  EXPECT_EQ(tern_slot_length(session.handle, 0), longer.size() - 1);
}

TEST_F(Generation, AppendsToASlot) {
  ToySession session(model.handle), fresh(model.handle);
  generate(session.handle, greedy(1), prompt);
  ASSERT_EQ(tern_slot_length(session.handle, 0), prompt.size());
  tern_generate_options options = greedy(6);
  options.append = 1;
  std::vector<int32_t> whole = prompt;
  whole.insert(whole.end(), {1, 2, 3});
  EXPECT_EQ(generate(session.handle, options, {1, 2, 3}).tokens,
            generate(fresh.handle, greedy(6), whole).tokens);
}

TEST_F(Generation, AShiftedContextIsThatOfTheShorterHistory) {
  constexpr uint32_t context = 40;
  for (uint32_t keep : {0u, 1u, 7u, 38u, 39u}) {
    ToySession session(model.handle, 1, context);
    tern_generate_options options = greedy(100);
    options.context_shift = 1;
    options.shift_keep = keep;
    const Generated found = generate(session.handle, options, prompt);
    EXPECT_EQ(found.finish, TERN_FINISH_MAX_TOKENS);
    std::vector<int32_t> history = prompt, expected;
    for (int i = 0; i < 100; ++i) {
      if (history.size() > context) {
        // The older half of what is in the slot behind the kept tokens goes; the newest token is
        // not in the slot yet.
        const long forgotten = (long(context - keep) + 1) / 2;
        history.erase(history.begin() + keep, history.begin() + keep + forgotten);
      }
      expected.push_back(largest(referenceLogits(history)));
      history.push_back(expected.back());
    }
    EXPECT_EQ(found.tokens, expected) << "keeping " << keep;
  }
}

namespace {
/// A change of slot 0 behind the back of its generation; slot 1 holds other tokens.
struct SlotChange {
  const char *name;
  tern_status (*change)(tern_session *session, const std::vector<uint8_t> &saved);
  bool isChange = true;
};
} // namespace

static tern_status feed(tern_session *session, int32_t slot, std::vector<int32_t> tokens,
                        const int32_t *positions = nullptr) {
  const std::vector<int32_t> slots(tokens.size(), slot);
  tern_batch batch = TERN_BATCH_INIT;
  batch.rows = tokens.size();
  batch.tokens = tokens.data();
  batch.slots = slots.data();
  batch.positions = positions;
  return tern_forward(session, &batch, nullptr, nullptr);
}

static tern_status loadSlot(tern_session *session, const std::vector<uint8_t> &bytes) {
  return tern_slot_load_memory(session, 0, bytes.data(), bytes.size(), nullptr);
}

static const SlotChange slotChanges[] = {
    {"appending", [](auto *s, auto &) { return feed(s, 0, {1, 2, 3}); }},
    {"rolling back",
     [](auto *s, auto &) {
       const int32_t position = 2;
       return feed(s, 0, {9}, &position);
     }},
    {"emptying", [](auto *s, auto &) { return tern_slot_truncate(s, 0, 0, nullptr); }},
    {"truncating",
     [](auto *s, auto &) { return tern_slot_truncate(s, 0, tern_slot_length(s, 0) - 1, nullptr); }},
    {"copying into it", [](auto *s, auto &) { return tern_slot_copy(s, 1, 0, nullptr); }},
    {"loading", [](auto *s, auto &saved) { return loadSlot(s, saved); }},
    {"loading damage",
     [](auto *s, auto &saved) {
       std::vector<uint8_t> damaged = saved;
       damaged.back() ^= 1;
       return loadSlot(s, damaged) == TERN_INVALID_ARGUMENT ? TERN_OK : TERN_IO_ERROR;
     }},
    {"nothing", [](auto *, auto &) { return TERN_OK; }, false},
    {"truncating to its length",
     [](auto *s, auto &) { return tern_slot_truncate(s, 0, tern_slot_length(s, 0), nullptr); },
     false},
    {"copying from it", [](auto *s, auto &) { return tern_slot_copy(s, 0, 1, nullptr); }, false},
    {"changing another slot", [](auto *s, auto &) { return feed(s, 1, {4, 5}); }, false},
    {"a batch that is refused",
     [](auto *s, auto &) {
       return feed(s, 0, {TOY_VOCABULARY}) == TERN_OUT_OF_RANGE ? TERN_OK : TERN_IO_ERROR;
     },
     false},
    {"loading what is no saved slot",
     [](auto *s, auto &) {
       return loadSlot(s, std::vector<uint8_t>(999)) == TERN_INVALID_ARGUMENT ? TERN_OK
                                                                              : TERN_IO_ERROR;
     },
     false},
};

TEST_F(Generation, ASlotChangedUnderItIsAnError) {
  // A full slot: what goes on would shift more tokens than there are, or than there is room for.
  constexpr uint32_t context = 28;
  ASSERT_EQ(prompt.size(), context);
  ToySession other(model.handle, 1, context);
  ASSERT_EQ(feed(other.handle, 0, {7, 7, 7}), TERN_OK);
  size_t size = 0;
  tern_slot_save_memory(other.handle, 0, nullptr, 0, &size, &error);
  std::vector<uint8_t> saved(size);
  ASSERT_EQ(tern_slot_save_memory(other.handle, 0, saved.data(), size, &size, &error), TERN_OK);
  for (const SlotChange &test : slotChanges)
    for (const uint32_t steps : {0u, 1u, 2u}) // the prompt waits; a token waits; shifted once
      for (const bool together : {false, true}) {
        SCOPED_TRACE(std::string(test.name) + " after " + std::to_string(steps));
        ToySession session(model.handle, 2, context);
        ASSERT_EQ(feed(session.handle, 1, {60, 61}), TERN_OK);
        ASSERT_EQ(feed(session.handle, 0, {40, 41, 42, 80}), TERN_OK);
        tern_generate_options options = greedy(0);
        options.context_shift = 1;
        options.shift_keep = 20;
        tern_generation *generation = begin(session.handle, options, prompt);
        tern_piece piece = TERN_PIECE_INIT;
        for (uint32_t step = 0; step < steps; ++step)
          ASSERT_EQ(tern_next(generation, &piece, &error), TERN_OK) << error.message;
        if (test.name == std::string("appending") &&
            tern_slot_length(session.handle, 0) + 3 > context)
          ASSERT_EQ(tern_slot_truncate(session.handle, 0, 21, &error), TERN_OK);
        ASSERT_EQ(test.change(session.handle, saved), TERN_OK);
        if (together) // leaves it alone, or evaluates it
          ASSERT_EQ(tern_evaluate_together(session.handle, &generation, 1, &error), TERN_OK);
        const tern_status expected = test.isChange ? TERN_INVALID_ARGUMENT : TERN_OK;
        EXPECT_EQ(tern_next(generation, &piece, &error), expected) << error.message;
        if (test.isChange) {
          EXPECT_NE(std::string(error.message).find("begin a new one"), std::string::npos);
          EXPECT_EQ(tern_next(generation, &piece, &error), TERN_INVALID_ARGUMENT) << "it is over";
        }
        EXPECT_EQ(generate(session.handle, greedy(3), prompt).tokens.size(), 1u) << "begun anew";
      }
}

TEST_F(Generation, ATokenChosenBeforeTheSlotChangedIsNotGivenOut) {
  ToySession session(model.handle);
  tern_generation *generation = begin(session.handle, greedy(5), prompt);
  ASSERT_EQ(tern_evaluate_together(session.handle, &generation, 1, &error), TERN_OK);
  ASSERT_EQ(tern_slot_truncate(session.handle, 0, 3, &error), TERN_OK);
  tern_piece piece = TERN_PIECE_INIT;
  EXPECT_EQ(tern_next(generation, &piece, &error), TERN_INVALID_ARGUMENT);
}

TEST_F(Generation, AFinishIsRepeatedWhateverTheSlotHolds) {
  ToySession session(model.handle);
  tern_generation *generation = begin(session.handle, greedy(2), prompt);
  collect(generation);
  ASSERT_EQ(tern_slot_truncate(session.handle, 0, 3, &error), TERN_OK);
  tern_piece piece = TERN_PIECE_INIT;
  ASSERT_EQ(tern_next(generation, &piece, &error), TERN_OK);
  EXPECT_EQ(piece.finish, TERN_FINISH_MAX_TOKENS);
}

TEST_F(Generation, PenaltiesForgetWhatAShiftForgets) {
  constexpr uint32_t context = 40, keep = 7, window = 20;
  ToySession session(model.handle, 1, context);
  tern_generate_options options = greedy(60);
  options.context_shift = 1;
  options.shift_keep = keep;
  options.presence_penalty = 100;
  options.penalty_window = window;
  const Generated found = generate(session.handle, options, prompt);
  std::vector<int32_t> history = prompt, expected;
  for (int i = 0; i < 60; ++i) {
    if (history.size() > context)
      history.erase(history.begin() + keep, history.begin() + keep + (context - keep + 1) / 2);
    std::vector<float> logits = referenceLogits(history);
    const auto newest = history.size() > window ? history.end() - window : history.begin();
    for (int32_t token : std::set<int32_t>(newest, history.end()))
      logits[size_t(token)] -= 100;
    expected.push_back(largest(logits));
    history.push_back(expected.back());
  }
  EXPECT_EQ(found.tokens, expected);
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
