// Attention whose tasks are split by blocks of 512 positions has the bits of a single pass.
#include "test/unit/kernels/AttentionCall.h"

using namespace tern;

namespace {

class AttentionSplit : public testing::TestWithParam<std::string> {};

void expectSameBits(const std::vector<float> &expected, const std::vector<float> &actual,
                    const std::string &where) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    uint32_t bits[2];
    memcpy(&bits[0], &expected[i], 4);
    memcpy(&bits[1], &actual[i], 4);
    ASSERT_EQ(bits[0], bits[1]) << where << ", element " << i << ": " << expected[i] << ", split "
                                << actual[i];
  }
}

/// Rows of two slots whose lengths lie around the edges of blocks, in one call and each alone.
void compareWithSinglePass(const Geometry &g, const std::string &target, ScoreChange change = {},
                           float queryScale = 1) {
  SCOPED_TRACE(g.kv() + " heads " + std::to_string(g.heads));
  std::mt19937 random(31);
  AttentionCall call(g, 1 / std::sqrt(float(g.headSize)), target, change);
  ASSERT_TRUE(call.kernel.ready);
  constexpr int longest = 1700;
  Cache cache(g, 2, longest, random);
  cache.fill(0, longest, random);
  cache.fill(1, 700, random);
  std::vector<Row> rows = {{0, 1699}, {1, 0},    {1, 511},  {1, 512}, {1, 699},
                           {0, 1023}, {0, 1024}, {0, 1535}, {0, 1536}};
  size_t querySize = size_t(g.heads) * g.headSize, resultSize = size_t(g.heads) * g.valueSize;
  std::vector<float> query = randomVector(rows.size() * querySize, random, queryScale);
  std::vector<float> whole = call.run(cache, rows, query);
  for (int chunk : {0, 1, 3})
    expectSameBits(whole, call.run(cache, rows, query, chunk, /*split=*/true),
                   "chunks of " + std::to_string(chunk));
  for (size_t r : {0, 4, 6}) {
    std::vector<float> own(query.begin() + r * querySize, query.begin() + (r + 1) * querySize);
    std::vector<float> expected(whole.begin() + r * resultSize,
                                whole.begin() + (r + 1) * resultSize);
    expectSameBits(expected, call.run(cache, {rows[r]}, own, 0, /*split=*/true),
                   "row " + std::to_string(r));
  }
}

} // namespace

TEST_P(AttentionSplit, HasTheBitsOfASinglePass) {
  compareWithSinglePass({8, 1, 64, 64, f16}, GetParam());
  compareWithSinglePass({6, 2, 32, 32, q8}, GetParam());
  compareWithSinglePass({4, 2, 20, 12, f32}, GetParam()); // keys and values differ
  compareWithSinglePass({2, 1, 7, 5, q8}, GetParam());    // multiples of nothing
}

TEST_P(AttentionSplit, HasTheBitsOfASinglePassWithinWindows) {
  for (int window : {1, 512, 513, 700, 4096})
    compareWithSinglePass({4, 1, 32, 32, f16, window}, GetParam());
  compareWithSinglePass({4, 2, 32, 32, q8, 700}, GetParam());
}

TEST_P(AttentionSplit, HasTheBitsOfASinglePassWithChangedScores) {
  compareWithSinglePass({4, 1, 32, 32, f16}, GetParam(), {.softCap = 1});
  compareWithSinglePass({4, 2, 20, 12, q8, 700}, GetParam(), {.softCap = 50}, 100);
  compareWithSinglePass({6, 6, 20, 20, f16}, GetParam(), {.alibi = 8});
  // Far blocks have weights of 0, and maxima that differ by thousands.
  compareWithSinglePass({4, 1, 32, 32, f16}, GetParam(), {}, 3000);
}

// Infinite scores and NaN in one block, in the first or a later one.
TEST_P(AttentionSplit, HasTheBitsOfASinglePassForWhatIsNoNumber) {
  const float infinity = std::numeric_limits<float>::infinity();
  Geometry g{4, 2, 32, 32, f32};
  AttentionCall call(g, 0.2f, GetParam());
  ASSERT_TRUE(call.kernel.ready);
  for (float special : {infinity, -infinity, NAN})
    for (int position : {3, 600, 1290})
      for (bool ofKey : {true, false}) {
        SCOPED_TRACE(std::to_string(special) + " at " + std::to_string(position) +
                     (ofKey ? " of a key" : " of a value"));
        std::mt19937 random(32);
        Cache cache(g, 1, 1300, random);
        cache.fill(0, 1300, random);
        std::vector<float> row = ofKey ? cache.key(0, position, 1) : cache.value(0, position, 1);
        row[5] = special;
        ofKey ? cache.setKey(0, position, 1, row) : cache.setValue(0, position, 1, row);
        std::vector<float> query = randomVector(size_t(g.heads) * g.headSize, random);
        std::vector<float> whole = call.run(cache, {{0, 1299}}, query),
                           split = call.run(cache, {{0, 1299}}, query, 0, /*split=*/true);
        for (size_t i = 0; i < whole.size(); ++i)
          if (std::isnan(whole[i]))
            ASSERT_TRUE(std::isnan(split[i])) << i;
          else
            ASSERT_EQ(whole[i], split[i]) << i;
      }
}

INSTANTIATE_TEST_SUITE_P(Targets, AttentionSplit, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });
