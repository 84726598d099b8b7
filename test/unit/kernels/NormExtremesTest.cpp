// Norms of what is no finite number and of the largest and smallest numbers: what
// compiler/Kernels/Norm.cpp says of them.
#include "test/unit/kernels/RowKernels.h"
#include <functional>
#include <limits>

using namespace tern;

namespace {

constexpr float largest = std::numeric_limits<float>::max();
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float epsilon = 1e-5f;

enum class Kind { Rms, Layer };

struct Shape {
  int n, group;
  int size() const { return group ? group : n; }
};

/// Of every alignment to a vector and to a tile of 32.
const Shape shapes[] = {{1, 0}, {7, 0}, {33, 0}, {2049, 0}, {60, 20}, {128, 64}};

class NormKernel {
public:
  NormKernel(Kind kind, Shape shape, const std::string &target)
      : kind(kind), shape(shape), weight(randomFloats(size_t(shape.size()), 2)),
        bias(randomFloats(size_t(shape.size()), 3)), kernel(text(), target) {}

  bool isReady() const { return kernel.ready; }

  std::vector<float> run(const std::vector<float> &x) const {
    const size_t n = size_t(shape.n), rows = x.size() / n;
    std::vector<GuardedBuffer> buffers = kernel.makeBuffers(int(rows));
    fillRows(buffers[0], x, n);
    fillVector(buffers[1], weight);
    fillVector(buffers[2], bias);
    kernel.run(buffers, int(rows), 0, 3);
    std::vector<float> result;
    for (size_t row = 0; row < rows; ++row) {
      const float *from = buffers[3].as<float>() + row * padded(n, 32);
      result.insert(result.end(), from, from + n);
    }
    return result;
  }

  /// In double, from the definition.
  std::vector<double> reference(const std::vector<float> &x) const {
    std::vector<double> result(x.size());
    const size_t size = size_t(shape.size());
    for (size_t first = 0; first < x.size(); first += size) {
      double mean = 0, square = 0;
      for (size_t i = 0; kind == Kind::Layer && i < size; ++i)
        mean += x[first + i] / double(size);
      for (size_t i = 0; i < size; ++i)
        square += (x[first + i] - mean) * (x[first + i] - mean) / double(size);
      for (size_t i = 0; i < size; ++i)
        result[first + i] =
            (x[first + i] - mean) / std::sqrt(square + double(epsilon)) * weight[i] +
            (kind == Kind::Layer ? bias[i] : 0);
    }
    return result;
  }

  const Kind kind;
  const Shape shape;
  const std::vector<float> weight, bias;

private:
  /// %b is there for both, so that the buffers are the same.
  std::string text() const {
    std::string kernel = R"(
tern.kernel @norm(%x: tensor<?xNxf32> {tern.dim = "T"}, %w: tensor<Wxf32>, %b: tensor<Wxf32>) -> tensor<?xNxf32> {
  %y = OP {epsilon = 1.0e-5 : f32, group = G : i64} : TYPES -> tensor<?xNxf32>
  tern.yield %y : tensor<?xNxf32>
})";
    const bool isRms = kind == Kind::Rms;
    kernel =
        replaceAll(kernel, "OP", isRms ? "tern.rms_norm %x, %w" : "tern.layer_norm %x, %w bias %b");
    kernel = replaceAll(kernel, "TYPES",
                        std::string("tensor<?xNxf32>, tensor<Wxf32>") +
                            (isRms ? "" : ", tensor<Wxf32>"));
    kernel = replaceAll(kernel, "<?xN", "<?x" + std::to_string(shape.n));
    kernel = replaceAll(kernel, "<W", "<" + std::to_string(shape.size()));
    return replaceAll(kernel, "= G ", "= " + std::to_string(shape.group) + " ");
  }

  TestKernel kernel;
};

