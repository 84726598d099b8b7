// Maps of what is no finite number, of the largest and smallest numbers and of every pair of them,
// against their definitions in double rounded to float: what compiler/Kernels/Map.cpp says of them.
// An op that IEEE rounds must have the same bits; a function has a bound on its error, relative to
// its result wherever that is a normal number and no difference of larger ones.
#include "test/unit/kernels/RowKernels.h"
#include <bit>
#include <functional>
#include <limits>

using namespace tern;

namespace {

constexpr float largest = std::numeric_limits<float>::max();
constexpr float leastNormal = std::numeric_limits<float>::min();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Not a multiple of any vector, and every place of a vector sees several of them.
const std::vector<float> numbers = {
    0,      -0.0f, 1e-45f, -1e-45f, 1e-39f,     -1e-39f, 1.2e-38f, -1.2e-38f, 1e-20f,
    0.5f,   -0.5f, 1,      -1,      2.5f,       -2.5f,   30,       -30,       88.5f,
    -88.5f, 88.8f, -88.8f, -86.5f,  1e4f,       -1e4f,   1e7f,     -1e7f,     1e10f,
    -1e10f, 1e19f, -1e19f, 3e38f,   -3e38f,     largest, -largest, infinity,  -infinity,
    NAN,    -NAN,  0.33f,  -7.75f,  -86.9f,     -87.0f,  -87.3f,   -87.5f,    -60,
    88.7f,  1e-3f, -1e-3f, -0.75f,  0.49999997f};

/// The largest error: the sum of these shares.
struct Bound {
  double ofResult = 0;  ///< relative to the result
  double ofOperand = 0; ///< relative to a
  double ofOne = 0;     ///< absolute

  bool isExact() const { return ofResult == 0 && ofOperand == 0 && ofOne == 0; }
  /// What f32 has no normal number for may become 0.
  double at(double result, double a) const {
    return ofResult * std::fabs(result) + (ofOperand == 0 ? 0 : ofOperand * std::fabs(a)) + ofOne +
           (std::fabs(result) < leastNormal ? leastNormal : 0);
  }
};

struct Case {
  const char *name;
  const char *body; ///< from %a and %b to %r
  double (*definition)(double a, double b);
  Bound bound = {}; ///< bit for bit
};

/// Of e^x below it, 0.
constexpr double exponentialBegins = -86.99;

double exponential(double x) { return x < exponentialBegins ? 0 : std::exp(x); }
/// e^x as a float, infinite above its range, for the functions that add 1 to it.
double exponentialInFloat(double x) { return float(exponential(x)); }

double maximum(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : std::max(a, b); }
double minimum(double a, double b) { return std::isnan(a) || std::isnan(b) ? NAN : std::min(a, b); }

#define GELU_ENDS                                                                                  \
  R"(
    %one = arith.constant 1.0 : f32
    %half = arith.constant 0.5 : f32
    %x2 = arith.mulf %a, %half : f32
    %s1 = arith.addf %s, %one : f32
    %r = arith.mulf %x2, %s1 : f32)"

