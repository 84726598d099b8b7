// Rotations of what is no finite number, of the largest and smallest numbers: what
// compiler/Kernels/Rope.cpp says of them.
#include "test/unit/kernels/RowKernels.h"
#include <limits>

using namespace tern;

namespace {

struct Rotation {
  int heads, headSize, frequencies;
  bool adjacent;
};

/// Whole heads and parts, of every alignment to a tile of 32.
const Rotation rotations[] = {{2, 64, 32, true}, {2, 64, 32, false}, {3, 20, 6, true},
                              {3, 20, 6, false}, {1, 80, 40, false}, {2, 128, 32, false}};
const std::vector<int32_t> positions = {0, 1, 255, 256, 2047};
constexpr int tableRows = 256 + 8;

double frequency(int m) { return std::pow(10000.0, -m / 32.0); }

/// 256 rows of the angles p, then rows of the angles 256 p (tern.rope_table).
std::vector<float> ropeTable(int frequencies) {
  std::vector<float> table;
  for (int r = 0; r < tableRows; ++r)
    for (int m = 0; m < frequencies; ++m) {
      const double angle = (r < 256 ? r : 256.0 * (r - 256)) * frequency(m);
      table.push_back(float(std::cos(angle)));
      table.push_back(float(std::sin(angle)));
    }
  return table;
}

class RopeExtremes : public RowKernels {
protected:
  /// Rotates the same row at every position and compares with the definition in double. An error of
  /// the angle is one of both elements of a pair.
  void check(const std::vector<float> &x, const Rotation &r, const TestKernel &kernel) const;
};

std::string ropeText(const Rotation &r) {
  const std::string rows = "tensor<?x" + std::to_string(r.heads * r.headSize) + "xf32>";
  const std::string table =
      "tensor<" + std::to_string(tableRows) + "x" + std::to_string(r.frequencies) + "x2xf32>";
  return "tern.kernel @rope(%x: " + rows +
         " {tern.dim = \"T\"}, %p: tensor<?xi32> {tern.dim = " + "\"T\"}, %t: " + table + ") -> " +
         rows + " {\n  %y = tern.rope %x, %p, %t {head_size = " + std::to_string(r.headSize) +
         " : i32" + (r.adjacent ? ", adjacent" : "") + "} : " + rows + ", tensor<?xi32>, " + table +
         " -> " + rows + "\n  tern.yield %y : " + rows + "\n}\n";
}

void RopeExtremes::check(const std::vector<float> &x, const Rotation &r,
                         const TestKernel &kernel) const {
  const int n = r.heads * r.headSize, t = int(positions.size());
  std::vector<float> rows;
  for (int row = 0; row < t; ++row)
    rows.insert(rows.end(), x.begin(), x.end());
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
  fillRows(buffers[0], rows, size_t(n));
  buffers[1].fill(positions);
  const std::vector<float> table = ropeTable(r.frequencies);
  ASSERT_GE(buffers[2].size(), table.size() * sizeof(float));
  buffers[2].fill(table);
  kernel.run(buffers, t, 0, 2);
  for (int row = 0; row < t; ++row)
    for (int i = 0; i < n; ++i) {
      SCOPED_TRACE("position " + std::to_string(positions[size_t(row)]) + ", element " +
                   std::to_string(i));
      const int head = i / r.headSize * r.headSize, e = i % r.headSize;
      const float got = buffers[3].as<float>()[size_t(row) * padded(size_t(n), 32) + size_t(i)];
      double want = x[size_t(i)], size = std::fabs(want);
      if (e < 2 * r.frequencies) {
        const int m = r.adjacent ? e / 2 : e % r.frequencies;
        const bool isFirst = r.adjacent ? e % 2 == 0 : e < r.frequencies;
        const int partner = r.adjacent ? e ^ 1 : isFirst ? e + r.frequencies : e - r.frequencies;
        const double angle = positions[size_t(row)] * frequency(m);
        const double other = x[size_t(head + partner)];
        want = want * std::cos(angle) + (isFirst ? -other : other) * std::sin(angle);
        size = std::max(size, std::fabs(other));
      }
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(got)) << got;
      } else if (std::isinf(float(want))) {
        ASSERT_EQ(got, float(want));
      } else {
        ASSERT_NEAR(got, want, 4e-7 * size + 3e-45);
      }
    }
}

} // namespace

TEST_P(RopeExtremes, SpecialNumbersStayInTheirPairs) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Rotation &r : rotations) {
    SCOPED_TRACE(std::to_string(r.headSize) + (r.adjacent ? " adjacent" : ""));
    TestKernel kernel(ropeText(r), target());
    ASSERT_TRUE(kernel.ready);
    const int n = r.heads * r.headSize;
    for (float special : {float(NAN), -float(NAN), infinity, -infinity})
      for (int at :
           {0, 1, r.frequencies - 1, r.frequencies, 2 * r.frequencies - 1, r.headSize - 1, n - 1}) {
        std::vector<float> x = randomFloats(size_t(n), 31);
        x[size_t(at)] = special;
        check(x, r, kernel);
      }
    check(std::vector<float>(size_t(n), infinity), r, kernel); // infinities that meet
  }
}

TEST_P(RopeExtremes, EveryMagnitude) {
  for (const Rotation &r : rotations) {
    SCOPED_TRACE(std::to_string(r.headSize) + (r.adjacent ? " adjacent" : ""));
    TestKernel kernel(ropeText(r), target());
    ASSERT_TRUE(kernel.ready);
    for (float magnitude :
         {0.0f, 1e-45f, 1e-41f, 1e-38f, 1.0f, 1e30f, 2e38f, std::numeric_limits<float>::max()})
      for (bool alternates : {false, true}) {
        std::vector<float> x;
        for (int i = 0; i < r.heads * r.headSize; ++i)
          x.push_back(alternates && i % 2 ? -magnitude : magnitude);
        check(x, r, kernel);
      }
  }
}

// The table may have fewer positions than the artifact says that the model has.
TEST_P(RopeExtremes, PositionsOutsideOfTheTableLeadToItsEnds) {
  const Rotation &r = rotations[1];
  TestKernel kernel(ropeText(r), target());
  ASSERT_TRUE(kernel.ready);
  const size_t n = size_t(r.heads * r.headSize);
  constexpr int32_t last = (tableRows - 256) * 256 - 1;
  const std::vector<int32_t> outside = {0,
                                        last,
                                        -1,
                                        last + 1,
                                        std::numeric_limits<int32_t>::min(),
                                        std::numeric_limits<int32_t>::max()};
  const std::vector<float> row = randomFloats(n, 32);
  std::vector<float> rows;
  for (size_t i = 0; i < outside.size(); ++i)
    rows.insert(rows.end(), row.begin(), row.end());
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(int(outside.size()));
  fillRows(buffers[0], rows, n);
  buffers[1].fill(outside);
  buffers[2].fill(ropeTable(r.frequencies));
  kernel.run(buffers, int(outside.size()));
  const float *turned = buffers[3].as<float>();
  for (size_t i = 2; i < outside.size(); ++i)
    for (size_t e = 0; e < n; ++e)
      ASSERT_EQ(turned[i * n + e], turned[i % 2 * n + e]) << outside[i];
  EXPECT_NE(turned[0], turned[n]);
}

INSTANTIATE_TEST_SUITE_P(Kernels, RopeExtremes, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });
