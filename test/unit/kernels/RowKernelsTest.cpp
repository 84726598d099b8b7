// Kernels with one task per row: norms, quantization of activations, embeddings, gathers, maps.
#include "test/unit/encoding/PackedView.h"
#include "test/unit/kernels/KernelHarness.h"

#include "compiler/Encoding/HalfFloat.h"
#include "compiler/Encoding/WeightLayout.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>

using namespace tern;

namespace {

size_t padded(size_t n, size_t to) { return (n + to - 1) / to * to; }

std::vector<float> randomFloats(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-2, 2);
  std::vector<float> values(count);
  for (float &value : values)
    value = uniform(random);
  return values;
}

/// Rows of n floats at the padded stride; the padding holds NaN, which no result may show.
void fillRows(GuardedBuffer &buffer, const std::vector<float> &values, size_t n) {
  size_t stride = padded(n, 32);
  for (size_t i = 0; i < buffer.size() / 4; ++i)
    buffer.as<float>()[i] = NAN;
  for (size_t row = 0; row * n < values.size(); ++row)
    memcpy(buffer.as<float>() + row * stride, values.data() + row * n, n * 4);
}

void fillVector(GuardedBuffer &buffer, const std::vector<float> &values) {
  memset(buffer.data(), 0, buffer.size());
  buffer.fill(values);
}

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

/// x * (1 / sqrt(mean square + epsilon)) * weight, the sum in 32 lanes folded by halves.
std::vector<float> rmsNorm(const float *x, const std::vector<float> &weight, float epsilon) {
  size_t n = weight.size();
  float lanes[32] = {};
  for (size_t i = 0; i < n; ++i)
    lanes[i % 32] = lanes[i % 32] + x[i] * x[i];
  for (int half = 16; half >= 1; half /= 2)
    for (int i = 0; i < half; ++i)
      lanes[i] = lanes[i] + lanes[i + half];
  float inverse = 1.0f / std::sqrt(lanes[0] / float(n) + epsilon);
  std::vector<float> y(n);
  for (size_t i = 0; i < n; ++i)
    y[i] = x[i] * inverse * weight[i];
  return y;
}

/// The same result in double, to be close to.
std::vector<double> rmsNormExact(const float *x, const std::vector<float> &weight, double epsilon) {
  double sum = 0;
  for (size_t i = 0; i < weight.size(); ++i)
    sum += double(x[i]) * x[i];
  double inverse = 1 / std::sqrt(sum / double(weight.size()) + epsilon);
  std::vector<double> y(weight.size());
  for (size_t i = 0; i < weight.size(); ++i)
    y[i] = x[i] * inverse * weight[i];
  return y;
}

std::string replaceAll(std::string text, const std::string &from, const std::string &to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

class RowKernels : public testing::TestWithParam<std::string> {
protected:
  const std::string &target() const { return GetParam(); }
};

TEST_P(RowKernels, RmsNorm) {
  for (int n : {1, 31, 32, 64, 100, 2048}) {
    SCOPED_TRACE("n = " + std::to_string(n));
    std::string text = R"(
tern.kernel @norm(%x: tensor<?xNxf32> {tern.dim = "T"}, %w: tensor<Nxf32>) -> tensor<?xNxf32> {
  %y = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?xNxf32>, tensor<Nxf32> -> tensor<?xNxf32>
  tern.yield %y : tensor<?xNxf32>
})";
    TestKernel kernel(replaceAll(text, "N", std::to_string(n)), target());
    if (!kernel.ready)
      return;
    for (int t : {1, 2, 7}) {
      std::vector<float> x = randomFloats(size_t(t) * n, 1), w = randomFloats(n, 2);
      std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
      fillRows(buffers[0], x, n);
      fillVector(buffers[1], w);
      kernel.run(buffers, t, 0, t == 7 ? 2 : 0);
      for (int row = 0; row < t; ++row) {
        std::vector<float> want = rmsNorm(x.data() + row * n, w, 1e-5f);
        std::vector<double> exact = rmsNormExact(x.data() + row * n, w, 1e-5);
        for (int i = 0; i < n; ++i) {
          float got = buffers[2].as<float>()[row * padded(n, 32) + i];
          ASSERT_EQ(got, want[i]) << "row " << row << " element " << i;
          ASSERT_NEAR(got, exact[i], 2e-6 * std::max(1.0, std::fabs(exact[i])));
        }
      }
    }
  }
}

// Against double: the mean far from 0 would show a variance taken as a difference of squares.
TEST_P(RowKernels, LayerNorm) {
  struct Case {
    int n, group, weights;
    bool bias;
  };
  for (Case c : {Case{1, 0, 1, true},
                 {100, 0, 100, true},
                 {2048, 0, 2048, false},
                 {96, 24, 24, true},
                 {96, 24, 96, false},
                 {128, 64, 128, true},
                 {60, 20, 20, true}}) {
    SCOPED_TRACE("n = " + std::to_string(c.n) + ", group = " + std::to_string(c.group));
    std::string text = R"(
tern.kernel @norm(%x: tensor<?xNxf32> {tern.dim = "T"}, %w: tensor<Wxf32>BIASARG) -> tensor<?xNxf32> {
  %y = tern.layer_norm %x, %wBIASUSE {epsilon = 1.0e-5 : f32, group = G : i64} : tensor<?xNxf32>, tensor<Wxf32>BIASTYPE -> tensor<?xNxf32>
  tern.yield %y : tensor<?xNxf32>
})";
    text = replaceAll(text, "BIASARG", c.bias ? ", %b: tensor<Wxf32>" : "");
    text = replaceAll(text, "BIASUSE", c.bias ? " bias %b" : "");
    text = replaceAll(text, "BIASTYPE", c.bias ? ", tensor<Wxf32>" : "");
    text = replaceAll(text, "<?xN", "<?x" + std::to_string(c.n));
    text = replaceAll(text, "<W", "<" + std::to_string(c.weights));
    text = replaceAll(text, "= G ", "= " + std::to_string(c.group) + " ");
    TestKernel kernel(text, target());
    if (!kernel.ready)
      return;
    for (int t : {1, 3}) {
      std::vector<float> x = randomFloats(size_t(t) * c.n, 1), w = randomFloats(c.weights, 2),
                         b = randomFloats(c.weights, 3);
      for (float &value : x)
        value += 30;
      std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
      fillRows(buffers[0], x, c.n);
      fillVector(buffers[1], w);
      if (c.bias)
        fillVector(buffers[2], b);
      kernel.run(buffers, t, 0, 2);
      int size = c.group ? c.group : c.n;
      for (int row = 0; row < t; ++row)
        for (int first = 0; first < c.n; first += size) {
          double mean = 0, variance = 0;
          for (int i = first; i < first + size; ++i)
            mean += double(x[row * c.n + i]) / size;
          for (int i = first; i < first + size; ++i)
            variance += std::pow(x[row * c.n + i] - mean, 2) / size;
          for (int i = first; i < first + size; ++i) {
            int at = c.weights == c.n ? i : i - first;
            double want = (x[row * c.n + i] - mean) / std::sqrt(variance + 1e-5) * w[at] +
                          (c.bias ? b[at] : 0);
            float got = buffers[2 + c.bias].as<float>()[row * padded(c.n, 32) + i];
            ASSERT_NEAR(got, want, 2e-5) << "row " << row << " element " << i;
          }
        }
    }
  }
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

const EncodeShape encodeShapes[] = {{32, 32, 32},    {96, 32, 32},    {64, 32, 0},
                                    {256, 256, 256}, {512, 256, 256}, {512, 0, 256},
                                    {96, 0, 32},     {256, 256, 32},  {2048, 32, 32}};

TEST_P(RowKernels, Encode) {
  for (EncodeShape s : encodeShapes) {
    std::string rows = "tensor<?x" + std::to_string(s.k) + "xf32>";
    SCOPED_TRACE(actType(s));
    TestKernel kernel("tern.kernel @encode(%x: " + rows + " {tern.dim = \"T\"}) -> " + actType(s) +
                          " {\n  %q = tern.encode %x : " + rows + " -> " + actType(s) +
                          "\n  tern.yield %q : " + actType(s) + "\n}\n",
                      target());
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

// A group of nothing but denormals has a scale of zero or a denormal one; codes stay within bounds.
TEST_P(RowKernels, EncodeDenormals) {
  std::string type = actType({32, 32, 32});
  TestKernel kernel("tern.kernel @encode(%x: tensor<?x32xf32> {tern.dim = \"T\"}) -> " + type +
                        " {\n  %q = tern.encode %x : tensor<?x32xf32> -> " + type +
                        "\n  tern.yield %q : " + type + "\n}\n",
                    target());
  if (!kernel.ready)
    return;
  for (float value : {1e-45f, 1e-43f, 2e-42f, 1e-38f, INFINITY, -INFINITY, NAN}) {
    std::vector<GuardedBuffer> buffers = kernel.makeBuffers(1);
    fillRows(buffers[0], std::vector<float>(32, value), 32);
    kernel.run(buffers, 1);
    for (int i = 0; i < 32; ++i)
      EXPECT_GE(int(buffers[1].as<int8_t>()[i]), -127) << value;
  }
}

// A NaN anywhere shows in the scale, so that a linear layer cannot turn it into a number.
TEST_P(RowKernels, EncodeKeepsNaNAndInfinity) {
  std::string type = actType({64, 32, 32});
  TestKernel kernel("tern.kernel @encode(%x: tensor<?x64xf32> {tern.dim = \"T\"}) -> " + type +
                        " {\n  %q = tern.encode %x : tensor<?x64xf32> -> " + type +
                        "\n  tern.yield %q : " + type + "\n}\n",
                    target());
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
      const Quantized want = quantize(x.data() + 32, 32, 32, 32);
      EXPECT_EQ(scales[1], want.scales[0]) << "the other group";
      for (int i = 0; i < 32; ++i)
        EXPECT_EQ(int(buffers[1].as<int8_t>()[32 + i]), int(want.codes[size_t(i)]));
    }
}

TEST_P(RowKernels, GatherNormEncode) {
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

TEST_P(RowKernels, NormBesideItsEncoding) {
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

TEST_P(RowKernels, Map) {
  TestKernel kernel(R"(
tern.kernel @map(%x: tensor<?x100xf32> {tern.dim = "T"}, %y: tensor<?x100xf32> {tern.dim = "T"}, %b: tensor<100xf32>) -> tensor<?x100xf32> {
  %z = tern.map (%x, %y, %b) : (tensor<?x100xf32>, tensor<?x100xf32>, tensor<100xf32>) -> tensor<?x100xf32> {
  ^bb0(%u: f32, %v: f32, %w: f32):
    %one = arith.constant 1.0 : f32
    %n = arith.negf %u : f32
    %e = math.exp %n : f32
    %d = arith.addf %one, %e : f32
    %s = arith.divf %u, %d : f32
    %p = arith.mulf %s, %v : f32
    %r = arith.addf %p, %w : f32
    tern.yield %r : f32
  }
  tern.yield %z : tensor<?x100xf32>
})",
                    target());
  if (!kernel.ready)
    return;
  std::vector<float> x = randomFloats(300, 9), y = randomFloats(300, 10), b = randomFloats(100, 11);
  x[0] = 1000, x[1] = -1000, x[2] = 88, x[3] = -87;
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(3);
  fillRows(buffers[0], x, 100);
  fillRows(buffers[1], y, 100);
  fillVector(buffers[2], b);
  kernel.run(buffers, 3, 0, 1);
  for (int i = 0; i < 300; ++i) {
    double want = double(x[i]) / (1 + std::exp(-double(x[i]))) * y[i] + b[i % 100];
    ASSERT_NEAR(buffers[3].as<float>()[i / 100 * 128 + i % 100], want,
                1e-6 * std::max(1.0, std::fabs(want)))
        << i;
  }
}

TEST_P(RowKernels, MapsOfSlicesAndTanh) {
  TestKernel kernel(R"(
tern.kernel @halves(%x: tensor<?x80xf32> {tern.dim = "T"}) -> tensor<?x40xf32> {
  %l = tern.slice %x dim 1 from 0 length 40 : tensor<?x80xf32> -> tensor<?x40xf32>
  %h = tern.slice %x dim 1 from 40 length 40 : tensor<?x80xf32> -> tensor<?x40xf32>
  %z = tern.map (%l, %h) : (tensor<?x40xf32>, tensor<?x40xf32>) -> tensor<?x40xf32> {
  ^bb0(%u: f32, %v: f32):
    %t = math.tanh %u : f32
    %r = arith.subf %t, %v : f32
    tern.yield %r : f32
  }
  tern.yield %z : tensor<?x40xf32>
})",
                    target());
  if (!kernel.ready)
    return;
  std::vector<float> x = randomFloats(3 * 80, 12);
  x[0] = 100, x[1] = -100;
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(3);
  fillRows(buffers[0], x, 80);
  kernel.run(buffers, 3);
  for (int row = 0; row < 3; ++row)
    for (int i = 0; i < 40; ++i)
      ASSERT_NEAR(buffers[1].as<float>()[row * 64 + i],
                  std::tanh(double(x[row * 80 + i])) - x[row * 80 + 40 + i], 1e-6);
}

// IEEE's minimum and maximum and every function of a NaN: an error upstream stays visible.
TEST_P(RowKernels, MapsKeepNaN) {
  TestKernel kernel(R"(
tern.kernel @nan(%x: tensor<?x160xf32> {tern.dim = "T"}) -> tensor<?x40xf32> {
  %a = tern.slice %x dim 1 from 0 length 40 : tensor<?x160xf32> -> tensor<?x40xf32>
  %b = tern.slice %x dim 1 from 40 length 40 : tensor<?x160xf32> -> tensor<?x40xf32>
  %c = tern.slice %x dim 1 from 80 length 40 : tensor<?x160xf32> -> tensor<?x40xf32>
  %d = tern.slice %x dim 1 from 120 length 40 : tensor<?x160xf32> -> tensor<?x40xf32>
  %z = tern.map (%a, %b, %c, %d) : (tensor<?x40xf32>, tensor<?x40xf32>, tensor<?x40xf32>, tensor<?x40xf32>) -> tensor<?x40xf32> {
  ^bb0(%e: f32, %t: f32, %h: f32, %l: f32):
    %half = arith.constant 0.5 : f32
    %e1 = math.exp %e : f32
    %t1 = math.tanh %t : f32
    %h1 = arith.maximumf %h, %half : f32
    %l1 = arith.minimumf %half, %l : f32
    %s1 = arith.addf %e1, %t1 : f32
    %s2 = arith.addf %h1, %l1 : f32
    %r = arith.addf %s1, %s2 : f32
    tern.yield %r : f32
  }
  tern.yield %z : tensor<?x40xf32>
})",
                    target());
  if (!kernel.ready)
    return;
  std::vector<float> x = randomFloats(160, 13);
  for (int i = 0; i < 16; ++i) // four columns in each of the four parts
    x[size_t(i / 4 * 40 + i % 4 * 9 + i / 4)] = i % 2 ? NAN : -NAN;
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(1);
  fillRows(buffers[0], x, 160);
  kernel.run(buffers, 1);
  for (int i = 0; i < 40; ++i) {
    double want = std::exp(double(x[i])) + std::tanh(double(x[40 + i])) +
                  (std::isnan(x[80 + i]) ? NAN : std::max(x[80 + i], 0.5f)) +
                  (std::isnan(x[120 + i]) ? NAN : std::min(x[120 + i], 0.5f));
    float got = buffers[1].as<float>()[i];
    if (std::isnan(want))
      EXPECT_TRUE(std::isnan(got)) << i;
    else
      EXPECT_NEAR(got, want, 1e-5) << i;
  }
}

TEST_P(RowKernels, Gather) {
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

struct EmbedFormat {
  std::string encoding;
  EncodingDesc desc;
  int k;
};

// Bytes and scales are random bits of the packed tensor; the reference decodes element by element.
TEST_P(RowKernels, Embed) {
  const EmbedFormat formats[] = {
      {"f32", {CodeKind::F32, 0, ScaleType::None}, 40},
      {"f16", {CodeKind::F16, 0, ScaleType::None}, 64},
      {"bf16", {CodeKind::BF16, 0, ScaleType::None}, 33},
      {"ternary, group = 256, scale = f16", {CodeKind::Ternary, 256, ScaleType::F16}, 512},
      {"quaternary, group = 256, scale = f16", {CodeKind::Quaternary, 256, ScaleType::F16}, 256},
      {"int4, group = 32, scale = f16", {CodeKind::Int4, 32, ScaleType::F16}, 96},
      {"int8, group = 32, scale = f32", {CodeKind::Int8, 32, ScaleType::F32}, 64},
      {"uint4, group = 64, scale = f16, min", {CodeKind::UInt4, 64, ScaleType::F16, true}, 128},
      {"int5, group = 32, scale = f16", {CodeKind::Int5, 32, ScaleType::F16}, 96},
      {"uint5, group = 32, scale = f16, min", {CodeKind::UInt5, 32, ScaleType::F16, true}, 64},
      {"iq4nl, group = 32, scale = f16", {CodeKind::IQ4NL, 32, ScaleType::F16}, 64},
      {"e2m1, group = 32, scale = e8m0", {CodeKind::E2M1, 32, ScaleType::E8M0}, 64},
      {"ternary-b3, group = 256, scale = f16", {CodeKind::TernaryB3, 256, ScaleType::F16}, 512},
      {"uint2, group = 16, scale = u4, min, super = 256, super_scale = f16",
       {CodeKind::UInt2, 16, ScaleType::U4, true, 256, ScaleType::F16},
       512},
      {"int3, group = 16, scale = i6, super = 256, super_scale = f16",
       {CodeKind::Int3, 16, ScaleType::I6, false, 256, ScaleType::F16},
       512},
      {"uint4, group = 32, scale = u6, min, super = 256, super_scale = f16",
       {CodeKind::UInt4, 32, ScaleType::U6, true, 256, ScaleType::F16},
       512},
      {"uint5, group = 32, scale = u6, min, super = 256, super_scale = f16",
       {CodeKind::UInt5, 32, ScaleType::U6, true, 256, ScaleType::F16},
       256},
      {"int6, group = 16, scale = i8, super = 256, super_scale = f16",
       {CodeKind::Int6, 16, ScaleType::I8, false, 256, ScaleType::F16},
       512}};
  const int vocabulary = 70;
  for (const EmbedFormat &f : formats) {
    SCOPED_TRACE(f.encoding);
    std::string table = "tensor<70x" + std::to_string(f.k) + "xf32, #tern.enc<" + f.encoding +
                        ", layout = \"rows32\">>";
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
    // Floats and scales must be finite: clear the top exponent bit.
    WeightLayout layout;
    PackedView view(f.desc, f.k, 1, bytes);
    if (f.desc.isFloat())
      for (size_t size = f.desc.codeBits() / 8, at = size - 1; at < buffers[0].size(); at += size)
        bytes[at] &= 0xBF;
    else
      view.forEachScaleByte(vocabulary, [&](uint8_t &byte, uint64_t number) {
        if (number + 1 == view.scaleBytes())
          byte &= 0xBF;
      });
    buffers[1].fill(tokens);
    kernel.run(buffers, int(tokens.size()), 0, 3);

    auto decode = [&](int n, int k) -> float {
      if (!f.desc.isFloat())
        return view.value(0, n, k);
      size_t tile = n / 32 * layout.tileBytes(f.desc, f.k), lane = n % 32;
      unsigned size = f.desc.codeBits() / 8;
      uint32_t bits = 0;
      memcpy(&bits, bytes + tile + (size_t(k) * 32 + lane) * size, size);
      return f.desc.codes == CodeKind::F32   ? std::bit_cast<float>(bits)
             : f.desc.codes == CodeKind::F16 ? halfToFloat(uint16_t(bits))
                                             : bfloat16ToFloat(uint16_t(bits));
    };
    for (size_t row = 0; row < tokens.size(); ++row)
      for (int k = 0; k < f.k; ++k)
        ASSERT_EQ(buffers[2].as<float>()[row * padded(f.k, 32) + k], decode(tokens[row], k) * 2.0f)
            << "token " << tokens[row] << " element " << k << " of " << vocabulary << " rows";
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, RowKernels, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });

} // namespace