const Case cases[] = {
    {"Sum", "%r = arith.addf %a, %b : f32", [](double a, double b) { return a + b; }},
    {"Difference", "%r = arith.subf %a, %b : f32", [](double a, double b) { return a - b; }},
    {"Product", "%r = arith.mulf %a, %b : f32", [](double a, double b) { return a * b; }},
    {"Quotient", "%r = arith.divf %a, %b : f32", [](double a, double b) { return a / b; }},
    {"Maximum", "%r = arith.maximumf %a, %b : f32", maximum},
    {"Minimum", "%r = arith.minimumf %a, %b : f32", minimum},
    {"Negation", "%r = arith.negf %a : f32", [](double a, double) { return -a; }},
    {"Magnitude", "%r = math.absf %a : f32", [](double a, double) { return std::fabs(a); }},
    {"Root", "%r = math.sqrt %a : f32", [](double a, double) { return std::sqrt(a); }},
    {"InverseRoot",
     "%r = math.rsqrt %a : f32",
     [](double a, double) { return 1 / std::sqrt(a); },
     {.ofResult = 2e-7}},
    {"Floor", "%r = math.floor %a : f32", [](double a, double) { return std::floor(a); }},
    {"Ceiling", "%r = math.ceil %a : f32", [](double a, double) { return std::ceil(a); }},
    {"RoundEven", "%r = math.roundeven %a : f32",
     [](double a, double) { return std::nearbyint(a); }},
    {"Exponential",
     "%r = math.exp %a : f32",
     [](double a, double) { return exponential(a); },
     {.ofResult = 1.1e-7}},
    {"Logarithm",
     "%r = math.log %a : f32",
     [](double a, double) { return std::log(a); },
     {.ofResult = 3e-7}},
    {"Tanh",
     "%r = math.tanh %a : f32",
     [](double a, double) { return std::tanh(a); },
     {.ofOne = 3e-7}},
    {"Erf",
     "%r = math.erf %a : f32",
     [](double a, double) { return std::erf(a); },
     {.ofOne = 1e-6}},
    {"Silu",
     R"(
    %one = arith.constant 1.0 : f32
    %n = arith.negf %a : f32
    %e = math.exp %n : f32
    %d = arith.addf %e, %one : f32
    %r = arith.divf %a, %d : f32)",
     [](double a, double) { return a / (1 + exponentialInFloat(-a)); },
     {.ofResult = 4e-7}},
    {"GeluTanh",
     R"(
    %c = arith.constant 0.044715 : f32
    %f = arith.constant 0.7978845608028654 : f32
    %q = arith.mulf %a, %a : f32
    %k = arith.mulf %a, %c : f32
    %t = arith.mulf %q, %k : f32
    %u = arith.addf %a, %t : f32
    %v = arith.mulf %u, %f : f32
    %s = math.tanh %v : f32)" GELU_ENDS,
     [](double a, double) {
       return a / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (a + 0.044715 * a * a * a)));
     },
     {.ofOperand = 3e-7}},
    {"Gelu",
     R"(
    %f = arith.constant 0.7071067811865476 : f32
    %v = arith.mulf %a, %f : f32
    %s = math.erf %v : f32)" GELU_ENDS,
     [](double a, double) { return a / 2 * (1 + std::erf(a / std::sqrt(2.0))); },
     {.ofOperand = 1e-6}},
    {"SquaredRelu", R"(
    %zero = arith.constant 0.0 : f32
    %m = arith.maximumf %a, %zero : f32
    %r = arith.mulf %m, %m : f32)",
     [](double a, double) { return maximum(a, 0) * maximum(a, 0); }},
    {"SoftCap",
     R"(
    %i = arith.constant 0.03333333333 : f32
    %cap = arith.constant 30.0 : f32
    %u = arith.mulf %a, %i : f32
    %t = math.tanh %u : f32
    %r = arith.mulf %t, %cap : f32)",
     [](double a, double) { return 30 * std::tanh(a / 30); },
     {.ofOne = 1e-5}},
    {"SigmoidGate",
     R"(
    %one = arith.constant 1.0 : f32
    %n = arith.negf %b : f32
    %e = math.exp %n : f32
    %d = arith.addf %e, %one : f32
    %r = arith.divf %a, %d : f32)",
     [](double a, double b) { return a / (1 + exponentialInFloat(-b)); },
     {.ofResult = 4e-7}},
};

class MapExtremes : public testing::TestWithParam<std::tuple<std::string, Case>> {};

/// Runs %r of every pair: row i holds %a = numbers[i], column j %b = numbers[j].
std::vector<float> runPairs(const std::string &body, const std::string &target) {
  const int n = int(numbers.size());
  const std::string rows = "tensor<?x" + std::to_string(n) + "xf32>";
  TestKernel kernel(
      "tern.kernel @map(%x: " + rows + " {tern.dim = \"T\"}, %y: tensor<" + std::to_string(n) +
          "xf32>) -> " + rows + " {\n  %z = tern.map (%x, %y) : (" + rows + ", tensor<" +
          std::to_string(n) + "xf32>) -> " + rows + " {\n  ^bb0(%a: f32, %b: f32):\n    " + body +
          "\n    tern.yield %r : f32\n  }\n  tern.yield %z : " + rows + "\n}\n",
      target);
  if (!kernel.ready)
    return {};
  std::vector<float> x;
  for (float number : numbers)
    x.insert(x.end(), numbers.size(), number);
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(n);
  fillRows(buffers[0], x, numbers.size());
  fillVector(buffers[1], numbers);
  kernel.run(buffers, n, 0, 7);
  std::vector<float> result;
  for (size_t row = 0; row < numbers.size(); ++row) {
    const float *from = buffers[2].as<float>() + row * padded(numbers.size(), 32);
    result.insert(result.end(), from, from + n);
  }
  return result;
}

/// Of 0 and -0 the minimum and the maximum are either.
bool isZeroOfEitherSign(const Case &c, float a, float b) {
  return (c.definition == maximum || c.definition == minimum) && a == 0 && b == 0 &&
         std::signbit(a) != std::signbit(b);
}

