// Packed bytes against a reader written from the layout's description alone.
#include "compiler/Encoding/PackWeights.h"
#include "compiler/Encoding/HalfFloat.h"
#include "test/unit/encoding/PackedView.h"
#include "llvm/Support/Endian.h"
#include "gtest/gtest.h"
#include <bit>
#include <random>

using namespace tern;
using namespace llvm::support::endian;

namespace {

// The value at [part][row][k], found as WeightLayout.h says.
float valueAt(const PackedMatrix &m, const std::vector<uint8_t> &packed, unsigned part,
              uint64_t row, uint64_t k) {
  const EncodingDesc &e = m.encoding;
  uint64_t lanes = m.layout.tileRows, r = row % lanes, parts = m.parts.size();
  const uint8_t *tile = packed.data() + row / lanes * m.tileBytes();
  if (e.isFloat()) {
    uint64_t element = (k * parts + part) * lanes + r;
    if (e.codes == CodeKind::F32)
      return std::bit_cast<float>(read32le(tile + 4 * element));
    uint16_t bits = read16le(tile + 2 * element);
    return e.codes == CodeKind::F16 ? halfToFloat(bits) : bfloat16ToFloat(bits);
  }
  return PackedView(e, m.k, parts, const_cast<uint8_t *>(packed.data())).value(part, row, k);
}

struct Source {
  const BlockFormat *format;
  uint64_t rows, k;
  std::vector<uint8_t> bytes;
  SourceRows view() const { return {format, bytes.data(), rows}; }
  std::vector<float> row(uint64_t index) const {
    std::vector<float> values(k);
    decodeRow(*format, bytes.data() + index * format->rowBytes(k), k, values.data());
    return values;
  }
};

// Random blocks with moderate scales; 2-bit codes up to `largestCode`.
Source randomSource(llvm::StringRef name, uint64_t rows, uint64_t k, unsigned seed,
                    unsigned largestCode = 2) {
  std::mt19937 random(seed);
  Source source{findBlockFormat(name), rows, k, {}};
  const BlockFormat &format = *source.format;
  source.bytes.resize(rows * format.rowBytes(k));
  if (format.isFloat()) {
    std::vector<float> values(rows * k);
    for (float &value : values)
      value = float(int(random() % 2001) - 1000) / 512;
    encodeRow(format, values.data(), values.size(), source.bytes.data());
    return source;
  }
  const EncodingDesc &e = format.encoding;
  uint8_t codes[maxBlockElements];
  GroupScale scales[maxGroupsPerBlock];
  auto floatBits = [&](ScaleType type) -> uint32_t {
    return type == ScaleType::E8M0 ? 100 + random() % 50
                                   : scaleToBits(type, float(1 + random() % 1000) / 4096);
  };
  for (size_t at = 0; at < source.bytes.size(); at += format.blockBytes) {
    unsigned range = e.codes == CodeKind::Ternary ? largestCode + 1 : unsigned(e.largestCode()) + 1;
    for (unsigned i = 0; i < format.blockElements; ++i)
      codes[i] = uint8_t(random() % range);
    uint32_t superScale = floatBits(ScaleType::F16), superMinimum = floatBits(ScaleType::F16);
    for (unsigned g = 0; g < format.groupsPerBlock(); ++g)
      if (e.hasSuper())
        scales[g] = {uint32_t(random() % (1u << e.scaleBits())),
                     uint32_t(random() % (1u << e.scaleBits())), superScale, superMinimum};
      else
        scales[g] = {floatBits(e.scale), floatBits(e.scale)};
    format.pack({codes, scales}, source.bytes.data() + at);
  }
  return source;
}

std::vector<uint8_t> pack(const PackedMatrix &m) {
  EXPECT_FALSE(llvm::errorToBool(checkPackedMatrix(m)));
  std::vector<uint8_t> bytes(m.bytes(), 0xee);
  packTiles(m, 0, m.tiles(), bytes.data());
  return bytes;
}

void expectExact(const Source &source, const EncodingDesc &encoding) {
  PackedMatrix m{{}, encoding, source.rows, source.k, {{source.view()}}};
  ASSERT_TRUE(holdsExactly(encoding, *source.format) || encoding.codes == CodeKind::BF16);
  std::vector<uint8_t> packed = pack(m);
  for (uint64_t r = 0; r < source.rows; ++r) {
    std::vector<float> expected = source.row(r);
    for (uint64_t k = 0; k < source.k; ++k)
      ASSERT_EQ(valueAt(m, packed, 0, r, k), expected[k])
          << source.format->name.str() << " row " << r << " k " << k;
  }
}

} // namespace

TEST(PackWeights, EveryFormatKeepsItsValues) {
  for (const BlockFormat &format : blockFormats())
    for (uint64_t rows : {1, 31, 32, 33, 70})
      expectExact(randomSource(format.name, rows, 512, unsigned(rows)), format.encoding);
}

TEST(PackWeights, FloatColumnsNeedNotBeAMultipleOfAnything) {
  for (const char *name : {"f32", "f16", "bf16"})
    for (uint64_t k : {1, 7, 255, 257, 300})
      expectExact(randomSource(name, 37, k, unsigned(k)), findBlockFormat(name)->encoding);
}

TEST(PackWeights, ScalesWidenToF32WithoutAChange) {
  for (const char *name : {"q8_0", "q4_0", "tq2_0", "q5_1", "tq1_0"}) {
    Source source = randomSource(name, 40, 512, 3);
    EncodingDesc wide = source.format->encoding;
    wide.scale = ScaleType::F32;
    expectExact(source, wide);
  }
}

TEST(PackWeights, QuaternaryHoldsCode3) {
  Source source = randomSource("tq2_0", 33, 512, 4, 3);
  EXPECT_TRUE(holdsCode3(*source.format, source.bytes.data(), 33 * 2));
  expectExact(source, {CodeKind::Quaternary, 256, ScaleType::F16});
}

TEST(PackWeights, TernaryMovesBetweenTwoBitsAndBase3) {
  for (auto [name, codes] : {std::pair{"tq2_0", CodeKind::TernaryB3}, {"tq1_0", CodeKind::Ternary}})
    expectExact(randomSource(name, 33, 512, 15), {codes, 256, ScaleType::F16});
}

TEST(PackWeights, TernaryNeverHoldsCode3) {
  Source source = randomSource("tq2_0", 32, 512, 5, 3);
  PackedMatrix m{{}, source.format->encoding, 32, 512, {{source.view()}}};
  std::vector<uint8_t> packed = pack(m);
  for (uint64_t group = 0; group < 2; ++group) {
    const uint8_t *lines = packed.data() + group * m.layout.outerBytes(m.encoding) + 64;
    for (unsigned i = 0; i < 2048; ++i)
      ASSERT_EQ(lines[i] & lines[i] >> 1 & 0x55, 0);
  }
}

TEST(PackWeights, Code3IsFoundInAnyPlaceOfABlock) {
  const BlockFormat &format = *findBlockFormat("tq2_0");
  std::vector<uint8_t> blocks(3 * format.blockBytes, 0);
  blocks[64] = blocks[65] = 0xff; // scale bits are no codes
  EXPECT_FALSE(holdsCode3(format, blocks.data(), 3));
  for (unsigned byte = 0; byte < 64; ++byte)
    for (unsigned pair = 0; pair < 4; ++pair) {
      std::vector<uint8_t> changed = blocks;
      changed[format.blockBytes + byte] = uint8_t(3 << 2 * pair);
      ASSERT_TRUE(holdsCode3(format, changed.data(), 3)) << byte << " " << pair;
      changed[format.blockBytes + byte] = uint8_t(2 << 2 * pair);
      ASSERT_FALSE(holdsCode3(format, changed.data(), 3)) << byte << " " << pair;
    }
}

TEST(PackWeights, ConcatenatedSourcesShareTiles) {
  Source a = randomSource("q4_0", 20, 64, 6), b = randomSource("q4_0", 5, 64, 7),
         c = randomSource("q4_0", 45, 64, 8);
  PackedMatrix m{{}, a.format->encoding, 70, 64, {{a.view(), b.view(), c.view()}}};
  std::vector<uint8_t> packed = pack(m);
  for (uint64_t r = 0; r < 70; ++r) {
    std::vector<float> expected = r < 20 ? a.row(r) : r < 25 ? b.row(r - 20) : c.row(r - 25);
    for (uint64_t k = 0; k < 64; ++k)
      ASSERT_EQ(valueAt(m, packed, 0, r, k), expected[k]) << r << " " << k;
  }
}

TEST(PackWeights, StackedPartsAreInterleaved) {
  for (const char *name :
       {"tq2_0", "q4_0", "q8_0", "f16", "f32", "q5_1", "q4_k", "q6_k", "q3_k", "tq1_0"}) {
    Source a = randomSource(name, 33, 256, 9), b = randomSource(name, 33, 256, 10);
    PackedMatrix m{{}, a.format->encoding, 33, 256, {{a.view()}, {b.view()}}};
    std::vector<uint8_t> packed = pack(m);
    for (uint64_t r = 0; r < 33; ++r)
      for (uint64_t k = 0; k < 256; ++k) {
        ASSERT_EQ(valueAt(m, packed, 0, r, k), a.row(r)[k]) << name << r << " " << k;
        ASSERT_EQ(valueAt(m, packed, 1, r, k), b.row(r)[k]) << name << r << " " << k;
      }
  }
}

TEST(PackWeights, RequantizedValuesAreThoseOfEncodeGroup) {
  Source source = randomSource("f16", 34, 512, 11);
  for (EncodingDesc encoding : {EncodingDesc{CodeKind::Int8, 32, ScaleType::F16},
                                EncodingDesc{CodeKind::Int4, 64, ScaleType::F16},
                                EncodingDesc{CodeKind::UInt4, 128, ScaleType::F16, true},
                                EncodingDesc{CodeKind::Ternary, 256, ScaleType::F32},
                                EncodingDesc{CodeKind::TernaryB3, 256, ScaleType::F16},
                                EncodingDesc{CodeKind::Quaternary, 128, ScaleType::F32}}) {
    PackedMatrix m{{}, encoding, 34, 512, {{source.view()}}};
    std::vector<uint8_t> packed = pack(m), codes(encoding.groupSize);
    std::vector<float> expected(encoding.groupSize);
    for (uint64_t r = 0; r < 34; ++r) {
      std::vector<float> values = source.row(r);
      for (uint64_t k = 0; k < 512; k += encoding.groupSize) {
        GroupScale scale;
        encodeGroups(encoding, GroupFit::Search, &values[k], codes.data(), &scale);
        decodeGroup(encoding, codes.data(), scale, expected.data());
        for (uint64_t i = 0; i < encoding.groupSize; ++i)
          ASSERT_EQ(valueAt(m, packed, 0, r, k + i), expected[i])
              << encoding.str() << r << " " << k + i;
      }
    }
  }
}

