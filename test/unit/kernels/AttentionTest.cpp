// Attention against a naive reference in double, and the independence of rows.
#include "test/unit/kernels/AttentionCall.h"
#include <algorithm>

using namespace tern;

namespace {

class Attention : public testing::TestWithParam<std::string> {};

void compareWithReference(const Geometry &g, const std::string &target,
                          const std::vector<int> &lengths, ScoreChange change = {}) {
  SCOPED_TRACE(g.kv() + " heads " + std::to_string(g.heads));
  std::mt19937 random(1);
  AttentionCall call(g, 1 / std::sqrt(float(g.headSize)), target, change);
  ASSERT_TRUE(call.kernel.ready);
  int longest = *std::max_element(lengths.begin(), lengths.end());
  Cache cache(g, 2, longest, random);
  cache.fill(1, longest, random);
  std::vector<Row> rows;
  for (int length : lengths)
    rows.push_back({1, length - 1});
  size_t querySize = size_t(g.heads) * g.headSize;
  std::vector<float> query = randomVector(rows.size() * querySize, random);
  std::vector<float> result = call.run(cache, rows, query);
  for (size_t r = 0; r < rows.size(); ++r)
    expectNear(&result[r * g.heads * g.valueSize],
               call.reference(cache, rows[r], &query[r * querySize]), 2e-5,
               "length " + std::to_string(lengths[r]));
}

} // namespace

TEST_P(Attention, EveryLengthMatchesTheReference) {
  std::vector<int> lengths;
  for (int n = 1; n <= 70; ++n)
    lengths.push_back(n);
  for (int n : {127, 128, 129, 511, 512, 513, 575, 576, 577, 1023, 1024, 1025, 1300, 1500})
    lengths.push_back(n);
  compareWithReference({4, 2, 16, 16, f16}, GetParam(), lengths);
  compareWithReference({2, 2, 64, 64, f32}, GetParam(), lengths);
  compareWithReference({4, 2, 48, 16, q8}, GetParam(), lengths);
}

TEST_P(Attention, HeadSizesAndGroups) {
  std::vector<int> lengths = {1, 17, 64, 600};
  for (CacheElement element : {f16, f32, q8}) {
    compareWithReference({32, 4, 64, 64, element}, GetParam(),
                         lengths); // 8 query heads share a key head
    compareWithReference({14, 2, 64, 64, element}, GetParam(), lengths);  // 7
    compareWithReference({3, 3, 128, 128, element}, GetParam(), lengths); // none shared
    compareWithReference({11, 1, 80, 80, element}, GetParam(), lengths);  // all share one
    compareWithReference({3, 1, 16, 16, element}, GetParam(), lengths);   // padded rows
    compareWithReference({12, 2, 96, 96, element}, GetParam(), lengths);
    compareWithReference({4, 2, 20, 12, element}, GetParam(), lengths); // keys and values differ
    compareWithReference({2, 1, 7, 5, element}, GetParam(), lengths);   // multiples of nothing
    compareWithReference({8, 1, 256, 256, element}, GetParam(), lengths);
    compareWithReference({71, 1, 64, 64, element}, GetParam(),
                         lengths); // Falcon 7B's: the most stack
  }
}

