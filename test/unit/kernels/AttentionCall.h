// Calls of an attention kernel on a cache of a test, and a naive reference in double.
#ifndef TERN_TEST_UNIT_KERNELS_ATTENTIONCALL_H
#define TERN_TEST_UNIT_KERNELS_ATTENTIONCALL_H

#include "test/unit/kernels/AttentionCache.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace tern {

/// What happens to scores before the softmax; 0: nothing.
struct ScoreChange {
  float softCap = 0, alibi = 0;
};

inline std::string attentionText(const Geometry &g, float scale, const ScoreChange &change) {
  auto number = [](float value) {
    char text[32];
    snprintf(text, sizeof text, "%.9e", double(value));
    return std::string(text);
  };
  std::string rows = "tensor<?xi32>", query = tensor(g.heads * g.headSize),
              result = tensor(g.heads * g.valueSize), attributes;
  if (change.softCap)
    attributes += ", soft_cap = " + number(change.softCap) + " : f32";
  if (change.alibi)
    attributes += ", alibi = " + number(change.alibi) + " : f32";
  return "tern.kernel @attention(%q: " + query + " {tern.dim = \"T\"}, %c: " + g.kv() +
         ", %p: " + rows + " {tern.dim = \"T\"}, %s: " + rows + " {tern.dim = \"T\"}) -> " +
         result + " {\n  %a = tern.attention %q, %c, %p, %s {heads = " + std::to_string(g.heads) +
         " : i32, scale = " + number(scale) + " : f32" + attributes + "} : " + query + ", " +
         g.kv() + ", " + rows + ", " + rows + " -> " + result + "\n  tern.yield %a : " + result +
         "\n}\n";
}

struct Row {
  int slot, position;
};

/// Buffers of one call in the order of the kernel's arguments; the cache is shared, so its buffers
/// move in and out.
class AttentionCall {
public:
  AttentionCall(const Geometry &g, float scale, const std::string &target, ScoreChange change = {})
      : g(g), scale(scale), change(change), kernel(attentionText(g, scale, change), target) {}

  std::vector<float> run(Cache &cache, const std::vector<Row> &rows,
                         const std::vector<float> &query, int chunk = 0, bool split = false) {
    int t = int(rows.size()), queryStride = padded(g.heads * g.headSize),
        resultStride = padded(g.heads * g.valueSize);
    std::vector<GuardedBuffer> buffers;
    buffers.emplace_back(size_t(t) * queryStride * 4);
    for (int r = 0; r < t; ++r)
      memcpy(buffers[0].as<float>() + size_t(r) * queryStride,
             &query[size_t(r) * g.heads * g.headSize], size_t(g.heads) * g.headSize * 4);
    buffers.push_back(std::move(cache.keys));
    buffers.push_back(std::move(cache.values));
    buffers.push_back(std::move(cache.table));
    buffers.emplace_back(size_t(t) * 4);
    buffers.emplace_back(size_t(t) * 4);
    for (int r = 0; r < t; ++r) {
      buffers[4].as<int32_t>()[r] = rows[r].position;
      buffers[5].as<int32_t>()[r] = rows[r].slot;
    }
    buffers.emplace_back(size_t(t) * resultStride * 4);
    kernel.blocksPerSlot = cache.blocksPerSlot;
    if (split)
      kernel.runSplit(buffers, t, taskBlocks(rows), chunk);
    else
      kernel.run(buffers, t, 0, chunk);
    std::vector<float> result;
    for (int r = 0; r < t; ++r) {
      const float *row = buffers[6].as<float>() + size_t(r) * resultStride;
      result.insert(result.end(), row, row + g.heads * g.valueSize);
    }
    cache.keys = std::move(buffers[1]);
    cache.values = std::move(buffers[2]);
    cache.table = std::move(buffers[3]);
    return result;
  }

  /// Blocks of 512 positions that the tasks of these rows are split into, as the runtime does it.
  int taskBlocks(const std::vector<Row> &rows) const {
    int blocks = 1;
    for (const Row &row : rows)
      blocks = std::max(blocks, row.position / 512 + 1);
    return g.window ? std::min(blocks, (g.window + 510) / 512 + 1) : blocks;
  }

  std::vector<double> reference(Cache &cache, Row row, const float *query) const {
    std::vector<double> result;
    for (int h = 0; h < g.heads; ++h) {
      int keyHead = h / g.group();
      int lowest = g.window ? std::max(0, row.position - g.window + 1) : 0;
      std::vector<double> scores(row.position + 1, -std::numeric_limits<double>::infinity());
      for (int p = lowest; p <= row.position; ++p) {
        scores[p] = 0;
        const std::vector<float> key = cache.key(row.slot, p, keyHead);
        for (int d = 0; d < g.headSize; ++d)
          scores[p] += double(query[h * g.headSize + d]) * key[d] * scale;
        if (change.softCap)
          scores[p] = change.softCap * std::tanh(scores[p] / change.softCap);
        if (change.alibi)
          scores[p] += slope(h) * (p - row.position);
      }
      double maximum = *std::max_element(scores.begin(), scores.end()), sum = 0;
      std::vector<double> values(g.valueSize);
      for (int p = lowest; p <= row.position; ++p) {
        double weight = std::exp(scores[p] - maximum);
        sum += weight;
        const std::vector<float> value = cache.value(row.slot, p, keyHead);
        for (int d = 0; d < g.valueSize; ++d)
          values[d] += weight * value[d];
      }
      for (double value : values)
        result.push_back(value / sum);
    }
    return result;
  }

  /// As the paper's code: a geometric sequence for the largest power of two, then every second one
  /// of twice as many heads.
  double slope(int head) const {
    int power = 1;
    while (power * 2 <= g.heads)
      power *= 2;
    double first = std::pow(2.0, -change.alibi / power);
    if (head < power)
      return std::pow(first, head + 1);
    return std::pow(std::pow(2.0, -change.alibi / (2.0 * power)), 2 * (head - power) + 1);
  }

  Geometry g;
  float scale;
  ScoreChange change;
  TestKernel kernel;
};

inline std::vector<float> randomVector(size_t size, std::mt19937 &random, float scale = 1) {
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> result(size);
  for (float &value : result)
    value = normal(random);
  return result;
}

inline void expectNear(const float *actual, const std::vector<double> &expected, double tolerance,
                       const std::string &where) {
  for (size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(actual[i], expected[i], tolerance) << where << ", element " << i;
}

} // namespace tern
#endif
