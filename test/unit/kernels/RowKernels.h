// What the tests of kernels with one task per row share: rows at their stride, and the references
// that several of them compose.
#ifndef TERN_TEST_UNIT_KERNELS_ROWKERNELS_H
#define TERN_TEST_UNIT_KERNELS_ROWKERNELS_H

#include "test/unit/kernels/KernelHarness.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>

namespace tern {

inline size_t padded(size_t n, size_t to) { return (n + to - 1) / to * to; }

inline std::vector<float> randomFloats(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-2, 2);
  std::vector<float> values(count);
  for (float &value : values)
    value = uniform(random);
  return values;
}

/// Rows of n floats at the padded stride; the padding holds NaN, which no result may show.
inline void fillRows(GuardedBuffer &buffer, const std::vector<float> &values, size_t n) {
  size_t stride = padded(n, 32);
  for (size_t i = 0; i < buffer.size() / 4; ++i)
    buffer.as<float>()[i] = NAN;
  for (size_t row = 0; row * n < values.size(); ++row)
    memcpy(buffer.as<float>() + row * stride, values.data() + row * n, n * 4);
}

inline void fillVector(GuardedBuffer &buffer, const std::vector<float> &values) {
  memset(buffer.data(), 0, buffer.size());
  buffer.fill(values);
}

/// x * (1 / sqrt(mean square + epsilon)) * weight, the sum in 32 lanes folded by halves.
inline std::vector<float> rmsNorm(const float *x, const std::vector<float> &weight, float epsilon) {
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

inline std::string replaceAll(std::string text, const std::string &from, const std::string &to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// A suite that runs once per target.
class RowKernels : public testing::TestWithParam<std::string> {
protected:
  const std::string &target() const { return GetParam(); }
};

} // namespace tern
#endif
