// Rows taken by number: from packed tables in every encoding, and from activations.
#include "test/unit/encoding/PackedView.h"
#include "test/unit/kernels/EncodingText.h"
#include "test/unit/kernels/RowKernels.h"

#include "compiler/Encoding/HalfFloat.h"
#include "compiler/Encoding/WeightLayout.h"
#include <limits>

using namespace tern;

namespace {

struct EmbedFormat {
  std::string encoding; ///< as EncodingDesc::str() spells it
  int k;
};

class Embed : public RowKernels {
protected:
  enum class Numbers { Finite, Special };
  void decodesRows(Numbers numbers) const;
};

TEST_P(Embed, GathersRows) {
  TestKernel kernel(R"(
tern.kernel @gather(%x: tensor<?x40xf32> {tern.dim = "T"}, %i: tensor<?xi32> {tern.dim = "R"}) -> tensor<?x40xf32> {
  %g = tern.gather %x, %i : tensor<?x40xf32>, tensor<?xi32> -> tensor<?x40xf32>
  tern.yield %g : tensor<?x40xf32>
})",
                    target());
  if (!kernel.ready)
    return;
  std::vector<float> x = randomFloats(9 * 40, 13);
  std::vector<int32_t> rows = {8, 8, 0, 4};
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(9, 4);
  fillRows(buffers[0], x, 40);
  buffers[1].fill(rows);
  kernel.run(buffers, 9, 4);
  for (int row = 0; row < 4; ++row)
    for (int i = 0; i < 40; ++i)
      ASSERT_EQ(buffers[2].as<float>()[row * 64 + i], x[rows[row] * 40 + i]);
}

/// The upper bytes of what is no finite number, of the largest and of the smallest ones, in each of
/// the stored types (e8m0 has NaN only).
uint32_t specialBits(unsigned bytes, bool isBfloat, std::mt19937 &random) {
  const uint32_t halves[] = {0x7C00, 0xFC00, 0x7E01, 0xFE00, 0x7BFF, 0x0001, 0x83FF, 0x8000},
                 floats[] = {0x7F800000, 0xFF800000, 0x7FC00001, 0xFFC00000,
                             0x7F7FFFFF, 0x00000001, 0x807FFFFF, 0x80000000},
                 exponents[] = {0, 1, 127, 0xFE, 0xFF};
  const unsigned at = unsigned(random() % 8);
  return bytes == 4   ? floats[at]
         : bytes == 1 ? exponents[at % 5]
         : isBfloat   ? floats[at] >> 16
                      : halves[at];
}

/// Bytes and scales are random bits of the packed tensor; the reference decodes element by element.
void Embed::decodesRows(Numbers numbers) const {
  const EmbedFormat formats[] = {
      {"f32", 40},
      {"f16", 64},
      {"bf16", 33},
      {"ternary:g256:f16", 512},
      {"ternary-b3:g256:f16", 512},
      {"quaternary:g256:f16", 256},
      {"int4:g32:f16", 96},
      {"int8:g32:f32", 64},
      {"uint4:g64:f16:min", 128},
      {"int5:g32:f16", 96},
      {"uint5:g32:f16:min", 64},
      {"iq4nl:g32:f16", 64},
      {"e2m1:g32:e8m0", 64},
      {"uint2:g16:u4:min:s256:f16", 512},
      {"int3:g16:i6:s256:f16", 512},
      {"uint4:g32:u6:min:s256:f16", 512},
      {"uint5:g32:u6:min:s256:f16", 256},
      {"int6:g16:i8:s256:f16", 512},
  };
  const int vocabulary = 70;
  for (const EmbedFormat &f : formats) {
    SCOPED_TRACE(f.encoding);
    const EncodingDesc desc = encodingOf(f.encoding);
    std::string table = "tensor<70x" + std::to_string(f.k) + "xf32, " + packedAttribute(desc) + ">";
    std::string rows = "tensor<?x" + std::to_string(f.k) + "xf32>";
    TestKernel kernel("tern.kernel @embed(%t: " + table +
                          ", %i: tensor<?xi32> {tern.dim = \"T\"}) -> " + rows +
                          " {\n  %x = tern.embed %t, %i {scale = 2.0 : f32} : " + table +
                          ", tensor<?xi32> -> " + rows + "\n  tern.yield %x : " + rows + "\n}\n",
                      target());
    if (!kernel.ready)
      return;
    std::vector<int32_t> tokens = {69, 0, 31, 32, 33, 69, 7};
    std::vector<GuardedBuffer> buffers = kernel.makeBuffers(int(tokens.size()));
    std::mt19937 random(14);
    uint8_t *bytes = buffers[0].data();
    for (size_t i = 0; i < buffers[0].size(); ++i)
      bytes[i] = uint8_t(random());
    PackedView view(desc, f.k, 1, bytes);
    WeightLayout layout;
    if (numbers == Numbers::Special) { // every second float, every scale
      const bool isBfloat = desc.codes == CodeKind::BF16;
      const unsigned size = desc.codeBits() / 8;
      for (size_t at = 0; desc.isFloat() && at < buffers[0].size(); at += 2 * size) {
        const uint32_t bits = specialBits(size, isBfloat, random);
        memcpy(bytes + at, &bits, size);
      }
      uint32_t bits = 0;
      if (!desc.isFloat())
        view.forEachScaleByte(vocabulary, [&](uint8_t &byte, uint64_t number) {
          if (number == 0)
            bits = specialBits(view.scaleBytes(), false, random);
          byte = uint8_t(bits >> (8 * number));
        });
    } else if (desc.isFloat()) { // clear the top exponent bit
      for (size_t size = desc.codeBits() / 8, at = size - 1; at < buffers[0].size(); at += size)
        bytes[at] &= 0xBF;
    } else {
      view.forEachScaleByte(vocabulary, [&](uint8_t &byte, uint64_t number) {
        if (number + 1 == view.scaleBytes())
          byte &= 0xBF;
      });
    }
    buffers[1].fill(tokens);
    kernel.run(buffers, int(tokens.size()), 0, 3);

    auto decode = [&](int n, int k) -> float {
      if (!desc.isFloat())
        return view.value(0, n, k);
      size_t tile = n / 32 * layout.tileBytes(desc, f.k), lane = n % 32;
      unsigned size = desc.codeBits() / 8;
      uint32_t bits = 0;
      memcpy(&bits, bytes + tile + (size_t(k) * 32 + lane) * size, size);
      return desc.codes == CodeKind::F32   ? std::bit_cast<float>(bits)
             : desc.codes == CodeKind::F16 ? halfToFloat(uint16_t(bits))
                                           : bfloat16ToFloat(uint16_t(bits));
    };
    size_t special = 0;
    for (size_t row = 0; row < tokens.size(); ++row)
      for (int k = 0; k < f.k; ++k) {
        const float want = decode(tokens[row], k) * 2.0f;
        const float got = buffers[2].as<float>()[row * padded(f.k, 32) + k];
        special += !std::isfinite(want);
        ASSERT_TRUE(std::isnan(want) ? std::isnan(got) : got == want)
            << got << " for " << want << ", token " << tokens[row] << " element " << k << " of "
            << vocabulary << " rows";
      }
    EXPECT_EQ(special > 0, numbers == Numbers::Special);
  }
}

TEST_P(Embed, DecodesRowsOfEveryEncoding) { decodesRows(Numbers::Finite); }

// Floats and scales that are NaN, infinite, the largest, denormal or -0.
TEST_P(Embed, SpecialNumbersFollowIeeeArithmetic) { decodesRows(Numbers::Special); }

// One kernel may look up token ids, the other positions; neither trusts the plan that passes them.
TEST_P(Embed, NumbersOutsideOfTheTableLeadToItsEnds) {
  TestKernel kernel(R"(
tern.kernel @embed(%t: tensor<70x32xf32, #tern.enc<f32, layout = "rows32">>, %i: tensor<?xi32> {tern.dim = "T"})
    -> tensor<?x32xf32> {
  %x = tern.embed %t, %i
        : tensor<70x32xf32, #tern.enc<f32, layout = "rows32">>, tensor<?xi32> -> tensor<?x32xf32>
  tern.yield %x : tensor<?x32xf32>
})",
                    target());
  if (!kernel.ready)
    return;
  const int32_t lowest = std::numeric_limits<int32_t>::min();
  const std::vector<int32_t> numbers = {0, 69, -1, 70, lowest, std::numeric_limits<int32_t>::max()};
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(int(numbers.size()));
  buffers[0].fill(randomFloats(buffers[0].size() / 4, 15));
  buffers[1].fill(numbers);
  kernel.run(buffers, int(numbers.size()), 0, 3);
  const float *rows = buffers[2].as<float>();
  for (int row = 2; row < int(numbers.size()); ++row)
    for (int k = 0; k < 32; ++k)
      ASSERT_EQ(rows[row * 32 + k], rows[row % 2 * 32 + k]) << numbers[row];
  EXPECT_NE(rows[0], rows[32]);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Embed, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });

} // namespace