// The same rows one by one, in one call, in another order beside other slots, and in chunks of
// tasks.
TEST_P(Attention, ARowDoesNotDependOnItsCompany) {
  for (CacheElement element : {f16, q8}) {
    Geometry g{6, 2, 32, 32, element};
    SCOPED_TRACE(g.kv());
    std::mt19937 random(2);
    AttentionCall call(g, 0.2f, GetParam());
    ASSERT_TRUE(call.kernel.ready);
    Cache cache(g, 3, 1100, random);
    cache.fill(0, 1100, random);
    cache.fill(1, 30, random);
    cache.fill(2, 700, random);
    std::vector<Row> rows = {{2, 690}, {2, 691}, {0, 0},    {0, 1}, {1, 29},
                             {0, 511}, {0, 512}, {0, 1099}, {1, 3}};
    size_t querySize = size_t(g.heads) * g.headSize, resultSize = size_t(g.heads) * g.valueSize;
    std::vector<float> query = randomVector(rows.size() * querySize, random);
    std::vector<float> together = call.run(cache, rows, query);
    for (int chunk : {1, 2, 3, 7})
      EXPECT_EQ(0, memcmp(together.data(), call.run(cache, rows, query, chunk).data(),
                          together.size() * sizeof(float)))
          << "chunks of " << chunk;
    for (size_t r = 0; r < rows.size(); ++r) {
      std::vector<float> own(query.begin() + r * querySize, query.begin() + (r + 1) * querySize);
      std::vector<float> alone = call.run(cache, {rows[r]}, own);
      EXPECT_EQ(0, memcmp(alone.data(), &together[r * resultSize], resultSize * sizeof(float)))
          << "row " << r;
    }
  }
}

// What positions after the row's own hold changes nothing: a prompt in one chunk equals token by
// token.
TEST_P(Attention, LaterPositionsChangeNothing) {
  for (CacheElement element : {f16, q8}) {
    Geometry g{4, 4, 16, 16, element};
    SCOPED_TRACE(g.kv());
    std::mt19937 random(3);
    AttentionCall call(g, 0.25f, GetParam());
    ASSERT_TRUE(call.kernel.ready);
    Cache cache(g, 1, 640, random);
    cache.fill(0, 530, random);
    std::vector<float> query = randomVector(size_t(g.heads) * g.headSize, random);
    std::vector<float> before = call.run(cache, {{0, 529}}, query);
    std::mt19937 other(3);
    for (int p = 530; p < 640; ++p)
      for (int h = 0; h < g.keyHeads; ++h) {
        cache.setKey(0, p, h, std::vector<float>(g.headSize, 100));
        cache.setValue(0, p, h, std::vector<float>(g.valueSize, 100));
      }
    std::vector<float> after = call.run(cache, {{0, 529}}, query);
    EXPECT_EQ(0, memcmp(before.data(), after.data(), before.size() * sizeof(float)));
  }
}

// Positions that have left the window have no block any more.
TEST_P(Attention, AWindowLooksNoFurtherBack) {
  for (int window : {1, 16, 100, 512, 700, -100, -700}) {
    Geometry g{4, 2, 32, 32, window < 0 ? q8 : f16, std::abs(window)};
    SCOPED_TRACE(g.kv());
    std::mt19937 random(6);
    AttentionCall call(g, 0.2f, GetParam());
    ASSERT_TRUE(call.kernel.ready);
    size_t querySize = size_t(g.heads) * g.headSize;
    std::vector<float> query = randomVector(querySize, random);
    for (int position : {0, 15, 99, 100, 511, 600, 1130}) {
      Cache cache(g, 1, 1200, random);
      int lowest = std::max(0, position - g.window + 1);
      cache.fill(0, position + 1, random, 1, lowest);
      std::vector<float> result = call.run(cache, {{0, position}}, query);
      expectNear(result.data(), call.reference(cache, {0, position}, query.data()), 2e-5,
                 "position " + std::to_string(position));
    }
  }
}

TEST_P(Attention, SoftCapsBoundTheScores) {
  std::vector<int> lengths = {1, 17, 64, 600};
  compareWithReference({4, 2, 64, 64, f16}, GetParam(), lengths, {.softCap = 0.5f});
  compareWithReference({3, 1, 20, 12, f32}, GetParam(), lengths, {.softCap = 50});
  compareWithReference({4, 2, 20, 12, q8}, GetParam(), lengths, {.softCap = 1});
  compareWithReference({4, 2, 32, 32, f16, 100}, GetParam(), lengths, {.softCap = 1});
  // Scores far beyond the cap: exp's range must not be left.
  Geometry g{2, 1, 32, 32, f16};
  std::mt19937 random(8);
  AttentionCall call(g, 1000, GetParam(), {.softCap = 30});
  ASSERT_TRUE(call.kernel.ready);
  Cache cache(g, 1, 600, random);
  cache.fill(0, 600, random);
  std::vector<float> query = randomVector(size_t(g.heads) * g.headSize, random, 100);
  std::vector<float> result = call.run(cache, {{0, 599}}, query);
  expectNear(result.data(), call.reference(cache, {0, 599}, query.data()), 1e-4, "saturated");
}