TEST_P(MapExtremes, FollowsIeeeArithmetic) {
  const auto &[target, c] = GetParam();
  const std::vector<float> result = runPairs(c.body, target);
  ASSERT_FALSE(result.empty());
  for (size_t i = 0; i < numbers.size(); ++i)
    for (size_t j = 0; j < numbers.size(); ++j) {
      SCOPED_TRACE("a = " + std::to_string(numbers[i]) + ", b = " + std::to_string(numbers[j]));
      const float got = result[i * numbers.size() + j];
      const double exact = c.definition(numbers[i], numbers[j]);
      const float want = float(exact);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(got)) << got;
      } else if (c.bound.isExact() || std::isinf(want) || exact == 0) {
        ASSERT_EQ(got, want);
        if (c.bound.isExact() && !isZeroOfEitherSign(c, numbers[i], numbers[j]))
          ASSERT_EQ(std::signbit(got), std::signbit(want)) << got;
      } else {
        ASSERT_NEAR(got, exact, c.bound.at(exact, numbers[i]));
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, MapExtremes,
                         testing::Combine(testing::ValuesIn(runnableTargets()),
                                          testing::ValuesIn(cases)),
                         [](const auto &info) {
                           return testName(std::get<0>(info.param)) + "_" +
                                  std::get<1>(info.param).name;
                         });

class MapExponential : public RowKernels {};

// Every 1,024th of the floats from where e^x begins to where it becomes infinite.
TEST_P(MapExponential, EveryNormalResultIsAsExactAsDocumented) {
  TestKernel kernel("tern.kernel @map(%x: tensor<?x4096xf32> {tern.dim = \"T\"}) -> "
                    "tensor<?x4096xf32> {\n  %z = tern.map (%x) : (tensor<?x4096xf32>) -> "
                    "tensor<?x4096xf32> {\n  ^bb0(%a: f32):\n    %r = math.exp %a : f32\n    "
                    "tern.yield %r : f32\n  }\n  tern.yield %z : tensor<?x4096xf32>\n}\n",
                    target());
  ASSERT_TRUE(kernel.ready);
  std::vector<float> x;
  for (uint32_t bits = 0; bits < 0x42b17218; bits += 1024) // ln 2^128
    x.push_back(std::bit_cast<float>(bits));
  for (size_t i = 0, positive = x.size(); i < positive; ++i)
    if (-x[i] > exponentialBegins)
      x.push_back(-x[i]);
  x.resize(padded(x.size(), 4096), 1);
  const size_t rows = x.size() / 4096;
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(rows);
  fillRows(buffers[0], x, 4096);
  kernel.run(buffers, rows, 0, rows);
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(double(x[i]));
    ASSERT_NEAR(buffers[1].as<float>()[i], exact, 1.1e-7 * exact) << "e^" << x[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, MapExponential, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });

class MapComparisons : public RowKernels {
protected:
  /// That the predicate of arith.cmpf holds of just these pairs.
  void expectHolds(const std::string &predicate, const std::function<bool(float, float)> &holds) {
    const std::vector<float> result = runPairs("%one = arith.constant 1.0 : f32\n"
                                               "    %zero = arith.constant 0.0 : f32\n"
                                               "    %c = arith.cmpf " +
                                                   predicate +
                                                   ", %a, %b : f32\n"
                                                   "    %r = arith.select %c, %one, %zero : f32",
                                               target());
    ASSERT_FALSE(result.empty());
    for (size_t i = 0; i < numbers.size(); ++i)
      for (size_t j = 0; j < numbers.size(); ++j)
        ASSERT_EQ(result[i * numbers.size() + j] != 0, holds(numbers[i], numbers[j]))
            << predicate << " of " << numbers[i] << " and " << numbers[j];
  }
};

// Every predicate of arith.cmpf, ordered and unordered.
TEST_P(MapComparisons, ComparisonsWithNaNFollowTheirPredicate) {
  struct Predicate {
    const char *name;
    bool (*holds)(float a, float b);
  };
  const Predicate predicates[] = {
      {"eq", [](float a, float b) { return a == b; }},
      {"gt", [](float a, float b) { return a > b; }},
      {"ge", [](float a, float b) { return a >= b; }},
      {"lt", [](float a, float b) { return a < b; }},
      {"le", [](float a, float b) { return a <= b; }},
      {"ne", [](float a, float b) { return a < b || a > b; }},
  };
  for (const Predicate &predicate : predicates)
    for (bool isOrdered : {true, false})
      expectHolds((isOrdered ? "o" : "u") + std::string(predicate.name), [&](float a, float b) {
        return std::isnan(a) || std::isnan(b) ? !isOrdered : predicate.holds(a, b);
      });
  expectHolds("ord", [](float a, float b) { return !std::isnan(a) && !std::isnan(b); });
  expectHolds("uno", [](float a, float b) { return std::isnan(a) || std::isnan(b); });
  expectHolds("true", [](float, float) { return true; });
  expectHolds("false", [](float, float) { return false; });
}

INSTANTIATE_TEST_SUITE_P(Kernels, MapComparisons, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });

} // namespace
