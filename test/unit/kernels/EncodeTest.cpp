// Activations in 8-bit codes: codes, scales and sums bit for bit, alone and behind a norm.
#include "test/unit/kernels/RowKernels.h"
#include <cfloat>

using namespace tern;

namespace {

struct Quantized {
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

Quantized quantize(const float *x, int k, int group, int sumSize) {
  Quantized q;
  for (int g = 0; g < k; g += group) {
    float peak = 0;
    for (int i = g; i < g + group; ++i)
      peak = std::max(peak, std::fabs(x[i]));
    float scale = peak / 127.0f;
    q.scales.push_back(scale);
    for (int i = g; i < g + group; ++i)
      q.codes.push_back(
          scale > 0 ? int8_t(std::clamp(std::nearbyint(x[i] / scale), -127.0f, 127.0f)) : 0);
  }
  for (int i = 0; sumSize && i < k; i += sumSize) {
    int32_t sum = 0;
    for (int j = i; j < i + sumSize; ++j)
      sum += q.codes[j];
    q.sums.push_back(sum);
  }
  return q;
}

struct EncodeShape {
  int k, group, sums;
};

void checkCodes(const std::vector<GuardedBuffer> &buffers, size_t first,
                const std::vector<float> &x, EncodeShape s, int t) {
  int group = s.group ? s.group : s.k, stride = int(padded(s.k, 64));
  for (int row = 0; row < t; ++row) {
    Quantized want = quantize(x.data() + size_t(row) * s.k, s.k, group, s.sums);
    for (int i = 0; i < stride; ++i)
      ASSERT_EQ(int(buffers[first].as<int8_t>()[row * stride + i]),
                i < s.k ? int(want.codes[i]) : 0)
          << "row " << row << " code " << i;
    for (size_t g = 0; g < want.scales.size(); ++g)
      ASSERT_EQ(buffers[first + 1].as<float>()[row * want.scales.size() + g], want.scales[g])
          << "row " << row << " scale " << g;
    for (size_t g = 0; g < want.sums.size(); ++g)
      ASSERT_EQ(buffers[first + 2].as<int32_t>()[row * want.sums.size() + g], want.sums[g])
          << "row " << row << " sum " << g;
  }
}

std::string actType(EncodeShape s) {
  return "tensor<?x" + std::to_string(s.k) +
         "xf32, #tern.act<group = " + (s.group ? std::to_string(s.group) : "row") +
         (s.sums ? ", sums = " + std::to_string(s.sums) : "") + ">>";
}

std::string encodeKernel(EncodeShape s) {
  std::string rows = "tensor<?x" + std::to_string(s.k) + "xf32>";
  return "tern.kernel @encode(%x: " + rows + " {tern.dim = \"T\"}) -> " + actType(s) +
         " {\n  %q = tern.encode %x : " + rows + " -> " + actType(s) +
         "\n  tern.yield %q : " + actType(s) + "\n}\n";
}

const EncodeShape encodeShapes[] = {{32, 32, 32},    {96, 32, 32},    {64, 32, 0},
                                    {256, 256, 256}, {512, 256, 256}, {512, 0, 256},
                                    {96, 0, 32},     {256, 256, 32},  {2048, 32, 32}};

class Encode : public RowKernels {};

TEST_P(Encode, MatchesReferenceBitForBit) {
  for (EncodeShape s : encodeShapes) {
    SCOPED_TRACE(actType(s));
    TestKernel kernel(encodeKernel(s), target());
    if (!kernel.ready)
      return;
    for (int t : {1, 2, 9}) {
      std::vector<float> x = randomFloats(size_t(t) * s.k, 3);
      std::fill(x.begin(), x.begin() + 32, 0.0f); // a group of zeros
      x[x.size() - 1] = 1e-42f;                   // a denormal
      x[x.size() - 2] = 300.0f;                   // an outlier
      std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
      fillRows(buffers[0], x, s.k);
      kernel.run(buffers, t, 0, t == 9 ? 4 : 0);
      checkCodes(buffers, 1, x, s, t);
    }
  }
}

// Of one magnitude, all positive or of alternating sign: from the smallest denormal, of which the
// scale is 0, to the largest number.
TEST_P(Encode, OneMagnitudeOfEverySize) {
  for (EncodeShape s : {EncodeShape{32, 32, 32}, {96, 0, 32}, {512, 256, 16}}) {
    SCOPED_TRACE(actType(s));
    TestKernel kernel(encodeKernel(s), target());
    ASSERT_TRUE(kernel.ready);
    for (float magnitude : {1e-45f, 1e-43f, 2e-42f, 1e-38f, 1e-20f, 1.0f, 65504.0f, 1e30f, FLT_MAX})
      for (bool alternates : {false, true}) {
        SCOPED_TRACE(magnitude);
        const int t = 3;
        std::vector<float> x;
        for (int i = 0; i < t * s.k; ++i)
          x.push_back(alternates && i % 2 ? -magnitude : magnitude);
        x[1] /= 254; // half a code, or nothing
        std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
        fillRows(buffers[0], x, s.k);
        kernel.run(buffers, t, 0, 2);
        checkCodes(buffers, 1, x, s, t);
      }
  }
}

// A NaN or an infinity anywhere shows in the scale, so that a linear layer cannot turn it into a
// number; codes and sums are 0.
TEST_P(Encode, KeepsNaNAndInfinity) {
  TestKernel kernel(encodeKernel({64, 32, 32}), target());
  if (!kernel.ready)
    return;
  for (float bad : {NAN, -NAN, INFINITY, -INFINITY})
    for (int at : {0, 1, 15, 16, 31}) {
      std::vector<float> x = randomFloats(64, 8);
      x[size_t(at)] = bad;
      std::vector<GuardedBuffer> buffers = kernel.makeBuffers(1);
      fillRows(buffers[0], x, 64);
      kernel.run(buffers, 1);
      const float *scales = buffers[2].as<float>();
      if (std::isnan(bad))
        EXPECT_TRUE(std::isnan(scales[0])) << at;
      else
        EXPECT_TRUE(std::isinf(scales[0]) && scales[0] > 0) << at;
      for (int i = 0; i < 32; ++i)
        EXPECT_EQ(int(buffers[1].as<int8_t>()[i]), 0) << bad << " at " << at << ", code " << i;
      EXPECT_EQ(buffers[3].as<int32_t>()[0], 0);
      const Quantized want = quantize(x.data() + 32, 32, 32, 32);
      EXPECT_EQ(scales[1], want.scales[0]) << "the other group";
      for (int i = 0; i < 32; ++i)
        EXPECT_EQ(int(buffers[1].as<int8_t>()[32 + i]), int(want.codes[size_t(i)]));
    }
}

TEST_P(Encode, BehindGatherAndNorm) {
  std::string act = "tensor<?x64xf32, #tern.act<group = 32, sums = 32>>";
  TestKernel kernel(replaceAll(R"(
tern.kernel @head(%x: tensor<?x64xf32> {tern.dim = "T"}, %i: tensor<?xi32> {tern.dim = "R"}, %w: tensor<64xf32>) -> ACT {
  %g = tern.gather %x, %i : tensor<?x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %y = tern.rms_norm %g, %w {epsilon = 1.0e-6 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %q = tern.encode %y : tensor<?x64xf32> -> ACT
  tern.yield %q : ACT
})",
                               "ACT", act),
                    target());
  if (!kernel.ready)
    return;
  int t = 7;
  std::vector<int32_t> rows = {6, 0, 3};
  std::vector<float> x = randomFloats(t * 64, 5), w = randomFloats(64, 6), chosen;
  for (int32_t row : rows)
    for (float value : rmsNorm(x.data() + row * 64, w, 1e-6f))
      chosen.push_back(value);
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t, 3);
  fillRows(buffers[0], x, 64);
  buffers[1].fill(rows);
  fillVector(buffers[2], w);
  EXPECT_EQ(kernel.signature.tasks, (Extent{0, 0, 1}));
  kernel.run(buffers, t, 3, 1);
  checkCodes(buffers, 3, chosen, {64, 32, 32}, 3);
}

TEST_P(Encode, BesideTheNorm) {
  std::string act = "tensor<?x64xf32, #tern.act<group = row>>";
  TestKernel kernel(replaceAll(R"(
tern.kernel @both(%x: tensor<?x64xf32> {tern.dim = "T"}, %w: tensor<64xf32>) -> (tensor<?x64xf32>, ACT) {
  %y = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32> -> tensor<?x64xf32>
  %q = tern.encode %y : tensor<?x64xf32> -> ACT
  tern.yield %y, %q : tensor<?x64xf32>, ACT
})",
                               "ACT", act),
                    target());
  if (!kernel.ready)
    return;
  std::vector<float> x = randomFloats(5 * 64, 7), w = randomFloats(64, 8), y;
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(5);
  fillRows(buffers[0], x, 64);
  fillVector(buffers[1], w);
  kernel.run(buffers, 5, 0, 2);
  for (int row = 0; row < 5; ++row)
    for (float value : rmsNorm(x.data() + row * 64, w, 1e-5f))
      y.push_back(value);
  for (size_t i = 0; i < y.size(); ++i)
    ASSERT_EQ(buffers[2].as<float>()[i], y[i]) << i;
  checkCodes(buffers, 3, y, {64, 0, 0}, 5);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Encode, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });

} // namespace
