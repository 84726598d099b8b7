// ternary-b3: five codes of 0..2 in a byte, over all 256 bytes and all 243 times five codes.
//
// The reference is the definition: a byte b is the fraction b / 256, whose digit n in base 3 is
// floor(3^(n + 1) * b / 256) mod 3. What kernels make of the same bytes is in
// test/unit/kernels/Base3KernelTest.cpp.
#include "compiler/Encoding/PackWeights.h"
#include "test/unit/encoding/Base3Digits.h"
#include "gtest/gtest.h"
#include <set>

using namespace tern;

namespace {

// A block of tq1_0: 32 bytes whose digits are elements 32 n + m, 16 bytes of 160 + 16 n + m, 4 of
// 240 + 4 n + m with four digits, and a half-precision scale.
constexpr unsigned blockBytes = 54;
unsigned elementOf(unsigned byte, unsigned digit) {
  return byte < 32   ? digit * 32 + byte
         : byte < 48 ? 160 + digit * 16 + (byte - 32)
                     : 240 + digit * 4 + (byte - 48);
}
unsigned digitsOf(unsigned byte) { return byte < 48 ? 5 : 4; }

} // namespace

TEST(Base3, EveryByteDecodesToTheDigitsOfItsFraction) {
  const BlockFormat &format = *findBlockFormat("tq1_0");
  for (unsigned value = 0; value < 256; ++value) {
    std::vector<uint8_t> block(blockBytes, uint8_t(value));
    uint8_t codes[maxBlockElements];
    GroupScale scale;
    unpackBlock(format, block.data(), 0, {codes, &scale});
    for (unsigned byte = 0; byte < 52; ++byte)
      for (unsigned digit = 0; digit < digitsOf(byte); ++digit) {
        ASSERT_LE(codes[elementOf(byte, digit)], 2) << value;
        ASSERT_EQ(codes[elementOf(byte, digit)], base3Digit(value, digit))
            << "byte " << value << " digit " << digit;
      }
  }
}

// 243 of the bytes are written, each by one set of codes, and give it back.
TEST(Base3, EveryFiveCodesHaveAByteOfTheirOwn) {
  const BlockFormat &format = *findBlockFormat("tq1_0");
  std::set<unsigned> written;
  for (unsigned number = 0; number < 243; ++number) {
    uint8_t codes[maxBlockElements] = {}, again[maxBlockElements];
    GroupScale scale{0x3c00};
    const unsigned digits[5] = {number / 81, number / 27 % 3, number / 9 % 3, number / 3 % 3,
                                number % 3};
    for (unsigned byte = 0; byte < 52; ++byte)
      for (unsigned digit = 0; digit < digitsOf(byte); ++digit)
        codes[elementOf(byte, digit)] = uint8_t(digits[digit]);
    uint8_t block[blockBytes];
    format.pack({codes, &scale}, block);
    written.insert(block[0]);
    ASSERT_EQ(block[0], leastBase3Byte(number));
    for (unsigned digit = 0; digit < 5; ++digit)
      ASSERT_EQ(base3Digit(block[0], digit), digits[digit]) << number;
    unpackBlock(format, block, 0, {again, &scale});
    ASSERT_EQ(std::vector<uint8_t>(codes, codes + 256), std::vector<uint8_t>(again, again + 256))
        << number;
  }
  EXPECT_EQ(written.size(), 243u);
}

// The packed order of the artifact: byte i of line l has elements 20 l + 4 n + i.
TEST(Base3, EveryFiveCodesArePackedIntoTheirByte) {
  EncodingDesc encoding{CodeKind::TernaryB3, 256, ScaleType::F16};
  const BlockFormat &format = *findBlockFormat("ternary");
  for (unsigned number = 0; number < 243; ++number) {
    const unsigned digits[5] = {number / 81, number / 27 % 3, number / 9 % 3, number / 3 % 3,
                                number % 3};
    uint8_t codes[maxBlockElements];
    GroupScale scale{0x3c00};
    for (unsigned k = 0; k < 256; ++k)
      codes[k] = uint8_t(digits[k % 20 / 4]);
    std::vector<uint8_t> block(format.blockBytes);
    format.pack({codes, &scale}, block.data());
    PackedMatrix m{{}, encoding, 1, 256, {{SourceRows{&format, block.data(), 1}}}};
    std::vector<uint8_t> packed(m.bytes());
    packTiles(m, 0, 1, packed.data());
    for (unsigned line = 0; line < 13; ++line)
      for (unsigned i = 0; i < 4; ++i)
        // The last line has four digits for weights, its fifth is 0.
        ASSERT_EQ(packed[64 + 128 * line + i],
                  leastBase3Byte(line < 12 ? number : number - number % 3))
            << number << " line " << line;
  }
}
