// A paged key / value cache of a kernel test, laid out as schema/tern.fbs says (KvCache).
//
// It is full of NaN except where a position was stored, and unused entries of the block table point
// nowhere: a kernel that looks at either shows.
#ifndef TERN_TEST_UNIT_KERNELS_ATTENTIONCACHE_H
#define TERN_TEST_UNIT_KERNELS_ATTENTIONCACHE_H

#include "test/unit/kernels/KernelHarness.h"
#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace tern {

struct Geometry {
  int heads, keyHeads, headSize, valueSize;
  bool half; ///< f16 cache, else f32
  int window = 0;
  int group() const { return heads / keyHeads; }
  std::string kv() const {
    return "!tern.kv<heads = " + std::to_string(keyHeads) +
           ", head_size = " + std::to_string(headSize) +
           ", value_size = " + std::to_string(valueSize) + ", window = " + std::to_string(window) +
           ", element = " + (half ? "f16" : "f32") + ">";
  }
};

inline int padded(int n) { return (n + 31) / 32 * 32; }

inline std::string tensor(int n) { return "tensor<?x" + std::to_string(n) + "xf32>"; }

/// A paged cache as the artifact's schema describes it, written and read by position.
class Cache {
public:
  Cache(const Geometry &g, int slots, int capacity, std::mt19937 &random)
      : g(g), blocksPerSlot((capacity + 63) / 64), bytes(g.half ? 2 : 4),
        keys(size_t(slots) * blocksPerSlot * g.keyHeads * 64 * g.headSize * bytes),
        values(size_t(slots) * blocksPerSlot * g.keyHeads * 64 * g.valueSize * bytes),
        table(size_t(slots) * blocksPerSlot * 4), physical(size_t(slots) * blocksPerSlot) {
    poison(keys);
    poison(values);
    std::iota(physical.begin(), physical.end(), 0);
    std::shuffle(physical.begin(), physical.end(), random);
    std::fill_n(table.as<int32_t>(), physical.size(), std::numeric_limits<int32_t>::max() / 4);
  }

  /// Makes the block of a position known to the kernels.
  int block(int slot, int position) {
    size_t entry = size_t(slot) * blocksPerSlot + position / 64;
    table.as<int32_t>()[entry] = physical[entry];
    return physical[entry];
  }
  size_t keyIndex(int slot, int position, int head, int d) {
    size_t tile = (size_t(block(slot, position)) * g.keyHeads + head) * 4 + position % 64 / 16;
    return (tile * g.headSize + d) * 16 + position % 16;
  }
  size_t valueIndex(int slot, int position, int head, int d) {
    size_t row = (size_t(block(slot, position)) * g.keyHeads + head) * 64 + position % 64;
    return row * g.valueSize + d;
  }
  void set(GuardedBuffer &buffer, size_t index, float value) {
    if (g.half)
      buffer.as<_Float16>()[index] = _Float16(value);
    else
      buffer.as<float>()[index] = value;
  }
  float get(const GuardedBuffer &buffer, size_t index) const {
    return g.half ? float(buffer.as<_Float16>()[index]) : buffer.as<float>()[index];
  }

  void fill(int slot, int length, std::mt19937 &random, float scale = 1, int from = 0) {
    std::normal_distribution<float> normal(0, scale);
    for (int p = from; p < length; ++p)
      for (int h = 0; h < g.keyHeads; ++h) {
        for (int d = 0; d < g.headSize; ++d)
          set(keys, keyIndex(slot, p, h, d), normal(random));
        for (int d = 0; d < g.valueSize; ++d)
          set(values, valueIndex(slot, p, h, d), normal(random));
      }
  }

  Geometry g;
  int blocksPerSlot, bytes;
  GuardedBuffer keys, values, table;
  std::vector<int> physical;

private:
  void poison(GuardedBuffer &buffer) const {
    float nan = std::numeric_limits<float>::quiet_NaN();
    for (size_t i = 0; i < buffer.size() / bytes; ++i)
      if (g.half)
        buffer.as<_Float16>()[i] = _Float16(nan);
      else
        buffer.as<float>()[i] = nan;
  }
};

} // namespace tern
#endif