// Two stacked parts, the second of two sources: each has an error of its own, and importances reach
// their source alone.
TEST(PackWeights, ErrorsAndImportancesBelongToTheirSource) {
  Source a = randomSource("f16", 40, 128, 31), b = randomSource("f16", 16, 128, 32),
         c = randomSource("q4_0", 24, 128, 33);
  std::vector<float> importance(128);
  for (size_t i = 0; i < importance.size(); ++i)
    importance[i] = i % 7 == 0 ? 100 : 0.01f;
  EncodingDesc int4{CodeKind::Int4, 32, ScaleType::F16};
  SourceRows weighed = b.view();
  weighed.importance = importance.data();
  PackedMatrix plain{{}, int4, 40, 128, {{a.view()}, {b.view(), c.view()}}},
      m{{}, int4, 40, 128, {{a.view()}, {weighed, c.view()}}};
  std::vector<uint8_t> packed(m.bytes()), without(m.bytes());
  std::vector<EncodingError> errors(3), plainErrors(3);
  packTiles(m, 0, m.tiles(), packed.data(), errors);
  packTiles(plain, 0, m.tiles(), without.data(), plainErrors);
  EXPECT_EQ(errors[0].squaredError, plainErrors[0].squaredError);
  EXPECT_GT(errors[1].squaredError, plainErrors[1].squaredError);
  EXPECT_EQ(errors[2].squaredError, 0) << "Q4_0 is copied";
  EXPECT_EQ(errors[2].relative(), 0);
  EncodingError expected;
  for (uint64_t r = 0; r < 40; ++r) {
    std::vector<float> values = a.row(r), decoded(128);
    for (uint64_t k = 0; k < 128; ++k)
      decoded[k] = valueAt(m, packed, 0, r, k);
    expected.add(values.data(), decoded.data(), 128);
  }
  EXPECT_NEAR(errors[0].relative(), expected.relative(), 1e-9);
  EXPECT_NEAR(expected.relative(), 0.08, 0.03);
  double weighedError = 0, plainError = 0;
  for (uint64_t r = 0; r < 16; ++r)
    for (uint64_t k = 0; k < 128; ++k) {
      float value = b.row(r)[k];
      weighedError += importance[k] * std::pow(value - valueAt(m, packed, 1, r, k), 2);
      plainError += importance[k] * std::pow(value - valueAt(m, without, 1, r, k), 2);
    }
  EXPECT_LT(weighedError, 0.7 * plainError);
}

TEST(PackWeights, TileRangesGiveTheSameBytesAsTheWhole) {
  Source source = randomSource("q4_0", 100, 96, 12);
  PackedMatrix m{{}, source.format->encoding, 100, 96, {{source.view()}}};
  std::vector<uint8_t> whole = pack(m), pieces(m.bytes());
  for (uint64_t tile = 0; tile < m.tiles(); ++tile)
    packTiles(m, tile, tile + 1, pieces.data() + tile * m.tileBytes());
  EXPECT_EQ(whole, pieces);
}

TEST(PackWeights, PaddingRowsAreZeroBytes) {
  Source source = randomSource("tq2_0", 1, 256, 13);
  PackedMatrix m{{}, source.format->encoding, 1, 256, {{source.view()}}};
  std::vector<uint8_t> packed = pack(m);
  for (unsigned row = 1; row < 32; ++row) {
    EXPECT_EQ(read16le(packed.data() + 2 * row), 0);
    for (unsigned line = 0; line < 16; ++line)
      EXPECT_EQ(read32le(packed.data() + 64 + (line * 32 + row) * 4), 0u);
  }
}

TEST(PackWeights, BadRequestsAreRefused) {
  Source source = randomSource("q4_0", 8, 96, 14);
  auto messageOf = [](const PackedMatrix &m) { return llvm::toString(checkPackedMatrix(m)); };
  EncodingDesc ternary{CodeKind::Ternary, 256, ScaleType::F16};
  EXPECT_EQ(messageOf({{}, ternary, 8, 96, {{source.view()}}}),
            "K = 96 is not a multiple of the group of ternary:g256:f16");
  EXPECT_EQ(messageOf({{}, {CodeKind::F32}, 9, 96, {{source.view()}}}),
            "the sources of a part have 8 rows, expected 9");
  EXPECT_EQ(messageOf({{}, {CodeKind::F32}, 8, 90, {{source.view()}}}),
            "K = 90 is not a multiple of the 32 elements of a q4_0 block");
}
