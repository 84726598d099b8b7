// How fast this machine reads a model's weights and multiplies, to compare kernels with.
#ifndef TERN_TOOLS_TERN_MACHINEPEAK_H
#define TERN_TOOLS_TERN_MACHINEPEAK_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tern::cli {

struct MemoryRange {
  const uint8_t *data;
  size_t size;
};

/// Bytes/s at which `threads` threads together read the ranges, where they lie: the best of several
/// passes, each thread over a contiguous share. What fits a cache is read from there.
double readBandwidth(const std::vector<MemoryRange> &ranges, uint32_t threads);

/// Operations/s (a multiply-add is two) of one instruction sequence on all threads, from registers.
struct ArithmeticPeak {
  std::string instruction; ///< empty: this program has no loop for the target
  double operationsPerSecond = 0;
};

/// The dot product of bytes that a target's kernels are made of, and its float multiply-add. The
/// CPU can run the target.
ArithmeticPeak integerPeak(const std::string &target, uint32_t threads);
ArithmeticPeak floatPeak(const std::string &target, uint32_t threads);

} // namespace tern::cli

#endif
