// Element-wise maps against their definitions in double: operands of every kind, functions at their
// ends, NaN.
#include "test/unit/kernels/RowKernels.h"

using namespace tern;

namespace {

/// Where a map takes an operand from.
enum class From {
  Rows,   ///< an input of its own
  Vector, ///< one row for all
  Slice,  ///< the next columns of an input that holds all slices
};

struct MapCase {
  const char *name;
  int width; ///< columns of the result
  std::vector<From> operands;
  const char *body; ///< of the region, with %a, %b, ...; yields %r
  double (*definition)(const double *operands);
  double tolerance;           ///< relative to the larger of 1 and the value
  std::vector<float> first{}; ///< the first elements of the first operand
};

const MapCase mapCases[] = {
    {"SiluTimesRowsPlusVector",
     100,
     {From::Rows, From::Rows, From::Vector},
     R"(
    %one = arith.constant 1.0 : f32
    %n = arith.negf %a : f32
    %e = math.exp %n : f32
    %d = arith.addf %one, %e : f32
    %s = arith.divf %a, %d : f32
    %p = arith.mulf %s, %b : f32
    %r = arith.addf %p, %c : f32)",
     [](const double *x) { return x[0] / (1 + std::exp(-x[0])) * x[1] + x[2]; },
     1e-6,
     {1000, -1000, 88, -87}},
    {"TanhOfHalves",
     40,
     {From::Slice, From::Slice},
     R"(
    %t = math.tanh %a : f32
    %r = arith.subf %t, %b : f32)",
     [](const double *x) { return std::tanh(x[0]) - x[1]; },
     1e-6,
     {100, -100}},
    {"ExpTanhMaximumMinimumOfQuarters",
     40,
     {From::Slice, From::Slice, From::Slice, From::Slice},
     R"(
    %half = arith.constant 0.5 : f32
    %a1 = math.exp %a : f32
    %b1 = math.tanh %b : f32
    %c1 = arith.maximumf %c, %half : f32
    %d1 = arith.minimumf %half, %d : f32
    %s1 = arith.addf %a1, %b1 : f32
    %s2 = arith.addf %c1, %d1 : f32
    %r = arith.addf %s1, %s2 : f32)",
     [](const double *x) {
       return std::exp(x[0]) + std::tanh(x[1]) + std::max(x[2], 0.5) + std::min(x[3], 0.5);
     },
     2e-6},
};

std::string letter(size_t i) { return std::string(1, char('a' + i)); }

/// The kernel: its inputs are the operands, but one for all slices, which comes first.
std::string kernelText(const MapCase &c) {
  const std::string width = std::to_string(c.width), rows = "tensor<?x" + width + "xf32>";
  const auto slices = std::count(c.operands.begin(), c.operands.end(), From::Slice);
  const std::string wide = "tensor<?x" + std::to_string(slices * c.width) + "xf32>";
  std::string inputs, cuts, names, types, parameters;
  if (slices)
    inputs = "%x: " + wide + " {tern.dim = \"T\"}";
  for (size_t i = 0, slice = 0; i < c.operands.size(); ++i) {
    const std::string name = "%in_" + letter(i), separator = i ? ", " : "";
    const std::string type = c.operands[i] == From::Vector ? "tensor<" + width + "xf32>" : rows;
    if (c.operands[i] == From::Slice)
      cuts += "  " + name + " = tern.slice %x dim 1 from " + std::to_string(slice++ * c.width) +
              " length " + width + " : " + wide + " -> " + rows + "\n";
    else
      inputs += (inputs.empty() ? "" : ", ") + name + ": " + type +
                (c.operands[i] == From::Rows ? " {tern.dim = \"T\"}" : "");
    names += separator + name;
    types += separator + type;
    parameters += separator + "%" + letter(i) + ": f32";
  }
  return "tern.kernel @map(" + inputs + ") -> " + rows + " {\n" + cuts + "  %z = tern.map (" +
         names + ") : (" + types + ") -> " + rows + " {\n  ^bb0(" + parameters + "):" + c.body +
         "\n    tern.yield %r : f32\n  }\n  tern.yield %z : " + rows + "\n}\n";
}

