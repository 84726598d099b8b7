// Norms of rows, bit for bit in the documented order of the sums and close to double.
#include "test/unit/kernels/RowKernels.h"

using namespace tern;

namespace {

/// rmsNorm in double, to be close to.
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

class Norm : public RowKernels {};

TEST_P(Norm, Rms) {
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
TEST_P(Norm, Layer) {
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

INSTANTIATE_TEST_SUITE_P(Kernels, Norm, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });

} // namespace