// Head counts that are powers of two and that are not; distances beyond an attention block.
TEST_P(Attention, AlibiFavoursNearPositions) {
  std::vector<int> lengths = {1, 17, 64, 600, 1300};
  compareWithReference({8, 8, 16, 16, f16}, GetParam(), lengths, {.alibi = 8});
  compareWithReference({6, 6, 20, 20, f32}, GetParam(), lengths, {.alibi = 8});
  compareWithReference({12, 4, 32, 32, f16}, GetParam(), lengths, {.alibi = 4});
  compareWithReference({8, 8, 16, 16, q8}, GetParam(), lengths, {.alibi = 8});
}

TEST_P(Attention, ScoresOfTenThousandAreStable) {
  for (CacheElement element : {f16, f32, q8}) {
    Geometry g{4, 2, 64, 64, element};
    std::mt19937 random(4);
    AttentionCall call(g, 1, GetParam());
    ASSERT_TRUE(call.kernel.ready);
    Cache cache(g, 1, 900, random);
    cache.fill(0, 900, random);
    // Scores of standard deviation 64 * 8 * 4 / 8: beyond +-1e4 at both ends.
    std::vector<float> query = randomVector(size_t(g.heads) * g.headSize, random, 400);
    std::vector<float> result = call.run(cache, {{0, 899}}, query);
    expectNear(result.data(), call.reference(cache, {0, 899}, query.data()), 2e-2, "large scores");
    // All scores equal and enormous: the mean of the values.
    for (int p = 0; p < 900; ++p)
      for (int h = 0; h < 2; ++h) {
        std::vector<float> key(64);
        key[0] = -10000;
        cache.setKey(0, p, h, key);
      }
    std::fill(query.begin(), query.end(), 1.0f);
    result = call.run(cache, {{0, 899}}, query);
    expectNear(result.data(), call.reference(cache, {0, 899}, query.data()), 2e-5, "equal scores");
  }
}

// A NaN in one visible value makes its heads' results NaN, with a soft cap too; heads that do not
// see it, and rows before it, are numbers.
TEST_P(Attention, NaNOfAValueStaysNaN) {
  for (auto [element, softCap] :
       {std::pair(f16, 0.0f), std::pair(f16, 30.0f), std::pair(q8, 0.0f), std::pair(q8, 30.0f)}) {
    Geometry g{4, 2, 32, 32, element};
    AttentionCall call(g, 0.2f, GetParam(), {.softCap = softCap});
    ASSERT_TRUE(call.kernel.ready);
    for (int position : {0, 37, 530}) {
      SCOPED_TRACE(g.kv() + ", soft cap " + std::to_string(softCap) + ", position " +
                   std::to_string(position));
      std::mt19937 random(12);
      Cache cache(g, 1, 560, random);
      cache.fill(0, 560, random);
      std::vector<float> value = cache.value(0, position, 1);
      if (element == q8) // the scale makes a NaN of all
        value[5] = NAN;
      else
        std::fill(value.begin(), value.end(), NAN);
      cache.setValue(0, position, 1, value);
      std::vector<float> query = randomVector(size_t(g.heads) * g.headSize, random);
      std::vector<float> result = call.run(cache, {{0, 550}}, query);
      for (int i = 0; i < g.heads * g.valueSize; ++i)
        ASSERT_EQ(std::isnan(result[size_t(i)]), i / g.valueSize >= 2) << i;
      if (position > 0) {
        result = call.run(cache, {{0, position - 1}}, query);
        for (float value : result)
          ASSERT_FALSE(std::isnan(value));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Attention, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });
