// The passes over a row of logits against the same, one number at a time.
#include "runtime/session/Softmax.h"

#include "runtime/session/Random.h"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

using namespace tern::runtime;

static constexpr float notANumber = std::numeric_limits<float>::quiet_NaN();
static constexpr float infinite = std::numeric_limits<float>::infinity();

static std::vector<float> randomRow(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> row(count);
  for (float &x : row)
    x = float(random.uniform() * 40 - 20);
  return row;
}

TEST(Softmax, TheLargestIsFoundWhereverItLies) {
  for (const size_t count : {1u, 15u, 16u, 17u, 1023u, 1024u, 1025u, 5000u}) {
    std::vector<float> row = randomRow(count, count);
    for (size_t at = 0; at < count; at += 1 + at / 3) {
      std::vector<float> logits = row;
      logits[at] = 100;
      EXPECT_EQ(largestOf(logits.data(), uint32_t(count)), 100);
      EXPECT_EQ(largestLogit(logits.data(), uint32_t(count)), int32_t(at));
      logits[count - 1] = 100; // the lower one counts
      EXPECT_EQ(largestLogit(logits.data(), uint32_t(count)), int32_t(at));
      for (size_t i = 0; i < count; i += 2)
        if (i != at)
          logits[i] = notANumber;
      EXPECT_EQ(largestLogit(logits.data(), uint32_t(count)), int32_t(at));
    }
  }
}

TEST(Softmax, RowsWithoutNumbersHaveNoLargest) {
  for (const float x : {notANumber, -infinite}) {
    const std::vector<float> row(100, x);
    EXPECT_EQ(largestOf(row.data(), 100), -infinite);
    EXPECT_EQ(largestLogit(row.data(), 100), -1);
  }
  EXPECT_EQ(largestOf(nullptr, 0), -infinite);
  EXPECT_EQ(largestLogit(nullptr, 0), -1);
}

TEST(Softmax, ExpIsThatOfOneNumber) {
  std::vector<float> row = {0,         -0.0f,      -87,     -87.0001f, -1000,
                            -infinite, notANumber, -1e-30f, -3e38f};
  for (const float x : randomRow(1000, 3))
    row.push_back(-std::fabs(x) * 5);
  std::vector<float> all = row;
  expOfNegatives(all.data(), uint32_t(all.size()));
  for (size_t i = 0; i < row.size(); ++i) {
    const float one = expOfNegative(row[i]);
    EXPECT_EQ(std::bit_cast<uint32_t>(all[i]), std::bit_cast<uint32_t>(one)) << row[i];
    if (std::isnan(row[i]))
      EXPECT_EQ(one, 0);
    else
      EXPECT_NEAR(one, std::exp(double(row[i])), 3e-7 * std::exp(double(row[i])) + 2e-38) << row[i];
  }
}

TEST(Softmax, SumsAreThoseOfDoubles) {
  for (const size_t count : {0u, 1u, 7u, 8u, 9u, 1000u}) {
    const std::vector<float> row = randomRow(count, count);
    double expected = 0;
    for (const float x : row)
      expected += double(x);
    EXPECT_NEAR(sumOf(row.data(), uint32_t(count)), expected, 1e-11);
  }
}