class NormExtremes : public RowKernels {
protected:
  /// Calls `check` with every kernel.
  void forEach(std::initializer_list<Kind> kinds,
               const std::function<void(const NormKernel &)> &check) const {
    for (Kind kind : kinds)
      for (Shape shape : shapes) {
        SCOPED_TRACE(std::string(kind == Kind::Rms ? "rms" : "layer") + ", n = " +
                     std::to_string(shape.n) + ", group = " + std::to_string(shape.group));
        NormKernel kernel(kind, shape, target());
        ASSERT_TRUE(kernel.isReady());
        check(kernel);
        if (HasFatalFailure())
          return;
      }
  }
};

void expectNear(const std::vector<float> &got, const std::vector<double> &want, double tolerance) {
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], tolerance * std::max(1.0, std::fabs(want[i]))) << "element " << i;
}

/// Of three rows of numbers the second has one of `bads` at its start, middle or end: calls `check`
/// with each result, whether it is of the run with that element, and whether it is that element.
void withOneOf(const NormKernel &kernel, std::initializer_list<float> bads, unsigned seed,
               const std::function<void(float, bool isInRun, bool isPlace)> &check) {
  const size_t n = size_t(kernel.shape.n), size = size_t(kernel.shape.size());
  for (float bad : bads)
    for (size_t at : {size_t(0), n / 2, n - 1}) {
      std::vector<float> x = randomFloats(3 * n, seed);
      x[n + at] = bad;
      const std::vector<float> result = kernel.run(x);
      const size_t first = n + at / size * size;
      for (size_t i = 0; i < result.size(); ++i) {
        SCOPED_TRACE(i);
        check(result[i], i >= first && i < first + size, i == n + at);
        if (testing::Test::HasFatalFailure())
          return;
      }
    }
}

} // namespace

// Up to where a sum of squares leaves f32's range, and down to where only epsilon is left of it.
TEST_P(NormExtremes, EveryMagnitudeOfARowAndOfOneElement) {
  forEach({Kind::Rms, Kind::Layer}, [](const NormKernel &kernel) {
    const size_t n = size_t(kernel.shape.n);
    std::vector<float> x;
    for (float scale : {0.0f, 1e-45f, 1e-40f, 1e-30f, 1e-10f, 1e-3f, 1.0f, 1e5f, 1e17f}) {
      std::vector<float> row = randomFloats(n, 4), peak = row;
      for (float &value : row)
        value *= scale;
      peak[n / 2] = scale;
      x.insert(x.end(), row.begin(), row.end());
      x.insert(x.end(), peak.begin(), peak.end());
    }
    // Of one element the variance is 0, of which rounding in f32 leaves nothing either.
    expectNear(kernel.run(x), kernel.reference(x), 3e-5);
  });
}

TEST_P(NormExtremes, AlternatingSignsOfOneMagnitude) {
  forEach({Kind::Rms, Kind::Layer}, [](const NormKernel &kernel) {
    if (kernel.kind == Kind::Layer && kernel.shape.size() == 1)
      return;
    std::vector<float> x;
    for (float magnitude : {1e-45f, 1e-38f, 1.0f, 65504.0f, 1e17f})
      for (int i = 0; i < kernel.shape.n; ++i)
        x.push_back(i % 2 ? -magnitude : magnitude);
    expectNear(kernel.run(x), kernel.reference(x), 1e-5);
  });
}

// The mean square is infinite, its inverse root 0.
TEST_P(NormExtremes, SquaresBeyondTheRangeMakeZeros) {
  forEach({Kind::Rms}, [](const NormKernel &kernel) {
    std::vector<float> x;
    for (bool alternates : {false, true})
      for (int i = 0; i < kernel.shape.n; ++i)
        x.push_back(alternates && i % 2 ? -largest : largest);
    for (float value : kernel.run(x))
      ASSERT_EQ(value, 0);
  });
}

