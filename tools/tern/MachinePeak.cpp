// Loops of one instruction on independent accumulators, enough of them to hide its latency; and a
// loop of vector loads. Assembly, because a compiler would see that nothing uses the results.
#include "tools/tern/MachinePeak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <string_view>
#include <thread>

namespace tern::cli {

namespace {

using Clock = std::chrono::steady_clock;
constexpr double measuredSeconds = 0.02;
constexpr int measurements = 5;

/// Seconds from the common start of `work(thread)` on all threads to the end of the last.
double secondsTogether(uint32_t threads, const std::function<void(uint32_t)> &work) {
  std::atomic<uint32_t> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> others;
  const auto body = [&](uint32_t thread) {
    ready.fetch_add(1);
    while (!go.load(std::memory_order_acquire))
      if (threads > std::thread::hardware_concurrency())
        std::this_thread::yield();
    work(thread);
  };
  for (uint32_t thread = 1; thread < threads; ++thread)
    others.emplace_back(body, thread);
  while (ready.load() + 1 < threads)
    std::this_thread::yield();
  const Clock::time_point begin = Clock::now();
  go.store(true, std::memory_order_release);
  work(0);
  for (std::thread &thread : others)
    thread.join();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// The highest rate of `amount(repeats)` per second, after the number of repeats that fills a
/// measurement has been found.
double bestRate(uint32_t threads, double amountPerRepeat,
                const std::function<void(uint32_t thread, uint64_t repeats)> &work) {
  uint64_t repeats = 1;
  double seconds = 0;
  while (true) {
    seconds = secondsTogether(threads, [&](uint32_t thread) { work(thread, repeats); });
    if (seconds >= measuredSeconds || repeats > uint64_t(1) << 40)
      break;
    repeats *= 2;
  }
  for (int i = 1; i < measurements; ++i)
    seconds = std::min(seconds,
                       secondsTogether(threads, [&](uint32_t thread) { work(thread, repeats); }));
  return amountPerRepeat * double(repeats) / seconds;
}

// ---- reading ----------------------------------------------------------------------------------

using ReadLoop = void (*)(const uint8_t *data, size_t lines); // of 256 bytes

#if defined(__x86_64__)
// NOLINTBEGIN(bugprone-macro-parentheses): a name and a piece of assembly take none
#define TERN_READ_LOOP(name, load, step)                                                           \
  void name(const uint8_t *data, size_t lines) {                                                   \
    for (; lines > 0; --lines, data += 256)                                                        \
      for (int at = 0; at < 256; at += (step))                                                     \
        asm volatile(load : : "r"(data + at) : "xmm0", "memory");                                  \
  }
TERN_READ_LOOP(read16, "movups (%0), %%xmm0", 16)
TERN_READ_LOOP(read32, "vmovups (%0), %%ymm0", 32)
TERN_READ_LOOP(read64, "vmovups (%0), %%zmm0", 64)
#undef TERN_READ_LOOP
// NOLINTEND(bugprone-macro-parentheses)

ReadLoop readLoop() {
  return __builtin_cpu_supports("avx512f") ? read64
         : __builtin_cpu_supports("avx2")  ? read32
                                           : read16;
}
#else
void readWords(const uint8_t *data, size_t lines) {
  for (; lines > 0; --lines, data += 256)
    for (int at = 0; at < 256; at += 8) {
      const uint64_t word = *reinterpret_cast<const volatile uint64_t *>(data + at);
      (void)word;
    }
}
ReadLoop readLoop() { return readWords; }
#endif

/// The ranges' bytes [begin, end), counted through all of them.
void readShare(const std::vector<MemoryRange> &ranges, size_t begin, size_t end, ReadLoop loop) {
  for (const MemoryRange &range : ranges) {
    if (begin < range.size && end > begin) {
      const size_t last = std::min(end, range.size);
      loop(range.data + begin, (last - begin) / 256);
    }
    begin -= std::min(begin, range.size);
    end -= std::min(end, range.size);
    if (end == 0)
      return;
  }
}

// ---- arithmetic -------------------------------------------------------------------------------

struct PeakLoop {
  const char *instruction;
  unsigned operations; ///< of one repeat
  void (*run)(uint64_t repeats);
};

#if defined(__x86_64__)
// Twelve accumulators: no x86 core needs more for two units of five cycles.
#define TERN_EACH(X)                                                                               \
  X("0") X("1") X("2") X("3") X("4") X("5") X("6") X("7") X("8") X("9") X("10") X("11")
#define TERN_CLOBBERS                                                                              \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",         \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define TERN_PEAK_LOOP(name, clear, instructions)                                                  \
  void name(uint64_t repeats) {                                                                    \
    asm volatile(TERN_EACH(clear) : : : TERN_CLOBBERS);                                            \
    for (; repeats > 0; --repeats)                                                                 \
      asm volatile(TERN_EACH(instructions) : : : TERN_CLOBBERS);                                   \
  }
#define TERN_CLEAR_SSE(n) "xorps %%xmm" n ", %%xmm" n "\n"
#define TERN_CLEAR_AVX(n) "vxorps %%xmm" n ", %%xmm" n ", %%xmm" n "\n"
#define TERN_VNNI512(n) "vpdpbusd %%zmm14, %%zmm13, %%zmm" n "\n"
#define TERN_VNNI256(n) "%{vex%} vpdpbusd %%ymm14, %%ymm13, %%ymm" n "\n"
#define TERN_AVX2(n)                                                                               \
  "vpmaddubsw %%ymm14, %%ymm13, %%ymm12\nvpmaddwd %%ymm15, %%ymm12, %%ymm12\n"                     \
  "vpaddd %%ymm12, %%ymm" n ", %%ymm" n "\n"
#define TERN_SSE2(n)                                                                               \
  "movdqa %%xmm13, %%xmm12\npmaddwd %%xmm14, %%xmm12\npaddd %%xmm12, %%xmm" n "\n"
#define TERN_FMA512(n) "vfmadd231ps %%zmm14, %%zmm13, %%zmm" n "\n"
#define TERN_FMA256(n) "vfmadd231ps %%ymm14, %%ymm13, %%ymm" n "\n"
#define TERN_MULADD(n)                                                                             \
  "movaps %%xmm13, %%xmm12\nmulps %%xmm14, %%xmm12\naddps %%xmm12, %%xmm" n "\n"
TERN_PEAK_LOOP(vnni512, TERN_CLEAR_AVX, TERN_VNNI512)
TERN_PEAK_LOOP(vnni256, TERN_CLEAR_AVX, TERN_VNNI256)
TERN_PEAK_LOOP(avx2, TERN_CLEAR_AVX, TERN_AVX2)
TERN_PEAK_LOOP(sse2, TERN_CLEAR_SSE, TERN_SSE2)
TERN_PEAK_LOOP(fma512, TERN_CLEAR_AVX, TERN_FMA512)
TERN_PEAK_LOOP(fma256, TERN_CLEAR_AVX, TERN_FMA256)
TERN_PEAK_LOOP(mulAdd, TERN_CLEAR_SSE, TERN_MULADD)

PeakLoop integerLoop(std::string_view target) {
  if (target.starts_with("x86_64-avx512"))
    return {"vpdpbusd zmm", 12 * 64 * 2, vnni512};
  if (target == "x86_64-avxvnni")
    return {"vpdpbusd ymm", 12 * 32 * 2, vnni256};
  if (target == "x86_64-avx2")
    return {"vpmaddubsw, vpmaddwd, vpaddd ymm", 12 * 32 * 2, avx2};
  if (target == "x86_64-baseline")
    return {"pmaddwd, paddd xmm", 12 * 8 * 2, sse2};
  return {nullptr, 0, nullptr};
}

PeakLoop floatLoop(std::string_view target) {
  if (target.starts_with("x86_64-avx512"))
    return {"vfmadd231ps zmm", 12 * 16 * 2, fma512};
  if (target == "x86_64-avxvnni" || target == "x86_64-avx2")
    return {"vfmadd231ps ymm", 12 * 8 * 2, fma256};
  if (target == "x86_64-baseline")
    return {"mulps, addps xmm", 12 * 4 * 2, mulAdd};
  return {nullptr, 0, nullptr};
}
#else
PeakLoop integerLoop(std::string_view) { return {nullptr, 0, nullptr}; }
PeakLoop floatLoop(std::string_view) { return {nullptr, 0, nullptr}; }
#endif

ArithmeticPeak measurePeak(const PeakLoop &loop, uint32_t threads) {
  if (!loop.run)
    return {};
  return {loop.instruction, bestRate(threads, double(loop.operations) * threads,
                                     [&](uint32_t, uint64_t repeats) { loop.run(repeats); })};
}

} // namespace

double readBandwidth(const std::vector<MemoryRange> &ranges, uint32_t threads) {
  size_t total = 0;
  for (const MemoryRange &range : ranges)
    total += range.size;
  const ReadLoop loop = readLoop();
  return bestRate(threads, double(total), [&](uint32_t thread, uint64_t repeats) {
    const size_t begin = total / threads * thread;
    const size_t end = thread + 1 == threads ? total : total / threads * (thread + 1);
    for (; repeats > 0; --repeats)
      readShare(ranges, begin, end, loop);
  });
}

ArithmeticPeak integerPeak(const std::string &target, uint32_t threads) {
  return measurePeak(integerLoop(target), threads);
}

ArithmeticPeak floatPeak(const std::string &target, uint32_t threads) {
  return measurePeak(floatLoop(target), threads);
}

} // namespace tern::cli
