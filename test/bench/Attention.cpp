// Speed of decode attention and prefill attention, beside a plain read of memory in the same
// process.
//
//   attention_bench [TARGET [QUERY_HEADS_PER_KEY_HEAD]]
//
// Decode walks through enough slots that keys and values come from memory; the figure is bytes of
// keys and values per second of this thread's processor time. Prefill is 64 rows on one slot.
// Medians; the machine may be busy, so look at the ratio to the plain read.
#include "test/bench/Timing.h"
#include "test/unit/kernels/AttentionCache.h"

#include <cstdio>
#include <cstring>

using namespace tern;

namespace {

std::string kernelText(const Geometry &g) {
  std::string rows = "tensor<?xi32>", dim = " {tern.dim = \"T\"}",
              query = tensor(g.heads * g.headSize), result = tensor(g.heads * g.valueSize);
  return "tern.kernel @attention(%q: " + query + dim + ", %c: " + g.kv() + ", %p: " + rows + dim +
         ", %s: " + rows + dim + ") -> " + result +
         " {\n  %a = tern.attention %q, %c, %p, %s {heads = " + std::to_string(g.heads) +
         " : i32, scale = 1.25e-1 : f32} : " + query + ", " + g.kv() + ", " + rows + ", " + rows +
         " -> " + result + "\n  tern.yield %a : " + result + "\n}\n";
}

struct Arguments {
  std::vector<GuardedBuffer> buffers;
  void place(int firstPosition, int rows, int slot) {
    for (int r = 0; r < rows; ++r) {
      buffers[4].as<int32_t>()[r] = firstPosition + r;
      buffers[5].as<int32_t>()[r] = slot;
    }
  }
};

double plainRead(const GuardedBuffer &buffer) {
  const uint64_t *words = buffer.as<uint64_t>();
  size_t count = buffer.size() / 8;
  uint64_t sums[8] = {};
  double time = seconds([&] {
    for (size_t i = 0; i + 8 <= count; i += 8)
      for (int j = 0; j < 8; ++j)
        sums[j] ^= words[i + j];
  });
  volatile uint64_t sink =
      sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
  (void)sink;
  return double(buffer.size()) / time;
}

void measure(const Geometry &g, const std::string &target) {
  const int positions = 2048, rows = 64;
  TestKernel kernel(kernelText(g), target);
  if (!kernel.ready)
    return;
  int elementBytes = g.element == q8 ? 1 : g.element == f16 ? 2 : 4;
  size_t slotBytes = size_t(positions) * g.keyHeads * (g.headSize + g.valueSize) * elementBytes;
  int slots = std::max(2, int((size_t(192) << 20) / slotBytes));
  std::mt19937 random(1);
  Cache cache(g, slots, positions, random);
  for (int slot = 0; slot < slots; ++slot)
    for (int p = 0; p < positions; p += 64)
      cache.block(slot, p);
  memset(cache.keys.data(), 0x11, cache.keys.size());
  memset(cache.values.data(), 0x22, cache.values.size());
  double read = plainRead(cache.values);
  kernel.blocksPerSlot = cache.blocksPerSlot;

  Arguments a;
  a.buffers.emplace_back(size_t(rows) * padded(g.heads * g.headSize) * 4);
  memset(a.buffers[0].data(), 0, a.buffers[0].size());
  a.buffers.push_back(std::move(cache.keys));
  a.buffers.push_back(std::move(cache.values));
  a.buffers.push_back(std::move(cache.table));
  a.buffers.emplace_back(size_t(rows) * 4);
  a.buffers.emplace_back(size_t(rows) * 4);
  a.buffers.emplace_back(size_t(rows) * padded(g.heads * g.valueSize) * 4);

  std::vector<double> decode, near, prefill;
  for (int run = 0; run < 5; ++run) {
    decode.push_back(seconds([&] {
      for (int slot = 0; slot < slots; ++slot) {
        a.place(positions - 1, 1, slot);
        kernel.run(a.buffers, 1);
      }
    }));
    a.place(0, 1, 0);
    near.push_back(seconds([&] {
      for (int i = 0; i < 100; ++i)
        kernel.run(a.buffers, 1);
    }));
    a.place(positions - rows, rows, 0);
    prefill.push_back(seconds([&] { kernel.run(a.buffers, rows); }));
  }
  double operations = 2.0 * rows * (positions - rows / 2.0) * g.heads * (g.headSize + g.valueSize);
  printf("%-18s %2d heads on %2d, size %3d, %s: decode %5.1f GB/s (plain read %5.1f), "
         "position 0 %6.2f us, prefill %5.1f GFLOP/s\n",
         target.c_str(), g.heads, g.keyHeads, g.headSize,
         g.element == q8    ? "q8"
         : g.element == f16 ? "f16"
                            : "f32",
         double(slotBytes) * slots / median(decode) * 1e-9, read * 1e-9, median(near) * 1e4,
         operations / median(prefill) * 1e-9);
}

} // namespace

int main(int argc, char **argv) {
  for (const std::string &target : runnableTargets()) {
    if (argc > 1 && target != argv[1])
      continue;
    for (CacheElement element : {f16, f32, q8})
      for (Geometry g : {Geometry{32, 8, 64, 64, element},
                         {32, 8, 128, 128, element},
                         {32, 4, 64, 64, element},
                         {9, 3, 64, 64, element},
                         {12, 2, 128, 128, element},
                         {14, 2, 64, 64, element},
                         {4, 1, 256, 256, element},
                         {16, 16, 64, 64, element}})
        if (argc <= 2 || std::stoi(argv[2]) == g.group())
          measure(g, target);
  }
}
