// A generation and its slot: reuse of the prefix, the end of the context and its shift, changes of
// the slot behind the generation's back.
#include "test/unit/runtime/GenerationFixture.h"

#include <set>

using namespace tern::test;

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