class Map : public testing::TestWithParam<std::tuple<std::string, MapCase>> {
protected:
  const MapCase &mapCase() const { return std::get<1>(GetParam()); }
  size_t rowsOf(size_t operand) const {
    return mapCase().operands[operand] == From::Vector ? 1 : tokens;
  }
  /// Random operands, [operand][row * width + column].
  std::vector<std::vector<float>> makeOperands() const {
    std::vector<std::vector<float>> operands;
    for (size_t i = 0; i < mapCase().operands.size(); ++i)
      operands.push_back(randomFloats(rowsOf(i) * size_t(mapCase().width), unsigned(9 + i)));
    return operands;
  }
  /// Runs the kernel and compares every element; NaN with NaN.
  void check(const std::vector<std::vector<float>> &operands) const;

  static constexpr size_t tokens = 3;
};

void Map::check(const std::vector<std::vector<float>> &operands) const {
  const MapCase &c = mapCase();
  const size_t width = size_t(c.width);
  TestKernel kernel(kernelText(c), std::get<0>(GetParam()));
  if (!kernel.ready)
    return;
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(tokens);
  std::vector<float> wide;
  for (size_t row = 0; row < tokens; ++row)
    for (size_t i = 0; i < operands.size(); ++i)
      if (c.operands[i] == From::Slice)
        wide.insert(wide.end(), operands[i].begin() + long(row * width),
                    operands[i].begin() + long((row + 1) * width));
  size_t next = 0;
  if (!wide.empty())
    fillRows(buffers[next++], wide, wide.size() / tokens);
  for (size_t i = 0; i < operands.size(); ++i) {
    if (c.operands[i] == From::Rows)
      fillRows(buffers[next++], operands[i], width);
    if (c.operands[i] == From::Vector)
      fillVector(buffers[next++], operands[i]);
  }
  kernel.run(buffers, tokens, 0, 1);
  for (size_t row = 0; row < tokens; ++row)
    for (size_t column = 0; column < width; ++column) {
      std::vector<double> x;
      bool nan = false;
      for (size_t i = 0; i < operands.size(); ++i) {
        x.push_back(operands[i][(rowsOf(i) == 1 ? 0 : row * width) + column]);
        nan |= std::isnan(x.back());
      }
      const float got = buffers[next].as<float>()[row * padded(width, 32) + column];
      const double want = c.definition(x.data());
      if (nan)
        ASSERT_TRUE(std::isnan(got)) << "row " << row << " column " << column;
      else
        ASSERT_NEAR(got, want, c.tolerance * std::max(1.0, std::fabs(want)))
            << "row " << row << " column " << column;
    }
}

TEST_P(Map, MatchesItsDefinition) {
  std::vector<std::vector<float>> operands = makeOperands();
  std::copy(mapCase().first.begin(), mapCase().first.end(), operands[0].begin());
  check(operands);
}

// A NaN in any operand shows in the result, also through a minimum or maximum: an error upstream
// stays visible.
TEST_P(Map, KeepsNaN) {
  std::vector<std::vector<float>> operands = makeOperands();
  for (size_t i = 0; i < operands.size(); ++i)
    for (size_t n = 0; n < 4; ++n) // four columns of each operand, none of them shared
      operands[i][9 * n + i] = n % 2 ? NAN : -NAN;
  check(operands);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Map,
                         testing::Combine(testing::ValuesIn(runnableTargets()),
                                          testing::ValuesIn(mapCases)),
                         [](const auto &info) {
                           return testName(std::get<0>(info.param)) + "_" +
                                  std::get<1>(info.param).name;
                         });

} // namespace
