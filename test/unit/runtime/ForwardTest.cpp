// The forward contract through the C interface: results, slots, rollback, and every refusal.
#include "test/unit/runtime/ToyArtifact.h"

#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <string>

using namespace tern::test;

namespace {
class Forward : public testing::Test {
protected:
  LoadedModel model{ToyArtifact().write()};

  void SetUp() override { ASSERT_NE(model.handle, nullptr) << model.error.message; }
};
} // namespace

static std::vector<int32_t> randomTokens(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t &token : tokens)
    token = int32_t(random() % TOY_VOCABULARY);
  return tokens;
}

/// Feeds `tokens` to a slot from `position` on in chunks; returns the logits of the last.
static std::vector<float> feed(tern_session *session, const std::vector<int32_t> &tokens,
                               size_t chunk, int32_t slot = 0, int32_t position = 0) {
  tern_error error = TERN_ERROR_INIT;
  std::vector<float> last;
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const size_t rows = std::min(chunk, tokens.size() - begin);
    std::vector<int32_t> positions(rows), slots(rows, slot);
    for (size_t i = 0; i < rows; ++i)
      positions[i] = position + int32_t(begin + i);
    tern_batch batch = TERN_BATCH_INIT;
    batch.rows = rows;
    batch.tokens = tokens.data() + begin;
    batch.positions = positions.data();
    batch.slots = slots.data();
    tern_logits logits = TERN_LOGITS_INIT;
    EXPECT_EQ(tern_forward(session, &batch, &logits, &error), TERN_OK) << error.message;
    EXPECT_EQ(logits.rows, 1u);
    EXPECT_EQ(logits.stride, size_t(TOY_LOGITS_STRIDE));
    last.assign(logits.logits, logits.logits + TOY_VOCABULARY);
  }
  return last;
}

TEST_F(Forward, ComputesTheModel) {
  ToySession session(model.handle);
  const std::vector<int32_t> tokens = randomTokens(200, 1);
  const std::vector<float> found = feed(session.handle, tokens, 24),
                           expected = referenceLogits(tokens);
  for (size_t v = 0; v < expected.size(); ++v)
    EXPECT_NEAR(found[v], expected[v], 1e-4) << v;
}

TEST_F(Forward, DoesNotDependOnThreadsOrChunks) {
  const std::vector<int32_t> tokens = randomTokens(150, 2);
  ToySession reference(model.handle);
  const std::vector<float> expected = feed(reference.handle, tokens, 1);
  for (uint32_t threads : {1u, 2u, 4u})
    for (size_t chunk : {1u, 7u, 24u}) {
      ToySession session(model.handle, 1, 0, threads);
      EXPECT_EQ(feed(session.handle, tokens, chunk), expected) << threads << " " << chunk;
    }
}

TEST_F(Forward, KeepsSlotsApartInMixedBatches) {
  const std::vector<int32_t> a = randomTokens(100, 3), b = randomTokens(70, 4);
  ToySession alone(model.handle);
  const std::vector<float> expectedA = feed(alone.handle, a, 10);
  ToySession alsoAlone(model.handle);
  const std::vector<float> expectedB = feed(alsoAlone.handle, b, 10);

  ToySession session(model.handle, 3, 128, 2);
  feed(session.handle, {a.begin(), a.end() - 4}, 24, 2);
  feed(session.handle, {b.begin(), b.end() - 3}, 24, 0);
  // Rows of both slots interleaved, the last ones wanted.
  const std::vector<int32_t> tokens = {a[96], b[67], a[97], b[68], a[98], a[99], b[69]};
  const std::vector<int32_t> slots = {2, 0, 2, 0, 2, 2, 0};
  const std::vector<uint8_t> want = {0, 0, 0, 0, 0, 1, 1};
  tern_batch batch = TERN_BATCH_INIT;
  batch.rows = tokens.size();
  batch.tokens = tokens.data();
  batch.slots = slots.data();
  batch.want = want.data();
  tern_logits logits = TERN_LOGITS_INIT;
  ASSERT_EQ(tern_forward(session.handle, &batch, &logits, nullptr), TERN_OK);
  ASSERT_EQ(logits.rows, 2u);
  for (size_t v = 0; v < TOY_VOCABULARY; ++v) {
    EXPECT_EQ(logits.logits[v], expectedA[v]);
    EXPECT_EQ(logits.logits[logits.stride + v], expectedB[v]);
  }
  EXPECT_EQ(tern_slot_length(session.handle, 2), 100u);
  EXPECT_EQ(tern_slot_length(session.handle, 0), 70u);
  EXPECT_EQ(tern_slot_length(session.handle, 1), 0u);
}

