// A paged key / value cache of a kernel test, laid out as schema/tern.fbs says (KvCache).
//
// It is full of NaN except where a position was stored, and unused entries of the block table point
// nowhere: a kernel that looks at either shows.
#ifndef TERN_TEST_UNIT_KERNELS_ATTENTIONCACHE_H
#define TERN_TEST_UNIT_KERNELS_ATTENTIONCACHE_H

#include "test/unit/kernels/KernelHarness.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace tern {

enum class CacheElement { f16, f32, q8 };
using enum CacheElement;

struct Geometry {
  int heads, keyHeads, headSize, valueSize;
  CacheElement element;
  int window = 0;
  int group() const { return heads / keyHeads; }
  std::string kv() const {
    const char *name = element == f16 ? "f16" : element == f32 ? "f32" : "i8";
    return "!tern.kv<heads = " + std::to_string(keyHeads) +
           ", head_size = " + std::to_string(headSize) +
           ", value_size = " + std::to_string(valueSize) + ", window = " + std::to_string(window) +
           ", element = " + name + ">";
  }
};

inline int padded(int n) { return (n + 31) / 32 * 32; }

inline std::string tensor(int n) { return "tensor<?x" + std::to_string(n) + "xf32>"; }

/// The code of a number under the scale of its row; 0 under one that is no finite number.
inline int8_t codeOf(float x, _Float16 scale) {
  if (!(scale > 0) || std::isinf(float(scale)))
    return 0;
  return int8_t(std::clamp(std::nearbyint(x / float(scale)), -127.0f, 127.0f));
}

inline _Float16 scaleOf(const std::vector<float> &row) {
  float peak = 0;
  for (float x : row) {
    if (std::isnan(x))
      return _Float16(x);
    peak = std::max(peak, std::abs(x));
  }
  return _Float16(peak / 127);
}

/// A paged cache as the artifact's schema describes it, written and read by position.
class Cache {
public:
  Cache(const Geometry &g, int slots, int capacity, std::mt19937 &random)
      : g(g), blocksPerSlot((capacity + 63) / 64), elementBytes(g.element == q8    ? 1
                                                                : g.element == f16 ? 2
                                                                                   : 4),
        scaleBytes(g.element == q8 ? 2 : 0),
        keys(size_t(slots) * blocksPerSlot * g.keyHeads * headBytes(g.headSize)),
        values(size_t(slots) * blocksPerSlot * g.keyHeads * headBytes(g.valueSize)),
        table(size_t(slots) * blocksPerSlot * 4), physical(size_t(slots) * blocksPerSlot) {
    memset(keys.data(), poison, keys.size());
    memset(values.data(), poison, values.size());
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

  std::vector<float> key(int slot, int position, int head) {
    return get(keyCells(slot, position, head));
  }
  std::vector<float> value(int slot, int position, int head) {
    return get(valueCells(slot, position, head));
  }
  void setKey(int slot, int position, int head, const std::vector<float> &row) {
    set(keyCells(slot, position, head), row);
  }
  void setValue(int slot, int position, int head, const std::vector<float> &row) {
    set(valueCells(slot, position, head), row);
  }
  /// What lies in a q8 cache.
  _Float16 keyScale(int slot, int position, int head) {
    return scaleIn(keyCells(slot, position, head));
  }
  _Float16 valueScale(int slot, int position, int head) {
    return scaleIn(valueCells(slot, position, head));
  }
  std::vector<int8_t> keyCodes(int slot, int position, int head) {
    return codesIn(keyCells(slot, position, head));
  }
  std::vector<int8_t> valueCodes(int slot, int position, int head) {
    return codesIn(valueCells(slot, position, head));
  }
  /// As before anything was stored.
  void forget(int slot, int position, int head) {
    for (const Cells &cells : {keyCells(slot, position, head), valueCells(slot, position, head)}) {
      for (int d = 0; d < cells.size; ++d)
        memset(cells.first + d * cells.stride, poison, elementBytes);
      memset(cells.scale, poison, scaleBytes);
    }
  }
  bool isUntouched() const {
    auto untouched = [](const GuardedBuffer &buffer) {
      return std::all_of(buffer.data(), buffer.data() + buffer.size(),
                         [](uint8_t byte) { return byte == poison; });
    };
    return untouched(keys) && untouched(values);
  }

  void fill(int slot, int length, std::mt19937 &random, float scale = 1, int from = 0) {
    std::normal_distribution<float> normal(0, scale);
    auto row = [&](int size) {
      std::vector<float> result(size);
      for (float &x : result)
        x = normal(random);
      return result;
    };
    for (int p = from; p < length; ++p)
      for (int h = 0; h < g.keyHeads; ++h) {
        setKey(slot, p, h, row(g.headSize));
        setValue(slot, p, h, row(g.valueSize));
      }
  }

  Geometry g;
  int blocksPerSlot, elementBytes, scaleBytes;
  GuardedBuffer keys, values, table;
  std::vector<int> physical;

private:
  static constexpr uint8_t poison = 0xFF; ///< NaN in every float type

  /// Where the elements of one position and head lie.
  struct Cells {
    uint8_t *first;
    int size, stride;
    uint8_t *scale;
  };

  size_t headBytes(int size) const { return size_t(64) * (size * elementBytes + scaleBytes); }
  Cells keyCells(int slot, int position, int head) {
    uint8_t *tile = keys.data() +
                    (size_t(block(slot, position)) * g.keyHeads + head) * headBytes(g.headSize) +
                    position % 64 / 16 * (headBytes(g.headSize) / 4);
    int at = position % 16;
    return {tile + at * elementBytes, g.headSize, 16 * elementBytes,
            tile + size_t(16) * g.headSize * elementBytes + at * scaleBytes};
  }
  Cells valueCells(int slot, int position, int head) {
    uint8_t *start = values.data() +
                     (size_t(block(slot, position)) * g.keyHeads + head) * headBytes(g.valueSize);
    int at = position % 64;
    return {start + size_t(at) * g.valueSize * elementBytes, g.valueSize, elementBytes,
            start + size_t(64) * g.valueSize * elementBytes + at * scaleBytes};
  }

  template <typename T> static T load(const uint8_t *from) {
    T value;
    memcpy(&value, from, sizeof value);
    return value;
  }
  static _Float16 scaleIn(const Cells &cells) { return load<_Float16>(cells.scale); }
  static std::vector<int8_t> codesIn(const Cells &cells) {
    std::vector<int8_t> codes;
    for (int d = 0; d < cells.size; ++d)
      codes.push_back(load<int8_t>(cells.first + d * cells.stride));
    return codes;
  }
  std::vector<float> get(const Cells &cells) const {
    std::vector<float> row(cells.size);
    for (int d = 0; d < cells.size; ++d) {
      const uint8_t *from = cells.first + d * cells.stride;
      row[d] = g.element == f32   ? load<float>(from)
               : g.element == f16 ? float(load<_Float16>(from))
                                  : float(load<int8_t>(from)) * float(scaleIn(cells));
    }
    return row;
  }
  void set(const Cells &cells, const std::vector<float> &row) const {
    _Float16 scale = scaleOf(row);
    memcpy(cells.scale, &scale, scaleBytes);
    for (int d = 0; d < cells.size; ++d) {
      _Float16 half = _Float16(row[d]);
      int8_t code = codeOf(row[d], scale);
      const void *from = g.element == f32   ? static_cast<const void *>(&row[d])
                         : g.element == f16 ? static_cast<const void *>(&half)
                                            : &code;
      memcpy(cells.first + d * cells.stride, from, elementBytes);
    }
  }
};

} // namespace tern
#endif
