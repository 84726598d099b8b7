// Attention of what is no finite number, of the largest and smallest numbers, and of every count of
// rows: what compiler/Kernels/Attention.cpp says of them.
#include "test/unit/kernels/AttentionCall.h"
#include <algorithm>

using namespace tern;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

class AttentionExtremes : public testing::TestWithParam<std::string> {};

size_t querySize(const Geometry &g) { return size_t(g.heads) * g.headSize; }

/// Whether every element of the result of a query head is NaN, or none is.
void expectNaNHeads(const Geometry &g, const std::vector<float> &result,
                    const std::vector<int> &heads) {
  for (int i = 0; i < g.heads * g.valueSize; ++i)
    ASSERT_EQ(std::isnan(result[size_t(i)]),
              std::find(heads.begin(), heads.end(), i / g.valueSize) != heads.end())
        << "element " << i << " is " << result[size_t(i)];
}

} // namespace

// In a place of each kind: within the first tile, at the edges of tiles, cache blocks and attention
// blocks, and at the row's own position.
TEST_P(AttentionExtremes, NaNOfAKeyIsSeenByItsHeadsAndLaterRows) {
  for (auto [element, change] :
       {std::pair(f16, ScoreChange{}), std::pair(f32, ScoreChange{}), std::pair(q8, ScoreChange{}),
        std::pair(f16, ScoreChange{30, 0}), std::pair(f16, ScoreChange{0, 8})}) {
    Geometry g{4, 2, 32, 32, element};
    AttentionCall call(g, 0.2f, GetParam(), change);
    ASSERT_TRUE(call.kernel.ready);
    for (int position : {0, 15, 16, 63, 64, 511, 512, 550}) {
      SCOPED_TRACE(g.kv() + ", position " + std::to_string(position));
      std::mt19937 random(21);
      Cache cache(g, 1, 551, random);
      cache.fill(0, 551, random);
      std::vector<float> key = cache.key(0, position, 1);
      key[7] = NAN;
      cache.setKey(0, position, 1, key);
      std::vector<float> query = randomVector(querySize(g), random);
      expectNaNHeads(g, call.run(cache, {{0, 550}}, query), {2, 3});
      if (position > 0)
        expectNaNHeads(g, call.run(cache, {{0, position - 1}}, query), {});
    }
  }
}

TEST_P(AttentionExtremes, NaNOfAQueryStaysInItsHead) {
  for (CacheElement element : {f16, q8}) {
    Geometry g{4, 2, 32, 32, element};
    AttentionCall call(g, 0.2f, GetParam());
    ASSERT_TRUE(call.kernel.ready);
    for (int position : {0, 63, 600}) {
      std::mt19937 random(22);
      Cache cache(g, 1, 601, random);
      cache.fill(0, 601, random);
      std::vector<float> query = randomVector(querySize(g), random);
      query[2 * 32 + 31] = NAN;
      expectNaNHeads(g, call.run(cache, {{0, position}}, query), {2});
    }
  }
}

// A score of -inf has no weight, one of +inf makes NaN: the first two heads see one, the last two
// the other.
TEST_P(AttentionExtremes, InfiniteKeysFollowTheSoftmax) {
  for (CacheElement element : {f16, f32}) {
    Geometry g{4, 2, 32, 32, element};
    AttentionCall call(g, 0.2f, GetParam());
    ASSERT_TRUE(call.kernel.ready);
    for (int position : {0, 64, 520}) {
      SCOPED_TRACE(g.kv() + ", position " + std::to_string(position));
      std::mt19937 random(23);
      Cache cache(g, 1, 530, random);
      cache.fill(0, 530, random);
      for (int head : {0, 1}) {
        std::vector<float> key = cache.key(0, position, head);
        key[0] = head == 0 ? -infinity : infinity;
        cache.setKey(0, position, head, key);
      }
      std::vector<float> query = randomVector(querySize(g), random);
      for (int head = 0; head < 4; ++head)
        query[size_t(head) * 32] = 1;
      std::vector<float> result = call.run(cache, {{0, 529}}, query);
      expectNaNHeads(g, result, {2, 3});
      std::vector<double> expected = call.reference(cache, {0, 529}, query.data());
      expected.resize(size_t(2) * g.valueSize);
      expectNear(result.data(), expected, 2e-5, "no weight");
    }
  }
}

// Attention blocks of which no position has a weight, before and behind others.
TEST_P(AttentionExtremes, ScoresOfMinusInfinityAreLeftOut) {
  Geometry g{2, 1, 32, 32, f16};
  AttentionCall call(g, 0.2f, GetParam());
  ASSERT_TRUE(call.kernel.ready);
  for (auto [from, to] : {std::pair(0, 512), std::pair(0, 1100), std::pair(512, 1200),
                          std::pair(3, 1200), std::pair(0, 1199)}) {
    SCOPED_TRACE("positions " + std::to_string(from) + " to " + std::to_string(to));
    std::mt19937 random(24);
    Cache cache(g, 1, 1200, random);
    cache.fill(0, 1200, random);
    for (int p = from; p < to; ++p) {
      std::vector<float> key = cache.key(0, p, 0);
      key[5] = -infinity;
      cache.setKey(0, p, 0, key);
    }
    std::vector<float> query = randomVector(querySize(g), random);
    query[5] = query[32 + 5] = 2;
    std::vector<float> result = call.run(cache, {{0, 1199}}, query);
    expectNear(result.data(), call.reference(cache, {0, 1199}, query.data()), 2e-5, "the others");
    if (from == 0) // nothing else is visible
      expectNaNHeads(g, call.run(cache, {{0, to - 1}}, query), {0, 1});
  }
}

TEST_P(AttentionExtremes, InfiniteValuesStayInTheirElements) {
  for (CacheElement element : {f16, f32}) {
    Geometry g{4, 2, 32, 32, element};
    AttentionCall call(g, 0.05f, GetParam());
    ASSERT_TRUE(call.kernel.ready);
    std::mt19937 random(25);
    Cache cache(g, 1, 600, random);
    cache.fill(0, 600, random);
    auto set = [&](int position, int at, float x) {
      std::vector<float> value = cache.value(0, position, 1);
      value[size_t(at)] = x;
      cache.setValue(0, position, 1, value);
    };
    set(3, 0, infinity);
    set(520, 1, -infinity);
    set(100, 2, infinity);
    set(590, 2, -infinity); // meets the other in another attention block
    set(64, 3, NAN);
    std::vector<float> query = randomVector(querySize(g), random);
    std::vector<float> result = call.run(cache, {{0, 599}}, query);
    std::vector<double> expected = call.reference(cache, {0, 599}, query.data());
    for (size_t i = 0; i < result.size(); ++i) {
      size_t at = i % 32;
      bool isChanged = i / 32 >= 2 && at < 4;
      if (isChanged && at < 2)
        EXPECT_EQ(result[i], at == 0 ? infinity : -infinity) << i;
      else if (isChanged)
        EXPECT_TRUE(std::isnan(result[i])) << i << " is " << result[i];
      else
        EXPECT_NEAR(result[i], expected[i], 2e-5) << i;
    }
  }
}

TEST_P(AttentionExtremes, TheLargestAndSmallestNumbers) {
  for (CacheElement element : {f16, f32, q8}) {
    Geometry g{4, 2, 32, 32, element};
    SCOPED_TRACE(g.kv());
    std::mt19937 random(26);
    // Keys and values near the end of f16's range: scores of millions.
    AttentionCall call(g, 0.2f, GetParam());
    ASSERT_TRUE(call.kernel.ready);
    Cache large(g, 1, 700, random);
    large.fill(0, 700, random, 15000);
    std::vector<float> query = randomVector(querySize(g), random);
    std::vector<float> result = call.run(large, {{0, 699}}, query);
    std::vector<double> expected = call.reference(large, {0, 699}, query.data());
    expectNear(result.data(), expected, 15000 * 5e-5, "large");
    // Denormal ones of f16, of which the sums are no denormals of f32; denormal queries.
    Cache small(g, 1, 700, random);
    small.fill(0, 700, random, 2e-6f);
    result = call.run(small, {{0, 699}}, query);
    expectNear(result.data(), call.reference(small, {0, 699}, query.data()), 2e-6 * 2e-5, "small");
    std::vector<float> denormal = randomVector(querySize(g), random, 1e-41f);
    result = call.run(large, {{0, 699}}, denormal);
    expectNear(result.data(), call.reference(large, {0, 699}, denormal.data()), 15000 * 2e-5,
               "denormal queries");
  }
}

TEST_P(AttentionExtremes, EqualScoresGiveTheMean) {
  std::vector<Row> rows;
  for (int length : {1, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1023, 1024, 1025})
    rows.push_back({0, length - 1});
  for (CacheElement element : {f16, f32, q8}) {
    Geometry g{4, 2, 32, 32, element};
    std::mt19937 random(27);
    AttentionCall call(g, 0.2f, GetParam());
    ASSERT_TRUE(call.kernel.ready);
    Cache cache(g, 1, 1025, random);
    cache.fill(0, 1025, random);
    std::vector<float> query(rows.size() * querySize(g), 0.0f);
    std::vector<float> result = call.run(cache, rows, query);
    for (size_t r = 0; r < rows.size(); ++r)
      expectNear(&result[r * 128], call.reference(cache, rows[r], query.data()), 2e-6,
                 g.kv() + " position " + std::to_string(rows[r].position));
  }
}

// Every count of rows of one prompt, ending behind an attention block: bit for bit what the rows
// give alone.
TEST_P(AttentionExtremes, EveryCountOfRowsGivesTheSameBits) {
  for (CacheElement element : {f16, q8}) {
    Geometry g{4, 2, 16, 16, element};
    SCOPED_TRACE(g.kv());
    std::mt19937 random(28);
    AttentionCall call(g, 0.25f, GetParam());
    ASSERT_TRUE(call.kernel.ready);
    const int most = 70, last = 540;
    Cache cache(g, 1, last + 1, random);
    cache.fill(0, last + 1, random);
    std::vector<float> query = randomVector(most * querySize(g), random), alone;
    for (int r = 0; r < most; ++r) {
      std::vector<float> own(query.begin() + r * 64, query.begin() + (r + 1) * 64);
      std::vector<float> one = call.run(cache, {{0, last - most + 1 + r}}, own);
      alone.insert(alone.end(), one.begin(), one.end());
    }
    for (int t = 1; t <= most; ++t) {
      std::vector<Row> rows;
      for (int r = most - t; r < most; ++r)
        rows.push_back({0, last - most + 1 + r});
      std::vector<float> theirs(query.end() - t * 64, query.end());
      std::vector<float> result = call.run(cache, rows, theirs);
      ASSERT_EQ(0, memcmp(result.data(), &alone[size_t(most - t) * 64], result.size() * 4)) << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, AttentionExtremes, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });
