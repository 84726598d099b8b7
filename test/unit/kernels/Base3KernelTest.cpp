// The emitted kernels' decoding of ternary-b3, over all 256 bytes at every place a byte can have.
//
// Row r holds the byte (r + place) mod 256 at each of the first 48 of a group's 52 places, so 256
// rows show every byte there, those included that no encoder writes. One activation that is not 0
// picks out one digit: its bounds and its value are seen, not derived.
#include "test/unit/encoding/Base3Digits.h"
#include "test/unit/kernels/KernelHarness.h"
#include "gtest/gtest.h"

using namespace tern;

namespace {

constexpr int rows = 256, k = 256, places = 52, tileRows = 32;
constexpr int lineBytes = 4 * tileRows, tileBytes = 2 * tileRows + 13 * lineBytes;
constexpr uint16_t halfOfOne = 0x3c00;

/// The fifth digits of the last line stand for no weights and are 0.
unsigned byteAt(int row, int place) {
  unsigned byte = unsigned(row + place) % 256;
  while (place >= places - 4 && base3Digit(byte, 4) != 0)
    --byte;
  return byte;
}

/// The value of element `column` of a row: byte column % 4 of line column / 20, digit column % 20 /
/// 4.
int valueAt(int row, int column) {
  int place = column / 20 * 4 + column % 4;
  return int(base3Digit(byteAt(row, place), unsigned(column % 20 / 4))) - 1;
}

/// By the comment of WeightLayout.h, with scales of 1.
void fillWeights(uint8_t *bytes) {
  for (int row = 0; row < rows; ++row) {
    uint8_t *tile = bytes + row / tileRows * tileBytes;
    memcpy(tile + 2 * (row % tileRows), &halfOfOne, 2);
    for (int place = 0; place < places; ++place)
      tile[2 * tileRows + place / 4 * lineBytes + 4 * (row % tileRows) + place % 4] =
          uint8_t(byteAt(row, place));
  }
}

class Base3Kernel : public testing::TestWithParam<std::string> {
protected:
  /// Multiplies by `activations` [tokens][k] and compares with exact integers.
  static void check(const TestKernel &kernel, const std::vector<int8_t> &activations, int tokens);
};

void Base3Kernel::check(const TestKernel &kernel, const std::vector<int8_t> &activations,
                        int tokens) {
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(tokens);
  buffers[0].fill(activations);
  fillWeights(buffers[3].data());
  for (int t = 0; t < tokens; ++t) {
    buffers[1].as<float>()[t] = 1;
    int32_t sum = 0;
    for (int i = 0; i < k; ++i)
      sum += activations[size_t(t) * k + i];
    buffers[2].as<int32_t>()[t] = sum;
  }
  kernel.run(buffers, tokens);
  for (int t = 0; t < tokens; ++t)
    for (int row = 0; row < rows; ++row) {
      int exact = 0;
      for (int i = 0; i < k; ++i)
        exact += valueAt(row, i) * activations[size_t(t) * k + i];
      ASSERT_EQ(buffers[4].as<float>()[size_t(t) * rows + row], float(exact))
          << "row " << row << ", bytes from " << byteAt(row, 0);
    }
}

TEST_P(Base3Kernel, LinearDecodesEveryByteEverywhere) {
  TestKernel kernel(R"(
tern.kernel @linear(%x: tensor<?x256xf32, #tern.act<group = 256, sums = 256>> {tern.dim = "T"},
                    %w: tensor<256x256xf32, #tern.enc<ternary-b3, group = 256, scale = f16, layout = "rows32">>) -> tensor<?x256xf32> {
  %y = tern.linear %x, %w : tensor<?x256xf32, #tern.act<group = 256, sums = 256>>, tensor<256x256xf32, #tern.enc<ternary-b3, group = 256, scale = f16, layout = "rows32">> -> tensor<?x256xf32>
  tern.yield %y : tensor<?x256xf32>
})",
                    GetParam());
  ASSERT_TRUE(kernel.ready);
  // Kernels have other code for one row than for several.
  for (int tokens : {1, 2, 8, 64})
    for (int first = 0; first < k; first += tokens) {
      std::vector<int8_t> oneEach(size_t(tokens) * k);
      for (int t = 0; t < tokens; ++t)
        oneEach[size_t(t) * k + (first + t) % k] = int8_t(first % 2 ? -127 : 127);
      check(kernel, oneEach, tokens);
      if (HasFatalFailure())
        return;
    }
  // All together, and the signs that make some row's sum as large as it can be.
  for (int tokens : {1, 8}) {
    std::vector<int8_t> all(size_t(tokens) * k, 127), signs(all);
    for (int t = 0; t < tokens; ++t)
      for (int i = 0; i < k; ++i)
        signs[size_t(t) * k + i] = int8_t(valueAt(31 * t, i) < 0 ? -127 : 127);
    check(kernel, all, tokens);
    check(kernel, signs, tokens);
  }
}

TEST_P(Base3Kernel, EmbedDecodesEveryByteEverywhere) {
  TestKernel kernel(R"(
tern.kernel @embed(%t: tensor<256x256xf32, #tern.enc<ternary-b3, group = 256, scale = f16, layout = "rows32">>,
                   %i: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x256xf32> {
  %x = tern.embed %t, %i : tensor<256x256xf32, #tern.enc<ternary-b3, group = 256, scale = f16, layout = "rows32">>, tensor<?xi32> -> tensor<?x256xf32>
  tern.yield %x : tensor<?x256xf32>
})",
                    GetParam());
  ASSERT_TRUE(kernel.ready);
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(rows);
  fillWeights(buffers[0].data());
  for (int row = 0; row < rows; ++row)
    buffers[1].as<int32_t>()[row] = row;
  kernel.run(buffers, rows);
  for (int row = 0; row < rows; ++row)
    for (int i = 0; i < k; ++i)
      ASSERT_EQ(buffers[2].as<float>()[size_t(row) * k + i], float(valueAt(row, i)))
          << "row " << row << " element " << i;
}

INSTANTIATE_TEST_SUITE_P(Targets, Base3Kernel, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });

} // namespace
