// Speed of the linear kernels at TinyLlama-1.1B's shapes, beside the rate at which the same memory
// is read and the peak of the target's dot product.
//
//   kernel_bench [TARGET] [FILTER]
//
// T = 1 walks through enough copies of the weights that they come from memory (DRAM) or runs on one
// copy that fits the second-level cache (L2); the second line shows how the time of a call with
// weights from memory grows with T, and what share of the peak it reaches. One thread; medians of
// runs that alternate with reading; the machine may be busy, so look at the ratios rather than at
// the figures.
#include "test/bench/Timing.h"
#include "test/unit/kernels/KernelHarness.h"
#include "test/unit/kernels/LinearCase.h"
#include "tools/tern/MachinePeak.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <sys/mman.h>

using namespace tern;

namespace {

struct Format {
  const char *name, *encoding;
  int activationGroup, sums; ///< as Layer's

  bool integer() const { return activationGroup >= 0; }
};

const Format formats[] = {
    {"ternary", "ternary:g256:f16", 256, 256},
    {"ternary-row", "ternary:g256:f16", 0, 256},
    {"int4", "int4:g32:f16", 32, 32},
    {"int8", "int8:g32:f16", 32, 32},
    {"ternary-b3", "ternary-b3:g256:f16", 256, 256},
    {"q2_k", "uint2:g16:u4:min:s256:f16", 256, 16},
    {"q4_k", "uint4:g32:u6:min:s256:f16", 256, 16},
    {"q5_k", "uint5:g32:u6:min:s256:f16", 256, 16},
    {"q6_k", "int6:g16:i8:s256:f16", 256, 16},
    {"f16", "f16", -1, 0},
};

struct Shape {
  int parts, rows, k;
};
const Shape shapes[] = {{1, 2048, 2048}, {1, 5632, 2048}, {1, 2048, 5632}, {2, 5632, 2048}};

Layer layerOf(const Format &f, Shape s) {
  return {encodingOf(f.encoding), f.activationGroup, f.sums, s.rows, s.k, s.parts};
}

/// Anonymous memory with 4 KB pages, as a mapped artifact has them.
uint8_t *smallPages(size_t size) {
  void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    abort();
  madvise(memory, size, MADV_NOHUGEPAGE);
  return static_cast<uint8_t *>(memory);
}

constexpr size_t poolBytes = 384u << 20;
constexpr int repetitions = 9, maxRows = 64;

class Bench {
public:
  /// `peak`: operations/s of the target's dot product, 0 where it is not measured.
  Bench(const TestKernel &kernel, Shape shape, uint8_t *pool, double peak)
      : kernel(kernel), shape(shape), pool(pool), peak(peak), buffers(kernel.makeBuffers(maxRows)) {
    for (size_t i = 0; i < buffers.size(); ++i)
      memset(buffers[i].data(), 0, buffers[i].size());
    for (size_t i = 0; i < kernel.signature.arguments.size(); ++i)
      if (kernel.signature.arguments[i].component.space == Space::Tensor)
        weight = i;
    weightBytes = buffers[weight].size();
    stride = (weightBytes + 4095) / 4096 * 4096;
    copies = poolBytes / stride;
  }

  /// Seconds per call with weights from copy `first`...
  double time(int tokens, size_t first, size_t count) {
    double total = seconds([&] {
      for (size_t i = first; i < first + count; ++i)
        call(tokens, pool + (i % copies) * stride);
    });
    return total / double(count);
  }
  void report(const char *name) {
    std::vector<double> dram, l2, reading;
    for (int i = 0; i < repetitions; ++i) {
      reading.push_back(cli::readBandwidth({{pool, poolBytes / 3}}, 1));
      size_t count = std::min<size_t>(copies, 48);
      dram.push_back(time(1, size_t(i) * count, count));
      l2.push_back(seconds([&] {
                     for (int j = 0; j < 20; ++j)
                       call(1, pool);
                   }) /
                   20);
    }
    const double one = median(dram), readRate = median(reading);
    const double rate = double(weightBytes) / one;
    const double weights = double(shape.parts) * shape.rows * shape.k;
    printf("%-12s %dx%5dx%-5d %7.2f MB  T=1: DRAM %5.1f GB/s (%3.0f%% of read %4.1f)  cached %6.1f "
           "Gw/s\n",
           name, shape.parts, shape.rows, shape.k, double(weightBytes) * 1e-6, rate * 1e-9,
           100 * rate / readRate, readRate * 1e-9, weights / median(l2) * 1e-9);
    printf("%31s relative to T=1 from memory:", "");
    for (int tokens : {2, 3, 4, 5, 6, 8, 12, 15, 16, 17, 24, 32, 48, maxRows}) {
      std::vector<double> several;
      for (int i = 0; i < repetitions; ++i)
        several.push_back(time(tokens, size_t(i) * 8, 8));
      const double each = median(several);
      printf("  T=%d %.2f", tokens, each / one);
      if (peak > 0)
        printf(" (%.0f%%)", 100 * 2.0 * tokens * weights / each / peak);
    }
    printf("\n");
    fflush(stdout);
  }

private:
  void call(int tokens, uint8_t *weights) {
    void *pointers[8] = {};
    for (size_t i = 0; i < buffers.size(); ++i)
      pointers[i] = i == weight ? weights : buffers[i].data();
    int32_t integers[TERN_INT_COUNT] = {tokens};
    TernArgs args{pointers, integers, nullptr};
    kernel.entry()(&args, 0, int32_t(kernel.signature.tasks.constant));
  }

  const TestKernel &kernel;
  Shape shape;
  uint8_t *pool;
  double peak;
  std::vector<GuardedBuffer> buffers;
  size_t weight = 0, weightBytes, stride, copies;
};

} // namespace

int main(int argc, char **argv) {
  std::string wanted = argc > 1 ? argv[1] : "", filter = argc > 2 ? argv[2] : "";
  uint8_t *pool = smallPages(poolBytes);
  // Bytes 0 to 0x39 are small finite floats and valid codes of every encoding.
  std::mt19937_64 random(1);
  for (size_t i = 0; i < poolBytes; i += 8) {
    uint64_t value = random() & 0x2a2a2a2a2a2a2a2a;
    memcpy(pool + i, &value, 8);
  }
  for (const std::string &target : runnableTargets()) {
    if (!wanted.empty() && target != wanted)
      continue;
    const cli::ArithmeticPeak peak = cli::integerPeak(target, 1);
    printf("%s, %.0f Gop/s of %s\n", target.c_str(), peak.operationsPerSecond * 1e-9,
           peak.instruction.empty() ? "(not measured)" : peak.instruction.c_str());
    for (const Format &format : formats)
      for (Shape shape : shapes) {
        if (!filter.empty() && filter != format.name)
          continue;
        TestKernel kernel(linearKernel(layerOf(format, shape)), target);
        if (!kernel.ready)
          return 1;
        const double bound = format.integer() ? peak.operationsPerSecond : 0;
        Bench(kernel, shape, pool, bound).report(format.name);
      }
  }
  return 0;
}
