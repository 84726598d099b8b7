// Rotary tables against extended-precision arithmetic.
#include "compiler/Artifact/RopeTable.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>

using namespace tern;

TEST(RopeTable, CosineAndSineAreAccurateToTheEndOfTheRange) {
  if (std::numeric_limits<long double>::digits < 64)
    GTEST_SKIP() << "long double is no wider than double here";
  std::mt19937_64 random(1);
  for (int trial = 0; trial < 200000; ++trial) {
    uint64_t multiplier = random() >> (44 + random() % 20); // up to 2^20, often small
    double frequency = std::pow(10000.0, -double(random() % 1000) / 1000);
    // The product is exact: 20 bits times at most 53 bits, of which the last few may be lost.
    long double angle = static_cast<long double>(multiplier) * frequency;
    CosineSine pair = cosineSine(multiplier, frequency);
    ASSERT_NEAR(pair.cosine, double(std::cos(angle)), 1e-12) << multiplier << " * " << frequency;
    ASSERT_NEAR(pair.sine, double(std::sin(angle)), 1e-12) << multiplier << " * " << frequency;
    ASSERT_NEAR(pair.cosine * pair.cosine + pair.sine * pair.sine, 1, 1e-15);
  }
}

TEST(RopeTable, KnownValues) {
  EXPECT_EQ(cosineSine(0, 1).cosine, 1);
  EXPECT_EQ(cosineSine(0, 1).sine, 0);
  EXPECT_NEAR(cosineSine(1, 1).cosine, 0.54030230586813971740, 1e-16);
  EXPECT_NEAR(cosineSine(1, 1).sine, 0.84147098480789650665, 1.2e-16);
  // sin(2^20) and cos(2^20), from a 100-digit evaluation.
  EXPECT_NEAR(cosineSine(1 << 20, 1).sine, 0.33049314002173467164, 1e-15);
  EXPECT_NEAR(cosineSine(1 << 20, 1).cosine, 0.94380839390131198401, 1e-15);
}

TEST(RopeTable, FineAndCoarseRowsMultiplyToThePosition) {
  RopeTableSource table{2048, 1.25, {1, 0.1, 0.003}};
  ASSERT_EQ(ropeTableRows(table), 256u + 8);
  for (uint64_t position : {0, 1, 255, 256, 1000, 2047}) {
    float fine[6], coarse[6];
    ropeTableRow(table, position % 256, fine);
    ropeTableRow(table, 256 + position / 256, coarse);
    for (unsigned i = 0; i < 3; ++i) {
      double c = fine[2 * i] * coarse[2 * i] - fine[2 * i + 1] * coarse[2 * i + 1];
      double s = fine[2 * i] * coarse[2 * i + 1] + fine[2 * i + 1] * coarse[2 * i];
      EXPECT_NEAR(c, 1.25 * std::cos(double(position) * table.frequencies[i]), 3e-7);
      EXPECT_NEAR(s, 1.25 * std::sin(double(position) * table.frequencies[i]), 3e-7);
    }
  }
}