// Where the sum itself stays within the range the result is the bias, beyond it NaN.
TEST_P(NormExtremes, LayerNormBeyondTheRange) {
  forEach({Kind::Layer}, [](const NormKernel &kernel) {
    const size_t n = size_t(kernel.shape.n), size = size_t(kernel.shape.size());
    if (size < 3)
      return;
    std::vector<float> spread(n, 0.0f), all(n, largest);
    for (size_t i = 0; i < n; ++i)
      spread[i] = i % 2 ? -1e30f : 1e30f;
    std::vector<float> result = kernel.run(spread);
    for (size_t i = 0; i < n; ++i)
      ASSERT_EQ(result[i], kernel.bias[i % size]) << i;
    for (float value : kernel.run(all))
      ASSERT_TRUE(std::isnan(value)) << value;
  });
}

TEST_P(NormExtremes, NaNFillsItsRunAndNoOther) {
  forEach({Kind::Rms, Kind::Layer}, [](const NormKernel &kernel) {
    withOneOf(kernel, {NAN, -NAN}, 5,
              [](float value, bool isInRun, bool) { ASSERT_EQ(std::isnan(value), isInRun); });
  });
}

// Infinity times 0, the inverse root of an infinite mean square, is NaN; the rest are zeros.
TEST_P(NormExtremes, InfinityBecomesNaNBesideZeros) {
  forEach({Kind::Rms, Kind::Layer}, [](const NormKernel &kernel) {
    withOneOf(kernel, {infinity, -infinity}, 6, [&](float value, bool isInRun, bool isPlace) {
      const bool isNaN = kernel.kind == Kind::Layer ? isInRun : isPlace;
      ASSERT_EQ(std::isnan(value), isNaN);
      if (isInRun && !isNaN)
        ASSERT_EQ(value, 0);
    });
  });
}

// A weight that is no finite number stays in its element, also where the row is 0.
TEST_P(NormExtremes, WeightsStayInTheirElements) {
  NormKernel reference(Kind::Rms, {100, 0}, target());
  ASSERT_TRUE(reference.isReady());
  TestKernel kernel(R"(
tern.kernel @norm(%x: tensor<?x100xf32> {tern.dim = "T"}, %w: tensor<100xf32>) -> tensor<?x100xf32> {
  %y = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : tensor<?x100xf32>, tensor<100xf32> -> tensor<?x100xf32>
  tern.yield %y : tensor<?x100xf32>
})",
                    target());
  ASSERT_TRUE(kernel.ready);
  std::vector<float> x = randomFloats(100, 7), weight = reference.weight;
  x[2] = 0;
  weight[0] = NAN, weight[1] = infinity, weight[2] = infinity, weight[3] = 1e-45f;
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(1);
  fillRows(buffers[0], x, 100);
  fillVector(buffers[1], weight);
  kernel.run(buffers, 1);
  const float *y = buffers[2].as<float>();
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], x[1] > 0 ? infinity : -infinity);
  EXPECT_TRUE(std::isnan(y[2]));
  EXPECT_LE(std::fabs(y[3]), 1e-44f);
  const std::vector<double> want = reference.reference(x);
  for (size_t i = 4; i < 100; ++i)
    EXPECT_NEAR(y[i], want[i], 2e-6 * std::max(1.0, std::fabs(want[i]))) << i;
}

// Any count of rows gives each the bits it has alone.
TEST_P(NormExtremes, EveryCountOfRowsGivesTheSameBits) {
  for (Kind kind : {Kind::Rms, Kind::Layer}) {
    NormKernel kernel(kind, {100, 0}, target());
    ASSERT_TRUE(kernel.isReady());
    std::vector<float> x = randomFloats(70 * 100, 8), alone;
    x[5 * 100 + 3] = NAN;
    x[7 * 100 + 99] = infinity;
    for (int row = 0; row < 70; ++row) {
      const std::vector<float> one =
          kernel.run(std::vector<float>(x.begin() + row * 100, x.begin() + (row + 1) * 100));
      alone.insert(alone.end(), one.begin(), one.end());
    }
    for (int t = 1; t <= 70; ++t) {
      const std::vector<float> some =
          kernel.run(std::vector<float>(x.begin(), x.begin() + t * 100));
      ASSERT_EQ(0, memcmp(some.data(), alone.data(), some.size() * 4)) << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, NormExtremes, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });
