// The encodings' table, float conversions, and encoding of values.
#include "compiler/Encoding/BlockFormat.h"
#include "compiler/Encoding/HalfFloat.h"
#include "compiler/Encoding/WeightLayout.h"
#include "gtest/gtest.h"
#include <cmath>
#include <limits>
#include <random>

using namespace tern;

TEST(EncodingDesc, SpellingRoundTripsForEveryFormat) {
  for (const BlockFormat &format : blockFormats()) {
    std::string text = format.encoding.str();
    ASSERT_TRUE(parseEncoding(text)) << text;
    EXPECT_EQ(*parseEncoding(text), format.encoding) << text;
  }
  EXPECT_EQ((EncodingDesc{CodeKind::Ternary, 256, ScaleType::F16}.str()), "ternary:g256:f16");
}

TEST(EncodingDesc, MalformedSpellingsAreRefused) {
  for (const char *text : {"", "f64", "ternary", "ternary:g256", "ternary:256:f16",
                           "ternary:g0:f16", "ternary:g256:none", "f32:g32:f16", "int4:g32:f16:x",
                           "int4:g-1:f16", "int4:g16:f16", "int4:g032:f16", "int4:g32:u6",
                           "int4:g32:f16:min", "uint4:g32:f16:s256:f16", "uint4:g32:u6:s256:f16",
                           "int6:g16:i8:min:s256:f16", "int6:g16:i8:s256", "int6:g16:i8:s64:f16"})
    EXPECT_FALSE(parseEncoding(text)) << text;
}

TEST(WeightLayout, IdRoundTripsAndUnknownIdsAreRefused) {
  ASSERT_TRUE(parseWeightLayout("rows32"));
  EXPECT_EQ(parseWeightLayout("rows32")->tileRows, 32u);
  for (const char *text : {"", "rows", "rows0", "rows032", "rows4096", "rows32x", "cols32"})
    EXPECT_FALSE(parseWeightLayout(text)) << text;
}

TEST(WeightLayout, SizesFollowTheDescribedOrder) {
  WeightLayout layout;
  EncodingDesc ternary{CodeKind::Ternary, 256, ScaleType::F16};
  EncodingDesc int4{CodeKind::Int4, 32, ScaleType::F16};
  EXPECT_EQ(layout.outerBytes(ternary), 32u * 2 + 32 * 64);
  EXPECT_EQ(layout.tileBytes(int4, 64), 2u * (32 * 2 + 32 * 16));
  EXPECT_EQ(layout.packedBytes({CodeKind::F16}, 33, 10), 2u * 32 * 10 * 2);
  EXPECT_EQ(layout.packedBytes(ternary, 64, 512, 2), 2u * 2 * 2 * (64 + 2048));
}

// A packed row takes as many bytes as the file's. I2_S alone gains a scale for each group.
TEST(WeightLayout, NoFormatGrows) {
  for (const BlockFormat &format : blockFormats()) {
    if (format.isFloat() || format.name == "q8_k") // whose sums are not kept
      continue;
    unsigned bytes = format.blockBytes;
    if (format.tensorScaleBytes)
      bytes += format.encoding.outerScaleBytes();
    EXPECT_EQ(WeightLayout().packedBytes(format.encoding, 32, 512),
              32 * 512 / format.blockElements * bytes)
        << format.name.str();
    EXPECT_EQ(format.encoding.bitsPerWeight(), 8.0 * bytes / format.blockElements)
        << format.name.str();
  }
}

TEST(HalfFloat, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    float value = halfToFloat(uint16_t(bits));
    if ((bits & 0x7fff) > 0x7c00)
      EXPECT_TRUE(std::isnan(value));
    EXPECT_EQ(floatToHalf(value), bits);
  }
}

TEST(HalfFloat, RoundsHalfwayCasesToEven) {
  EXPECT_EQ(floatToHalf(1 + 0x1p-11f), 0x3c00); // between 1 and 1 + 2^-10: even is 1
  EXPECT_EQ(floatToHalf(1 + 3 * 0x1p-11f), 0x3c02);
  EXPECT_EQ(floatToHalf(0x1p-25f), 0x0000); // half the smallest subnormal
  EXPECT_EQ(floatToHalf(0x1.8p-24f), 0x0002);
  EXPECT_EQ(floatToHalf(65519.0f), 0x7bff);
  EXPECT_EQ(floatToHalf(65520.0f), 0x7c00);
}

// Every format's codes come back from pack(unpack(block)), whatever the block holds.
TEST(BlockFormat, PackInvertsUnpack) {
  std::mt19937 random(1);
  for (const BlockFormat &format : blockFormats()) {
    if (format.isFloat())
      continue;
    ASSERT_LE(format.blockElements, maxBlockElements);
    ASSERT_LE(format.groupsPerBlock(), maxGroupsPerBlock);
    std::vector<uint8_t> block(format.blockBytes), again(format.blockBytes);
    uint8_t codes[maxBlockElements];
    GroupScale scales[maxGroupsPerBlock];
    // Some bytes of these follow from others: what pack writes is a fixed point.
    bool redundant = format.name == "q8_k" || format.name == "tq1_0";
    for (int trial = 0; trial < 100; ++trial) {
      for (uint8_t &byte : block)
        byte = uint8_t(random());
      format.unpack(block.data(), {codes, scales});
      if (redundant) {
        format.pack({codes, scales}, block.data());
        format.unpack(block.data(), {codes, scales});
      }
      format.pack({codes, scales}, again.data());
      ASSERT_EQ(block, again) << format.name.str();
    }
  }
}

TEST(EncodeGroup, TernaryMeanKeepsExactlyTernaryGroups) {
  EncodingDesc ternary{CodeKind::Ternary, 256, ScaleType::F32};
  std::vector<float> values(256), decoded(256);
  for (int i = 0; i < 256; ++i)
    values[i] = float(i % 3 - 1) * 0.37f;
  uint8_t codes[256];
  GroupScale scale;
  encodeGroups(ternary, GroupFit::Search, values.data(), codes, &scale);
  decodeGroup(ternary, codes, scale, decoded.data());
  EXPECT_EQ(values, decoded);
}

TEST(EncodeGroup, TernaryMeanUsesTheMeanMagnitude) {
  EncodingDesc ternary{CodeKind::Ternary, 4, ScaleType::F32};
  float values[4] = {4, -1, 1, 0.5f}; // mean magnitude 1.625: codes +1, -1, +1, 0
  uint8_t codes[4];
  GroupScale scale;
  encodeGroups(ternary, GroupFit::Search, values, codes, &scale);
  EXPECT_EQ(std::bit_cast<float>(scale.scale), 1.625f);
  EXPECT_EQ(codes[0], 2);
  EXPECT_EQ(codes[1], 0);
  EXPECT_EQ(codes[2], 2);
  EXPECT_EQ(codes[3], 1);
}

TEST(EncodeGroup, QuaternaryMeetsThePeakWithItsLargestCode) {
  EncodingDesc quaternary{CodeKind::Quaternary, 4, ScaleType::F32};
  float values[4] = {-4, 2, -2, 0}; // scale -2: values 2, -1, 1, 0
  uint8_t codes[4];
  GroupScale scale;
  encodeGroups(quaternary, GroupFit::Search, values, codes, &scale);
  EXPECT_EQ(std::bit_cast<float>(scale.scale), -2.0f);
  EXPECT_EQ(codes[0], 3);
  EXPECT_EQ(codes[1], 0);
  EXPECT_EQ(codes[2], 2);
  EXPECT_EQ(codes[3], 1);
}

double weightedError(const EncodingDesc &encoding, GroupFit fit, const std::vector<float> &values,
                     const std::vector<float> &weights, const float *importance) {
  std::vector<uint8_t> codes(values.size());
  std::vector<float> decoded(values.size());
  std::vector<GroupScale> scales(values.size() / encoding.groupSize);
  encodeGroups(encoding, fit, values.data(), codes.data(), scales.data(), importance);
  for (size_t g = 0; g < scales.size(); ++g)
    decodeGroup(encoding, &codes[g * encoding.groupSize], scales[g],
                &decoded[g * encoding.groupSize]);
  double error = 0;
  for (size_t i = 0; i < values.size(); ++i)
    error += weights[i] * std::pow(double(values[i]) - double(decoded[i]), 2);
  return error;
}

const EncodingDesc searched[] = {
    {CodeKind::Int4, 32, ScaleType::F16},        {CodeKind::Int4, 128, ScaleType::F16},
    {CodeKind::UInt4, 64, ScaleType::F16, true}, {CodeKind::UInt2, 32, ScaleType::F32, true},
    {CodeKind::Int3, 32, ScaleType::F32},        {CodeKind::Int8, 32, ScaleType::F16}};

// Against every scale on a fine grid, each with the codes nearest to the values.
TEST(SearchScale, ComesNearTheBestScaleThereIs) {
  std::mt19937 random(21);
  std::student_t_distribution<float> tails(4);
  EncodingDesc int4{CodeKind::Int4, 32, ScaleType::F32};
  double found = 0, best = 0;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<float> values(32), ones(32, 1.0f);
    float peak = 0;
    for (float &value : values) {
      value = tails(random);
      peak = std::max(peak, std::fabs(value));
    }
    found += weightedError(int4, GroupFit::Search, values, ones, nullptr);
    double least = 1e30;
    for (int step = -4000; step <= 4000; ++step) {
      double scale = peak / 5 * step / 4000, error = 0;
      for (float value : values) {
        double code = scale == 0 ? 0 : std::clamp(std::nearbyint(value / scale), -8.0, 7.0);
        error += std::pow(value - scale * code, 2);
      }
      least = std::min(least, error);
    }
    best += least;
  }
  EXPECT_LT(found, 1.01 * best);
}

TEST(SearchScale, NeverLosesToThePeakAndWeighsErrors) {
  std::mt19937 random(22);
  std::normal_distribution<float> normal;
  for (const EncodingDesc &encoding : searched) {
    double peak = 0, search = 0, plain = 0, weighed = 0;
    for (int trial = 0; trial < 300; ++trial) {
      std::vector<float> values(encoding.groupSize), ones(encoding.groupSize, 1.0f),
          weights(encoding.groupSize);
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = normal(random) * (random() % 16 ? 1 : 3);
        weights[i] = std::exp(2 * normal(random));
      }
      peak += weightedError(encoding, GroupFit::Peak, values, ones, nullptr);
      search += weightedError(encoding, GroupFit::Search, values, ones, nullptr);
      plain += weightedError(encoding, GroupFit::Search, values, weights, nullptr);
      weighed += weightedError(encoding, GroupFit::Search, values, weights, weights.data());
    }
    EXPECT_LT(search, (encoding.codes == CodeKind::Int8 ? 1.0 : 0.95) * peak) << encoding.str();
    EXPECT_LT(weighed, (encoding.codes == CodeKind::Int8 ? 1.0 : 0.95) * plain) << encoding.str();
  }
}

TEST(SearchScale, KeepsWhatCanBeHeldExactly) {
  for (const EncodingDesc &encoding : searched) {
    std::vector<float> zeros(encoding.groupSize), constant(encoding.groupSize, -0.75f),
        ones(encoding.groupSize, 1.0f), steps(encoding.groupSize), none(encoding.groupSize);
    for (size_t i = 0; i < steps.size(); ++i)
      steps[i] = 0.125f * (float(i % 4) - (encoding.minimum ? 0 : 2));
    for (const std::vector<float> &values : {zeros, constant, steps}) {
      double squares = 0;
      for (float value : values)
        squares += double(value) * value;
      double error = weightedError(encoding, GroupFit::Search, values, ones, nullptr);
      EXPECT_LE(error, 1e-6 * squares) << encoding.str();
      // Importances of nothing but zeros are no information.
      EXPECT_EQ(weightedError(encoding, GroupFit::Search, values, ones, none.data()), error);
    }
  }
}

// The kernels' accumulator bounds rest on these ranges, so no input may leave them.
TEST(EncodeGroup, CodesStayInRangeForEveryInput) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const float specials[] = {0, -0.0f, 1e-45f, -1e-45f, 3e38f, -3e38f, inf, -inf, nan, 1};
  std::mt19937 random(7);
  for (const BlockFormat &format : blockFormats()) {
    if (format.isFloat() || !format.canEncode())
      continue;
    for (GroupFit fit : {GroupFit::Peak, GroupFit::Search})
      for (int trial = 0; trial < 200; ++trial) {
        if (fit == GroupFit::Peak && format.fit == GroupFit::Search)
          break;
        std::vector<float> values(format.encoding.outerSize());
        for (float &value : values)
          value = specials[random() % std::size(specials)];
        uint8_t codes[maxBlockElements];
        GroupScale scales[maxGroupsPerBlock];
        encodeGroups(format.encoding, fit, values.data(), codes, scales);
        if (format.encoding.hasSuper())
          for (unsigned i = 0; i < values.size() / format.encoding.groupSize; ++i) {
            ASSERT_EQ(scales[i].scale >> format.encoding.scaleBits(), 0u) << format.name.str();
            ASSERT_EQ(scales[i].minimum >> format.encoding.scaleBits(), 0u) << format.name.str();
          }
        for (unsigned i = 0; i < values.size(); ++i)
          if (format.encoding.codes == CodeKind::Int8)
            ASSERT_NE(codes[i], 0x80);
          else
            ASSERT_LE(codes[i], format.encoding.largestCode()) << format.name.str();
      }
  }
}
