// Mixtures of experts: routing and sums against naive references, the lists of rows against their
// description in ExpertRows.h, the experts' linear layers against plain ones, bit for bit.
#include "test/unit/kernels/KernelHarness.h"

#include "compiler/Kernels/ExpertRows.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>

using namespace tern;

namespace {

std::vector<float> randomFloats(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float &value : values)
    value = normal(random);
  return values;
}

/// Rows of n values into rows padded to 32; what lies in the padding must not matter.
template <typename T> void fillRows(GuardedBuffer &buffer, const std::vector<T> &values, int n) {
  size_t stride = size_t(n + 31) / 32 * 32;
  for (size_t i = 0; i < values.size(); ++i)
    buffer.as<T>()[i / size_t(n) * stride + i % size_t(n)] = values[i];
}

class Experts : public testing::TestWithParam<std::string> {};

std::string routeText(int experts, int used, bool normalize) {
  std::string logits = "tensor<?x" + std::to_string(experts) + "xf32>";
  std::string ids = "tensor<?x" + std::to_string(used) + "xi32>";
  std::string shares = "tensor<?x" + std::to_string(used) + "xf32>";
  return "tern.kernel @route(%x: " + logits + " {tern.dim = \"T\"}) -> (" + ids + ", " + shares +
         ") {\n  %i, %p = tern.route %x {" + (normalize ? "normalize, " : "") +
         "scale = 2.5 : f32} : " + logits + " -> " + ids + ", " + shares +
         "\n  tern.yield %i, %p : " + ids + ", " + shares + "\n}\n";
}

TEST_P(Experts, RouteChoosesTheMostLikely) {
  struct Shape {
    int experts, used;
    bool normalize;
  };
  for (Shape s :
       {Shape{2, 1, false}, {8, 2, true}, {40, 8, true}, {60, 4, false}, {128, 40, true}}) {
    SCOPED_TRACE(std::to_string(s.experts) + " experts");
    TestKernel kernel(routeText(s.experts, s.used, s.normalize), GetParam());
    if (!kernel.ready)
      return;
    for (int t : {1, 3, 9}) {
      std::vector<float> logits = randomFloats(size_t(t * s.experts), unsigned(t));
      logits[1] = logits[0]; // equal ones: the first comes first
      std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
      fillRows(buffers[0], logits, s.experts);
      kernel.run(buffers, t, 0, t == 9 ? 4 : 0);
      int stride = (s.used + 31) / 32 * 32;
      for (int row = 0; row < t; ++row) {
        const float *l = logits.data() + row * s.experts;
        std::vector<int> order(size_t(s.experts), 0);
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(),
                  [&](int a, int b) { return l[a] > l[b] || (l[a] == l[b] && a < b); });
        double all = 0, chosen = 0;
        for (int i = 0; i < s.experts; ++i) {
          all += std::exp(double(l[order[size_t(i)]]));
          chosen += i < s.used ? std::exp(double(l[order[size_t(i)]])) : 0;
        }
        for (int j = 0; j < s.used; ++j) {
          int expert = order[size_t(j)];
          EXPECT_EQ(buffers[1].as<int32_t>()[row * stride + j], expert) << row << ' ' << j;
          double share = 2.5 * std::exp(double(l[expert])) / (s.normalize ? chosen : all);
          EXPECT_NEAR(buffers[2].as<float>()[row * stride + j], share, 2e-6 * share);
        }
      }
    }
  }
}

// Whatever the logits are, the numbers are those of different experts.
TEST_P(Experts, RouteIsSafeForAnyLogits) {
  TestKernel kernel(routeText(40, 8, true), GetParam());
  if (!kernel.ready)
    return;
  for (float bad : {NAN, -NAN, INFINITY, -INFINITY, 0.0f, -0.0f})
    for (int count : {1, 7, 40}) {
      std::vector<float> logits = randomFloats(40, 5);
      std::fill_n(logits.begin(), count, bad);
      std::vector<GuardedBuffer> buffers = kernel.makeBuffers(1);
      fillRows(buffers[0], logits, 40);
      kernel.run(buffers, 1);
      std::vector<bool> seen(40);
      for (int j = 0; j < 8; ++j) {
        int expert = buffers[1].as<int32_t>()[j];
        ASSERT_TRUE(expert >= 0 && expert < 40) << expert;
        EXPECT_FALSE(seen[size_t(expert)]);
        seen[size_t(expert)] = true;
        if (std::isnan(bad)) {
          EXPECT_TRUE(std::isnan(buffers[2].as<float>()[j])) << j;
        }
      }
    }
}

// Against the softmax in double: NaN of NaN, of +inf and of nothing but -inf, 0 of -inf.
TEST_P(Experts, RouteFollowsTheSoftmaxAtTheExtremes) {
  constexpr int count = 40;
  const float largest = std::numeric_limits<float>::max();
  for (bool normalize : {true, false})
    for (int used : {1, 3, 40}) {
      TestKernel kernel(routeText(count, used, normalize), GetParam());
      ASSERT_TRUE(kernel.ready);
      const std::vector<std::vector<float>> rows = {
          std::vector<float>(count, largest),
          std::vector<float>(count, -largest),
          std::vector<float>(count, -INFINITY),
          std::vector<float>(count, 1e-42f),
          {largest, -largest, largest, 0},
          {-INFINITY, 1, -INFINITY, 2},
          {INFINITY, 1, 2},
          {1, NAN, 2},
          {1, 2, -NAN},
          {-1e-45f, 1e-45f, -100, 87.5f},
      };
      std::vector<float> logits;
      for (std::vector<float> row : rows) {
        row.resize(count, row.size() == count ? 0 : -1);
        logits.insert(logits.end(), row.begin(), row.end());
      }
      const int t = int(rows.size());
      std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
      fillRows(buffers[0], logits, count);
      kernel.run(buffers, t, 0, 3);
      const int stride = (used + 31) / 32 * 32;
      for (int row = 0; row < t; ++row) {
        const float *l = logits.data() + row * count;
        const int32_t *ids = buffers[1].as<int32_t>() + row * stride;
        const float *shares = buffers[2].as<float>() + row * stride;
        double peak = -INFINITY, all = 0, chosen = 0;
        for (int i = 0; i < count; ++i)
          peak = std::isnan(l[i]) || std::isnan(peak) ? NAN : std::max(peak, double(l[i]));
        for (int i = 0; i < count; ++i)
          all += std::exp(l[i] - peak);
        for (int j = 0; j < used; ++j)
          chosen += std::exp(l[ids[j]] - peak);
        if (std::isnan(all)) // also where the NaN was not chosen
          chosen = NAN;
        std::vector<bool> seen(count);
        for (int j = 0; j < used; ++j) {
          SCOPED_TRACE("row " + std::to_string(row) + ", rank " + std::to_string(j));
          ASSERT_TRUE(ids[j] >= 0 && ids[j] < count && !seen[size_t(ids[j])]) << ids[j];
          seen[size_t(ids[j])] = true;
          const double want = 2.5 * std::exp(l[ids[j]] - peak) / (normalize ? chosen : all);
          if (std::isnan(want))
            ASSERT_TRUE(std::isnan(shares[j])) << shares[j];
          else
            ASSERT_NEAR(shares[j], want, 2e-6 * want + 1e-37);
        }
      }
    }
}

enum class Routing { Random, SameExperts, InTurn };

/// Different experts for each of t rows.
std::vector<int32_t> makeIds(Routing routing, int t, int experts, int used, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids;
  for (int row = 0; row < t; ++row) {
    std::vector<int32_t> order(size_t(experts), 0);
    std::iota(order.begin(), order.end(), routing == Routing::InTurn ? row * used : 0);
    for (int32_t &expert : order)
      expert %= experts;
    if (routing == Routing::Random)
      std::shuffle(order.begin(), order.end(), random);
    ids.insert(ids.end(), order.begin(), order.begin() + used);
  }
  return ids;
}

std::string rowsType(int experts, int used) {
  return "tensor<?xi32, #tern.expert_rows<experts = " + std::to_string(experts) +
         ", used = " + std::to_string(used) + ">>";
}

std::string expertRowsText(int experts, int used) {
  std::string ids = "tensor<?x" + std::to_string(used) + "xi32>", rows = rowsType(experts, used);
  return "tern.kernel @rows(%i: " + ids + " {tern.dim = \"T\"}) -> " + rows +
         " {\n  %r = tern.expert_rows %i : " + ids + " -> " + rows + "\n  tern.yield %r : " + rows +
         "\n}\n";
}

/// Every pair stands once in an item of its expert, of the size that its number of pairs asks for;
/// what fills an item up repeats its first pair.
void checkLists(const int32_t *lists, const std::vector<int32_t> &ids, int experts, int used) {
  ExpertRowsLayout layout{unsigned(experts), unsigned(used)};
  int pairs = int(ids.size());
  std::vector<int> seen(ids.size()), ofExpert(size_t(experts), 0);
  for (int32_t id : ids)
    ++ofExpert[size_t(id)];
  for (unsigned c = 0; c < ExpertRowsLayout::classes; ++c) {
    int block = ExpertRowsLayout::blockOf[c], items = lists[c];
    const int32_t *list = lists + layout.head() + pairs * ExpertRowsLayout::pairsAt[c];
    const int32_t *expertOf = lists + layout.head() + pairs * ExpertRowsLayout::expertsAt[c];
    ASSERT_TRUE(items >= 0 && items <= pairs) << "class " << c;
    for (int item = 0; item < items; ++item) {
      int first = list[item * block], count = 0;
      ASSERT_TRUE(expertOf[item] >= 0 && expertOf[item] < experts);
      for (int i = 0; i < block; ++i) {
        int pair = list[item * block + i];
        ASSERT_TRUE(pair >= 0 && pair < pairs) << "class " << c << " item " << item;
        EXPECT_EQ(ids[size_t(pair)], expertOf[item]);
        if (i > 0 && pair == first)
          continue;
        ++seen[size_t(pair)];
        ++count;
      }
      int rest = ofExpert[size_t(expertOf[item])] % 8;
      EXPECT_TRUE(count == 8 || count == rest) << count << " of " << rest;
      EXPECT_EQ(block, count > 4 ? 8 : count > 1 ? 4 : 1);
    }
  }
  EXPECT_EQ(seen, std::vector<int>(ids.size(), 1));
}

TEST_P(Experts, ListsHoldEveryPairOnce) {
  struct Shape {
    int experts, used;
  };
  for (Shape s : {Shape{1, 1}, {4, 4}, {8, 2}, {12, 5}, {128, 8}}) {
    TestKernel kernel(expertRowsText(s.experts, s.used), GetParam());
    if (!kernel.ready)
      return;
    for (Routing routing : {Routing::Random, Routing::SameExperts, Routing::InTurn})
      for (int t : {1, 2, 3, 4, 5, 8, 9, 13, 64, 200}) {
        SCOPED_TRACE(std::to_string(s.experts) + " experts, routing " +
                     std::to_string(int(routing)) + ", T = " + std::to_string(t));
        std::vector<int32_t> ids = makeIds(routing, t, s.experts, s.used, unsigned(t));
        std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
        fillRows(buffers[0], ids, s.used);
        kernel.run(buffers, t);
        checkLists(buffers[1].as<int32_t>(), ids, s.experts, s.used);
      }
  }
}

/// What no list holds.
constexpr int32_t strange[] = {-1, std::numeric_limits<int32_t>::min(), 1 << 20,
                               std::numeric_limits<int32_t>::max()};

// A plan may pass other numbers than those of `route`.
TEST_P(Experts, NumbersOfNoExpertCountAsTheNearest) {
  TestKernel kernel(expertRowsText(5, 2), GetParam());
  ASSERT_TRUE(kernel.ready);
  const int t = 6;
  std::vector<int32_t> ids, nearest;
  for (int pair = 0; pair < 2 * t; ++pair) {
    ids.push_back(pair % 3 == 2 ? pair % 5 : pair % 3 == 1 ? 5 : strange[pair / 3]);
    nearest.push_back(std::clamp(ids.back(), 0, 4));
  }
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
  fillRows(buffers[0], ids, 2);
  kernel.run(buffers, t);
  checkLists(buffers[1].as<int32_t>(), nearest, 5, 2);
}

/// A layer of experts, or with experts = 1 and no lists one expert's plain layer.
struct Layer {
  std::string name, encoding, activation; ///< activation: as in #tern.act, empty: plain f32
  int k, parts = 1;
  bool paired = false;
};

constexpr int experts = 5, used = 2, outputs = 64;

std::string linearText(const Layer &l, bool withLists) {
  std::string n = std::to_string(outputs), k = std::to_string(l.k), p = std::to_string(l.parts);
  std::string held = std::to_string(outputs * (withLists ? experts : 1));
  std::string weight = "tensor<" + (l.parts > 1 ? p + "x" : "") + held + "x" + k +
                       "xf32, #tern.enc<" + l.encoding + ", layout = \"rows32\">>";
  std::string x = "tensor<?x" + k + "xf32" +
                  (l.activation.empty() ? "" : ", #tern.act<" + l.activation + ">") + ">";
  std::string out = "tensor<?x" + n + "xf32>";
  std::string y = l.parts > 1 ? "tensor<?x" + p + "x" + n + "xf32>" : out;
  std::string dim = withLists && l.paired ? std::to_string(used) + "T" : "T";
  std::string text =
      "tern.kernel @linear(%x: " + x + " {tern.dim = \"" + dim + "\"}, %w: " + weight;
  std::string lists = rowsType(experts, used);
  if (withLists)
    text += ", %r: " + lists + " {tern.dim = \"T\"}";
  text += ") -> " + out + " {\n  %y = tern.linear %x, %w " + (withLists ? "experts %r " : "") +
          (withLists && l.paired ? "paired " : "") + ": " + x + ", " + weight +
          (withLists ? " experts " + lists : "") + " -> " + y + "\n";
  if (l.parts == 1)
    return text + "  tern.yield %y : " + out + "\n}\n";
  for (int part : {0, 1})
    text += "  %s" + std::to_string(part) + " = tern.slice %y dim 1 from " + std::to_string(part) +
            " length 1 drop : " + y + " -> " + out + "\n";
  return text + "  %z = tern.map (%s0, %s1) : (" + out + ", " + out + ") -> " + out +
         " {\n  ^bb0(%a: f32, %c: f32):\n    %m = arith.mulf %a, %c : f32\n"
         "    tern.yield %m : f32\n  }\n  tern.yield %z : " +
         out + "\n}\n";
}

/// Any bytes, but none that make a scale infinite or NaN.
void fillRandom(GuardedBuffer &buffer, unsigned seed) {
  std::mt19937 random(seed);
  for (size_t i = 0; i < buffer.size(); ++i)
    buffer.data()[i] = uint8_t(random()) & 0xFB;
}

TEST_P(Experts, LinearEqualsThatOfEachExpert) {
  std::string k32 = "group = 32, scale = f16";
  std::string super = ", super = 256, super_scale = f16";
  for (const Layer &l : {
           Layer{"f16", "f16", "", 96},
           Layer{"ternary of a row", "ternary, group = 256, scale = f16", "group = row, sums = 256",
                 512, 1, true},
           Layer{"ternary-b3", "ternary-b3, group = 256, scale = f16", "group = 256, sums = 256",
                 256, 2},
           Layer{"int4", "int4, " + k32, "group = 32, sums = 32", 96, 2},
           Layer{"int8", "int8, " + k32, "group = 32", 64, 1, true},
           Layer{"q4_k", "uint4, group = 32, scale = u6, min" + super, "group = 256, sums = 16",
                 256, 2},
       }) {
    SCOPED_TRACE(l.name);
    TestKernel mixture(linearText(l, true), GetParam()), plain(linearText(l, false), GetParam());
    TestKernel lists(expertRowsText(experts, used), GetParam());
    if (!mixture.ready || !plain.ready || !lists.ready)
      return;
    for (Routing routing : {Routing::Random, Routing::SameExperts})
      for (int t : {1, 2, 3, 7, 20}) {
        SCOPED_TRACE("T = " + std::to_string(t));
        int rows = l.paired ? t * used : t;
        std::vector<int32_t> ids = makeIds(routing, t, experts, used, unsigned(t));
        std::vector<GuardedBuffer> listBuffers = lists.makeBuffers(t);
        fillRows(listBuffers[0], ids, used);
        lists.run(listBuffers, t);
        std::vector<GuardedBuffer> all = mixture.makeBuffers(t);
        size_t inputs = l.activation.empty() ? 1 : all.size() - 3; // weight, lists, result behind
        for (size_t i = 0; i < inputs; ++i)
          fillRandom(all[i], unsigned(i));
        if (inputs > 1) { // codes of -128 do not occur; sums are those of the codes
          for (size_t i = 0; i < all[0].size(); ++i)
            all[0].data()[i] = uint8_t(all[0].as<int8_t>()[i] / 2);
          for (size_t i = 0; inputs == 3 && i < all[2].size() / 4; ++i)
            all[2].as<int32_t>()[i] %= 2048;
        } else {
          std::vector<float> x = randomFloats(all[0].size() / 4, 3);
          all[0].fill(x);
        }
        fillRandom(all[inputs], 77);
        memcpy(all[inputs + 1].data(), listBuffers[1].data(), listBuffers[1].size());
        mixture.run(all, t, 0, t == 7 ? 1 : 0);
        size_t expertBytes = all[inputs].size() / experts;
        for (int expert = 0; expert < experts; ++expert) {
          std::vector<GuardedBuffer> one = plain.makeBuffers(rows);
          for (size_t i = 0; i < inputs; ++i)
            memcpy(one[i].data(), all[i].data(), one[i].size());
          ASSERT_EQ(one[inputs].size(), expertBytes);
          memcpy(one[inputs].data(), all[inputs].data() + size_t(expert) * expertBytes,
                 expertBytes);
          plain.run(one, rows);
          for (size_t pair = 0; pair < ids.size(); ++pair)
            if (ids[pair] == expert)
              ASSERT_EQ(memcmp(all.back().as<float>() + pair * outputs,
                               one.back().as<float>() + (l.paired ? pair : pair / used) * outputs,
                               outputs * 4),
                        0)
                  << "pair " << pair << " of expert " << expert;
        }
      }
  }
}

// Rows, experts and numbers of items from outside of all bounds: nothing else is read or written.
TEST_P(Experts, LinearStaysWithinItsBuffersWhateverTheListsHold) {
  for (bool paired : {false, true}) {
    TestKernel kernel(linearText(Layer{"f16", "f16", "", 96, 1, paired}, true), GetParam());
    ASSERT_TRUE(kernel.ready);
    for (int32_t items : {1, 1 << 20, std::numeric_limits<int32_t>::max(), -1})
      for (int32_t number : strange) {
        SCOPED_TRACE(std::to_string(items) + " items of " + std::to_string(number));
        const int t = 9;
        std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
        buffers[0].fill(randomFloats(buffers[0].size() / 4, 3));
        fillRandom(buffers[1], 77);
        std::vector<int32_t> lists(buffers[2].size() / 4, number);
        std::fill_n(lists.begin(), 16, items);
        buffers[2].fill(lists);
        kernel.run(buffers, t);
        if (items > 0) // the nearest pair is computed
          EXPECT_NE(buffers[3].as<uint32_t>()[number < 0 ? 0 : (t * used - 1) * outputs],
                    0xA5A5A5A5u);
      }
  }
}

TEST_P(Experts, CombineAddsInOrder) {
  TestKernel kernel(R"(
tern.kernel @combine(%x: tensor<?x40xf32> {tern.dim = "3T"}, %p: tensor<?x3xf32> {tern.dim = "T"}) -> tensor<?x40xf32> {
  %y = tern.combine %x, %p : tensor<?x40xf32>, tensor<?x3xf32> -> tensor<?x40xf32>
  tern.yield %y : tensor<?x40xf32>
})",
                    GetParam());
  if (!kernel.ready)
    return;
  for (int t : {1, 2, 9}) {
    std::vector<float> x = randomFloats(size_t(t) * 3 * 40, 1), p = randomFloats(size_t(t) * 3, 2);
    std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
    fillRows(buffers[0], x, 40);
    fillRows(buffers[1], p, 3);
    kernel.run(buffers, t, 0, t == 9 ? 2 : 0);
    for (int row = 0; row < t; ++row)
      for (int n = 0; n < 40; ++n) {
        auto term = [&](int j) {
          return p[size_t(row * 3 + j)] * x[size_t((row * 3 + j) * 40 + n)];
        };
        float want = term(0) + term(1);
        want = want + term(2);
        EXPECT_EQ(buffers[2].as<float>()[row * 64 + n], want) << row << ' ' << n;
      }
  }
}

TEST_P(Experts, CombineFollowsIeeeArithmetic) {
  TestKernel kernel(R"(
tern.kernel @combine(%x: tensor<?x40xf32> {tern.dim = "2T"}, %p: tensor<?x2xf32> {tern.dim = "T"}) -> tensor<?x40xf32> {
  %y = tern.combine %x, %p : tensor<?x40xf32>, tensor<?x2xf32> -> tensor<?x40xf32>
  tern.yield %y : tensor<?x40xf32>
})",
                    GetParam());
  ASSERT_TRUE(kernel.ready);
  const float largest = std::numeric_limits<float>::max();
  const float numbers[] = {0, -0.0f, 1e-45f, 1, -1, largest, -largest, INFINITY, -INFINITY, NAN};
  const int count = int(std::size(numbers)), t = count * count; // every pair of weights
  std::vector<float> x(size_t(t) * 2 * 40), p;
  for (int row = 0; row < t; ++row) {
    p.insert(p.end(), {numbers[row / count], numbers[row % count]});
    for (int n = 0; n < 40; ++n) {
      x[size_t(2 * row * 40 + n)] = numbers[n % count];
      x[size_t((2 * row + 1) * 40 + n)] = numbers[n / 4];
    }
  }
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(t);
  fillRows(buffers[0], x, 40);
  fillRows(buffers[1], p, 2);
  kernel.run(buffers, t, 0, 7);
  for (int row = 0; row < t; ++row)
    for (int n = 0; n < 40; ++n) {
      const float a = p[size_t(2 * row)] * x[size_t(2 * row * 40 + n)];
      const float b = p[size_t(2 * row + 1)] * x[size_t((2 * row + 1) * 40 + n)];
      const float want = a + b, got = buffers[2].as<float>()[row * 64 + n];
      EXPECT_TRUE(std::isnan(want) ? std::isnan(got) : got == want)
          << got << " for " << a << " + " << b;
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Experts, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) { return testName(info.param); });

} // namespace