TEST_F(Forward, ALowerPositionRollsBack) {
  const std::vector<int32_t> tokens = randomTokens(90, 5);
  ToySession reference(model.handle);
  const std::vector<float> expected = feed(reference.handle, tokens, 24);
  ToySession session(model.handle);
  std::vector<int32_t> wrong(tokens.begin(), tokens.begin() + 60);
  const std::vector<int32_t> tail = randomTokens(80, 6);
  wrong.insert(wrong.end(), tail.begin(), tail.end());
  feed(session.handle, wrong, 24);
  EXPECT_EQ(tern_slot_length(session.handle, 0), 140u);
  EXPECT_EQ(feed(session.handle, {tokens.begin() + 60, tokens.end()}, 24, 0, 60), expected);
  EXPECT_EQ(tern_slot_length(session.handle, 0), 90u);
}

TEST_F(Forward, TruncatesAndCopiesSlots) {
  const std::vector<int32_t> tokens = randomTokens(131, 7);
  ToySession session(model.handle, 2);
  const std::vector<float> expected = feed(session.handle, tokens, 24);
  feed(session.handle, randomTokens(300, 8), 24, 1);
  ASSERT_EQ(tern_slot_truncate(session.handle, 0, 130, nullptr), TERN_OK);
  ASSERT_EQ(tern_slot_copy(session.handle, 0, 1, nullptr), TERN_OK);
  EXPECT_EQ(tern_slot_length(session.handle, 1), 130u);
  feed(session.handle, randomTokens(100, 9), 24, 0);
  EXPECT_EQ(feed(session.handle, {tokens.back()}, 1, 1, 130), expected);

  EXPECT_EQ(tern_slot_truncate(session.handle, 1, 132, nullptr), TERN_OUT_OF_RANGE);
  EXPECT_EQ(tern_slot_truncate(session.handle, 2, 0, nullptr), TERN_OUT_OF_RANGE);
  EXPECT_EQ(tern_slot_copy(session.handle, 0, 2, nullptr), TERN_OUT_OF_RANGE);
  EXPECT_EQ(tern_slot_copy(session.handle, 5, 0, nullptr), TERN_OUT_OF_RANGE);
  EXPECT_EQ(tern_slot_copy(session.handle, 1, 1, nullptr), TERN_OK);
  EXPECT_EQ(tern_slot_length(session.handle, 9), 0u);
}

TEST_F(Forward, ServesWantedRowsInOrderUpToTheBound) {
  ToySession session(model.handle);
  const std::vector<int32_t> tokens = randomTokens(8, 10);
  const std::vector<uint8_t> want = {1, 0, 1, 0, 0, 1, 0, 1};
  tern_batch batch = TERN_BATCH_INIT;
  batch.rows = 8;
  batch.tokens = tokens.data();
  batch.want = want.data();
  tern_logits logits = TERN_LOGITS_INIT;
  ASSERT_EQ(tern_forward(session.handle, &batch, &logits, nullptr), TERN_OK);
  ASSERT_EQ(logits.rows, 4u);
  const size_t rows[] = {0, 2, 5, 7};
  for (size_t r = 0; r < 4; ++r) {
    const std::vector<float> expected =
        referenceLogits({tokens.begin(), tokens.begin() + 1 + long(rows[r])});
    for (size_t v = 0; v < TOY_VOCABULARY; ++v)
      EXPECT_NEAR(logits.logits[r * logits.stride + v], expected[v], 1e-4);
  }
  const std::vector<uint8_t> none(8, 0);
  batch.want = none.data();
  ASSERT_EQ(tern_forward(session.handle, &batch, &logits, nullptr), TERN_OK);
  EXPECT_EQ(logits.rows, 0u);
}

namespace {
struct BadBatch {
  const char *name;
  std::vector<int32_t> tokens, positions, slots;
  std::vector<uint8_t> want;
};
} // namespace

TEST_F(Forward, RefusesBadBatchesBeforeAnythingIsWritten) {
  constexpr int32_t context = 20;
  ToySession session(model.handle, 2, context);
  const std::vector<int32_t> tokens = randomTokens(10, 11);
  feed(session.handle, tokens, 10);
  const std::vector<float> before = feed(session.handle, {3}, 1, 0, 10);
  const BadBatch batches[] = {
      {"no rows", {}, {}, {}, {}},
      {"too many rows", std::vector<int32_t>(TOY_MAX_BATCH + 1, 1), {}, {}, {}},
      {"token below", {0, -1}, {}, {}, {}},
      {"token above", {TOY_VOCABULARY}, {}, {}, {}},
      {"slot below", {1}, {0}, {-1}, {}},
      {"slot above", {1}, {0}, {2}, {}},
      {"gap at the start", {1}, {12}, {0}, {}},
      {"gap in an empty slot", {1}, {1}, {1}, {}},
      {"negative position", {1}, {-1}, {0}, {}},
      {"gap within", {1, 1}, {5, 7}, {0, 0}, {}},
      {"duplicate", {1, 1}, {5, 5}, {0, 0}, {}},
      {"backwards", {1, 1}, {5, 4}, {0, 0}, {}},
      {"past the capacity", std::vector<int32_t>(10, 1), {}, {}, {}},
      {"wanted too many", std::vector<int32_t>(6, 1), {}, {}, std::vector<uint8_t>(6, 1)},
      // Rows before the bad one must leave no trace either.
      {"last row bad", {1, 1, 1, 1000}, {5, 6, 7, 8}, {0, 0, 0, 0}, {}},
  };
  for (const BadBatch &bad : batches) {
    tern_batch batch = TERN_BATCH_INIT;
    batch.rows = bad.tokens.size();
    batch.tokens = bad.tokens.empty() ? nullptr : bad.tokens.data();
    batch.positions = bad.positions.empty() ? nullptr : bad.positions.data();
    batch.slots = bad.slots.empty() ? nullptr : bad.slots.data();
    batch.want = bad.want.empty() ? nullptr : bad.want.data();
    tern_error error = TERN_ERROR_INIT;
    EXPECT_EQ(tern_forward(session.handle, &batch, nullptr, &error), TERN_OUT_OF_RANGE) << bad.name;
    EXPECT_NE(error.message[0], 0) << bad.name;
    EXPECT_EQ(tern_slot_length(session.handle, 0), 11u) << bad.name;
    EXPECT_EQ(tern_slot_length(session.handle, 1), 0u) << bad.name;
  }
  EXPECT_EQ(feed(session.handle, {3}, 1, 0, 10), before);
}

TEST_F(Forward, FillsASlotToItsLastPosition) {
  ToySession session(model.handle, 1, 64);
  const std::vector<int32_t> tokens = randomTokens(64, 12);
  const std::vector<float> found = feed(session.handle, tokens, 24),
                           expected = referenceLogits(tokens);
  for (size_t v = 0; v < expected.size(); ++v)
    EXPECT_NEAR(found[v], expected[v], 1e-4);
  tern_batch batch = TERN_BATCH_INIT;
  const int32_t token = 1;
  batch.rows = 1;
  batch.tokens = &token;
  tern_error error = TERN_ERROR_INIT;
  EXPECT_EQ(tern_forward(session.handle, &batch, nullptr, &error), TERN_OUT_OF_RANGE);
  EXPECT_NE(std::string(error.message).find("capacity of 64"), std::string::npos) << error.message;
}

TEST_F(Forward, SessionsRefuseImpossibleOptions) {
  EXPECT_EQ(ToySession(model.handle, 0).error.status, TERN_INVALID_ARGUMENT);
  EXPECT_EQ(ToySession(model.handle, 1 << 20).error.status, TERN_INVALID_ARGUMENT);
  EXPECT_EQ(ToySession(model.handle, 1, TOY_CONTEXT + 1).error.status, TERN_OUT_OF_RANGE);
  EXPECT_EQ(ToySession(model.handle, 1, 0, 5000).error.status, TERN_INVALID_ARGUMENT);
  ToySession largest(model.handle, 1, 0);
  ASSERT_NE(largest.handle, nullptr);
}

TEST_F(Forward, SessionsOfOneModelRunAtTheSameTime) {
  const std::vector<int32_t> tokens = randomTokens(60, 13);
  ToySession first(model.handle, 1, 0, 2), second(model.handle, 1, 0, 2);
  const std::vector<float> a = feed(first.handle, tokens, 5);
  EXPECT_EQ(feed(second.handle, tokens, 9), a);
}
