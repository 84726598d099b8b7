// Rotary embedding fused with the store of keys and values, against a naive reference in double.
#include "test/unit/kernels/AttentionCache.h"
#include "gtest/gtest.h"
#include <cmath>
#include <cstring>

using namespace tern;

namespace {

struct Rotation {
  int frequencies; ///< M: the first 2 M elements of a head are rotated
  bool adjacent;
  int normGroup = 0; ///< query and key are normalised before, so many elements together; 0: not
};

constexpr double normEpsilon = 1e-5;

/// Slices of a fused projection, rotations, and the store: what form-kernels makes of a layer.
std::string storeText(const Geometry &g, const Rotation &r, int tableRows) {
  int q = g.heads * g.headSize, k = g.keyHeads * g.headSize, v = g.keyHeads * g.valueSize;
  std::string qkv = tensor(q + k + v), rows = "tensor<?xi32>", dim = " {tern.dim = \"T\"}";
  std::string table =
      "tensor<" + std::to_string(tableRows) + "x" + std::to_string(r.frequencies) + "x2xf32>";
  auto slice = [&](const char *name, int offset, int length) {
    return std::string("  %") + name + " = tern.slice %qkv dim 1 from " + std::to_string(offset) +
           " length " + std::to_string(length) + " : " + qkv + " -> " + tensor(length) + "\n";
  };
  auto rope = [&](const char *name, const char *x, int length) {
    return std::string("  %") + name + " = tern.rope %" + x +
           ", %p, %t {head_size = " + std::to_string(g.headSize) + " : i32" +
           (r.adjacent ? ", adjacent" : "") + "} : " + tensor(length) + ", " + rows + ", " + table +
           " -> " + tensor(length) + "\n";
  };
  std::string weight = "tensor<" + std::to_string(r.normGroup) + "xf32>";
  auto norm = [&](const char *name, const char *x, int length) {
    return std::string("  %") + name + " = tern.rms_norm %" + x + ", %w" + x +
           " {epsilon = 1.0e-5 : f32, group = " + std::to_string(r.normGroup) +
           " : i64} : " + tensor(length) + ", " + weight + " -> " + tensor(length) + "\n";
  };
  bool normed = r.normGroup != 0;
  return "tern.kernel @store(%qkv: " + qkv + dim + ", %t: " + table + ", %c: " + g.kv() +
         ", %p: " + rows + dim + ", %s: " + rows + dim +
         (normed ? ", %wq: " + weight + ", %wk: " + weight : "") + ") -> (" + tensor(q) + ", " +
         g.kv() + ") {\n" + slice("q", 0, q) + slice("k", q, k) + slice("v", q + k, v) +
         (normed ? norm("nq", "q", q) + norm("nk", "k", k) : "") +
         rope("rq", normed ? "nq" : "q", q) + rope("rk", normed ? "nk" : "k", k) +
         "  %n = tern.kv_store %c, %rk, %v, %p, %s : " + g.kv() + ", " + tensor(k) + ", " +
         tensor(v) + ", " + rows + ", " + rows + "\n  tern.yield %rq, %n : " + tensor(q) + ", " +
         g.kv() + "\n}\n";
}

double frequency(int m) { return std::pow(10000.0, -m / 32.0); }

/// 256 rows of the angles p, then rows of the angles 256 p (tern.rope_table).
std::vector<float> ropeTable(int rows, int frequencies) {
  std::vector<float> table;
  for (int r = 0; r < rows; ++r)
    for (int m = 0; m < frequencies; ++m) {
      double angle = (r < 256 ? r : 256.0 * (r - 256)) * frequency(m);
      table.push_back(float(std::cos(angle)));
      table.push_back(float(std::sin(angle)));
    }
  return table;
}

std::vector<double> normalized(const float *x, int size, int group, const float *weight) {
  std::vector<double> result(x, x + size);
  for (int first = 0; group && first < size; first += group) {
    double sum = 0;
    for (int i = first; i < first + group; ++i)
      sum += result[i] * result[i];
    for (int i = first; i < first + group; ++i)
      result[i] *= weight[i - first] / std::sqrt(sum / group + normEpsilon);
  }
  return result;
}

std::vector<double> rotate(std::vector<double> x, int heads, int headSize, const Rotation &r,
                           int position) {
  std::vector<double> result = x;
  for (int h = 0; h < heads; ++h)
    for (int m = 0; m < r.frequencies; ++m) {
      int first = h * headSize + (r.adjacent ? 2 * m : m);
      int second = r.adjacent ? first + 1 : first + r.frequencies;
      double angle = position * frequency(m), cosine = std::cos(angle), sine = std::sin(angle);
      result[first] = x[first] * cosine - x[second] * sine;
      result[second] = x[second] * cosine + x[first] * sine;
    }
  return result;
}

struct Row {
  int slot, position;
};

class AttentionStore : public testing::TestWithParam<std::string> {};

// In three calls of tasks, so that no row is stored by the wrong one.
void compareWithReference(const Geometry &g, const Rotation &r, const std::string &target) {
  SCOPED_TRACE(g.kv() + " heads " + std::to_string(g.heads) + " frequencies " +
               std::to_string(r.frequencies) + (r.adjacent ? " adjacent" : ""));
  const int tableRows = 256 + 8;
  TestKernel kernel(storeText(g, r, tableRows), target);
  ASSERT_TRUE(kernel.ready);
  std::mt19937 random(5);
  Cache cache(g, 3, 2048, random);
  std::vector<Row> rows = {{1, 0}, {1, 1}, {0, 63}, {0, 64}, {2, 511}, {2, 512}, {1, 1300}};
  int q = g.heads * g.headSize, k = g.keyHeads * g.headSize, v = g.keyHeads * g.valueSize;
  int stride = padded(q + k + v), t = int(rows.size());
  for (Row row : rows)
    cache.block(row.slot, row.position);

  std::vector<GuardedBuffer> buffers;
  buffers.emplace_back(size_t(t) * stride * 4);
  std::normal_distribution<float> normal;
  for (int i = 0; i < t * stride; ++i)
    buffers[0].as<float>()[i] = normal(random);
  std::vector<float> table = ropeTable(tableRows, r.frequencies);
  buffers.emplace_back(table.size() * 4);
  buffers[1].fill(table);
  buffers.push_back(std::move(cache.keys));
  buffers.push_back(std::move(cache.values));
  buffers.push_back(std::move(cache.table));
  buffers.emplace_back(size_t(t) * 4);
  buffers.emplace_back(size_t(t) * 4);
  for (int i = 0; i < t; ++i) {
    buffers[5].as<int32_t>()[i] = rows[i].position;
    buffers[6].as<int32_t>()[i] = rows[i].slot;
  }
  std::vector<float> weights[2];
  if (r.normGroup)
    for (std::vector<float> &weight : weights) {
      for (int n = 0; n < padded(r.normGroup); ++n)
        weight.push_back(normal(random));
      buffers.emplace_back(weight.size() * 4);
      buffers.back().fill(weight);
    }
  const size_t result = buffers.size();
  buffers.emplace_back(size_t(t) * padded(q) * 4);
  kernel.blocksPerSlot = cache.blocksPerSlot;
  kernel.run(buffers, t, 0, 3);
  cache.keys = std::move(buffers[2]);
  cache.values = std::move(buffers[3]);
  cache.table = std::move(buffers[4]);

  // Half a code's step under the nearest f16 scale, which may be too small for the peak.
  auto codeError = [&](_Float16 scale) { return g.element == q8 ? 0.57 * double(scale) : 0; };
  double rounding = g.element == f16 ? 0x1p-11 : 0x1p-24;
  for (int i = 0; i < t; ++i) {
    const float *x = buffers[0].as<float>() + size_t(i) * stride;
    auto near = [&](double actual, double expected, double absolute, double relative,
                    const char *what, int element) {
      ASSERT_NEAR(actual, expected, 2e-6 + absolute + relative * std::abs(expected))
          << what << " of row " << i << ", element " << element;
    };
    std::vector<double> query = rotate(normalized(x, q, r.normGroup, weights[0].data()), g.heads,
                                       g.headSize, r, rows[i].position);
    for (int n = 0; n < q; ++n)
      near(buffers[result].as<float>()[size_t(i) * padded(q) + n], query[n], 0, 0, "query", n);
    std::vector<double> expected = rotate(normalized(x + q, k, r.normGroup, weights[1].data()),
                                          g.keyHeads, g.headSize, r, rows[i].position);
    auto [slot, position] = rows[i];
    for (int h = 0; h < g.keyHeads; ++h) {
      std::vector<float> key = cache.key(slot, position, h), value = cache.value(slot, position, h);
      double keyError = codeError(cache.keyScale(slot, position, h));
      double valueError = codeError(cache.valueScale(slot, position, h));
      for (int d = 0; d < g.headSize; ++d)
        near(key[d], expected[h * g.headSize + d], keyError, rounding, "key", d);
      for (int d = 0; d < g.valueSize; ++d)
        near(value[d], x[q + k + h * g.valueSize + d], valueError, rounding, "value", d);
      cache.forget(slot, position, h);
    }
  }
  EXPECT_TRUE(cache.isUntouched());
}

/// Keys and values as they come, into a cache of codes.
std::string plainStoreText(const Geometry &g) {
  std::string rows = "tensor<?xi32>", dim = " {tern.dim = \"T\"}";
  std::string k = tensor(g.keyHeads * g.headSize), v = tensor(g.keyHeads * g.valueSize);
  return "tern.kernel @store(%k: " + k + dim + ", %v: " + v + dim + ", %c: " + g.kv() +
         ", %p: " + rows + dim + ", %s: " + rows + dim + ") -> " + g.kv() +
         " {\n  %n = tern.kv_store %c, %k, %v, %p, %s : " + g.kv() + ", " + k + ", " + v + ", " +
         rows + ", " + rows + "\n  tern.yield %n : " + g.kv() + "\n}\n";
}

/// A head's numbers: usual ones, and those on which codes could go wrong.
std::vector<float> numbersOf(int kind, int size, std::mt19937 &random) {
  const float scales[] = {1, 1e-30f, 1e-4f, 3e-6f, 1000, 8e6f, 9e6f, 1e38f};
  std::normal_distribution<float> normal;
  std::vector<float> numbers(size);
  for (float &x : numbers)
    x = kind == 0 ? 0 : scales[kind % std::size(scales)] * normal(random);
  if (kind == 9) // codes that lie between two numbers
    for (int d = 0; d < size; ++d)
      numbers[d] = d == 0 ? 127 : float(d % 200) - 99.5f;
  // Of one magnitude and alternating sign: the largest; a denormal; what makes the largest scale
  // that f16 has, and the smallest that it has not.
  const float magnitudes[] = {std::numeric_limits<float>::max(), 1e-41f, 127 * 65504.0f,
                              127 * 65520.0f};
  if (kind >= 14)
    for (int d = 0; d < size; ++d)
      numbers[d] = d % 2 ? -magnitudes[kind - 14] : magnitudes[kind - 14];
  else if (kind >= 10)
    numbers[random() % size] = kind == 10   ? NAN
                               : kind == 11 ? -NAN
                               : kind == 12 ? INFINITY
                                            : -INFINITY;
  return numbers;
}

} // namespace

TEST_P(AttentionStore, RotatesAndStores) {
  for (bool adjacent : {true, false})
    for (CacheElement element : {f16, f32, q8}) {
      compareWithReference({4, 2, 64, 64, element}, {32, adjacent}, GetParam());
      compareWithReference({4, 2, 16, 16, element}, {8, adjacent}, GetParam());
      compareWithReference({3, 1, 128, 128, element}, {64, adjacent}, GetParam());
      compareWithReference({3, 1, 80, 80, element}, {40, adjacent}, GetParam());
    }
}

TEST_P(AttentionStore, RotatesPartOfAHead) {
  for (bool adjacent : {true, false}) {
    compareWithReference({2, 1, 64, 64, f16}, {16, adjacent}, GetParam());
    compareWithReference({2, 2, 128, 64, f32}, {32, adjacent}, GetParam());
    compareWithReference({2, 1, 20, 12, f16}, {6, adjacent}, GetParam());
  }
}

// Heads (or, where they are all of a row, projections) of every alignment to the 32 lanes of a
// tile.
TEST_P(AttentionStore, NormalizesRotatesAndStores) {
  for (bool adjacent : {true, false}) {
    compareWithReference({4, 2, 64, 64, f16}, {32, adjacent, 64}, GetParam());
    compareWithReference({6, 2, 24, 24, f32}, {12, adjacent, 24}, GetParam());
    compareWithReference({3, 1, 80, 80, f16}, {40, adjacent, 80}, GetParam());
    compareWithReference({2, 2, 20, 12, f32}, {6, adjacent, 40}, GetParam());
    compareWithReference({4, 2, 64, 64, q8}, {32, adjacent, 64}, GetParam());
    compareWithReference({2, 2, 20, 12, q8}, {6, adjacent, 40}, GetParam());
  }
}

// Bit for bit, whatever the numbers.
TEST_P(AttentionStore, CodesAndScalesAreThoseOfAScalarReference) {
  for (const Geometry &g :
       {Geometry{2, 2, 64, 64, q8}, Geometry{1, 1, 20, 12, q8}, Geometry{3, 3, 7, 5, q8}}) {
    SCOPED_TRACE(g.kv());
    TestKernel kernel(plainStoreText(g), GetParam());
    ASSERT_TRUE(kernel.ready);
    std::mt19937 random(9);
    Cache cache(g, 2, 256, random);
    const int t = 28, first = 50; // beyond a cache block
    auto kindOf = [](int row, int head) { return (row + 5 * head) % 18; };
    std::vector<float> keys[t][3], values[t][3];
    int keyStride = padded(g.keyHeads * g.headSize), valueStride = padded(g.keyHeads * g.valueSize);
    std::vector<GuardedBuffer> buffers;
    buffers.emplace_back(size_t(t) * keyStride * 4);
    buffers.emplace_back(size_t(t) * valueStride * 4);
    for (int i = 0; i < t; ++i) {
      cache.block(1, first + i);
      for (int h = 0; h < g.keyHeads; ++h) {
        keys[i][h] = numbersOf(kindOf(i, h), g.headSize, random);
        values[i][h] = numbersOf(kindOf(i, h), g.valueSize, random);
        memcpy(buffers[0].as<float>() + i * keyStride + h * g.headSize, keys[i][h].data(),
               size_t(g.headSize) * 4);
        memcpy(buffers[1].as<float>() + i * valueStride + h * g.valueSize, values[i][h].data(),
               size_t(g.valueSize) * 4);
      }
    }
    buffers.push_back(std::move(cache.keys));
    buffers.push_back(std::move(cache.values));
    buffers.push_back(std::move(cache.table));
    buffers.emplace_back(size_t(t) * 4);
    buffers.emplace_back(size_t(t) * 4);
    for (int i = 0; i < t; ++i) {
      buffers[5].as<int32_t>()[i] = first + i;
      buffers[6].as<int32_t>()[i] = 1;
    }
    kernel.blocksPerSlot = cache.blocksPerSlot;
    kernel.run(buffers, t, 0, 5);
    cache.keys = std::move(buffers[2]);
    cache.values = std::move(buffers[3]);
    cache.table = std::move(buffers[4]);

    auto compare = [](const std::vector<float> &numbers, _Float16 scale,
                      const std::vector<int8_t> &codes) {
      _Float16 expected = scaleOf(numbers);
      if (std::isnan(float(expected)))
        EXPECT_TRUE(std::isnan(float(scale))) << float(scale);
      else
        EXPECT_EQ(float(scale), float(expected));
      for (size_t d = 0; d < numbers.size(); ++d)
        EXPECT_EQ(codes[d], codeOf(numbers[d], expected)) << numbers[d] << " / " << float(expected);
    };
    for (int i = 0; i < t; ++i)
      for (int h = 0; h < g.keyHeads; ++h) {
        SCOPED_TRACE("row " + std::to_string(i) + ", head " + std::to_string(h) + ", kind " +
                     std::to_string(kindOf(i, h)));
        compare(keys[i][h], cache.keyScale(1, first + i, h), cache.keyCodes(1, first + i, h));
        compare(values[i][h], cache.valueScale(1, first + i, h), cache.valueCodes(1, first + i, h));
        cache.forget(1, first + i, h);
      }
    EXPECT_TRUE(cache.isUntouched());
  }
}

// What is no finite number, or none in f16, with and without instructions for the conversion.
TEST_P(AttentionStore, FloatsAreRoundedAsTheCpuDoes) {
  const std::vector<float> numbers = {NAN,    -NAN,    INFINITY, -INFINITY, 65504, 65519,
                                      65520,  -1e38f,  0,        -0.0f,     6e-8f, 2.9e-8f,
                                      -1e-6f, 0x1p-14, 1e-40f,   0.1f};
  for (CacheElement element : {f16, f32}) {
    const int size = int(numbers.size());
    Geometry g{1, 1, size, size, element};
    SCOPED_TRACE(g.kv());
    TestKernel kernel(plainStoreText(g), GetParam());
    ASSERT_TRUE(kernel.ready);
    std::mt19937 random(10);
    Cache cache(g, 1, 64, random);
    cache.block(0, 3);
    std::vector<GuardedBuffer> buffers;
    for (int i = 0; i < 2; ++i) {
      buffers.emplace_back(size_t(padded(size)) * 4);
      memcpy(buffers[size_t(i)].data(), numbers.data(), numbers.size() * 4);
    }
    buffers.push_back(std::move(cache.keys));
    buffers.push_back(std::move(cache.values));
    buffers.push_back(std::move(cache.table));
    buffers.emplace_back(4);
    buffers.emplace_back(4);
    buffers[5].as<int32_t>()[0] = 3;
    buffers[6].as<int32_t>()[0] = 0;
    kernel.blocksPerSlot = cache.blocksPerSlot;
    kernel.run(buffers, 1);
    cache.keys = std::move(buffers[2]);
    cache.values = std::move(buffers[3]);
    cache.table = std::move(buffers[4]);
    for (const std::vector<float> &stored : {cache.key(0, 3, 0), cache.value(0, 3, 0)})
      for (size_t i = 0; i < numbers.size(); ++i) {
        float expected = element == f16 ? float(_Float16(numbers[i])) : numbers[i];
        if (std::isnan(expected))
          EXPECT_TRUE(std::isnan(stored[i])) << stored[i];
        else
          EXPECT_EQ(std::signbit(stored[i]), std::signbit(expected)) << numbers[i];
        if (!std::isnan(expected))
          EXPECT_EQ(stored[i], expected) << numbers[i];
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, AttentionStore, testing::ValuesIn(runnableTargets()),
                         [](const auto &info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });
