// Compiles a tern.kernel from text the way ternc does (Halide, LLVM, LLD), loads the image and runs
// it on buffers that end at inaccessible pages.
#ifndef TERN_TEST_UNIT_KERNELS_KERNELHARNESS_H
#define TERN_TEST_UNIT_KERNELS_KERNELHARNESS_H

#include "compiler/Kernels/KernelSignature.h"
#include "test/unit/codegen/LoadedImage.h"
#include "test/unit/kernels/RemoteKernel.h"
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace tern {

/// Bytes that end, up to 64-byte alignment of the start, at a page nobody may touch. Filled with
/// 0xA5.
class GuardedBuffer {
public:
  explicit GuardedBuffer(size_t size);
  GuardedBuffer(GuardedBuffer &&other) noexcept;
  GuardedBuffer &operator=(GuardedBuffer &&other) noexcept;
  GuardedBuffer(const GuardedBuffer &) = delete;
  ~GuardedBuffer();
  uint8_t *data() const { return start; }
  size_t size() const { return bytes; }
  template <typename T> T *as() const { return reinterpret_cast<T *>(start); }
  template <typename T> void fill(const std::vector<T> &values) {
    memcpy(start, values.data(), values.size() * sizeof(T));
  }
  static constexpr uint8_t untouched = 0xA5;

private:
  uint8_t *mapping = nullptr, *start = nullptr;
  size_t mapped = 0, bytes = 0;
};

class TestKernel {
public:
  /// Records a GoogleTest failure if `text` does not compile; then `ready` is false.
  TestKernel(const std::string &text, const std::string &target) { compile(text, target); }
  bool ready = false;
  KernelSignature signature;
  bool fusedMultiplyAdd = true; ///< products and sums of floats are rounded once
  int blocksPerSlot = 0;        ///< row stride of the block table

  /// One buffer per argument, sized for `tokens` and `wanted` rows.
  std::vector<GuardedBuffer> makeBuffers(int tokens, int wanted = 0) const;
  /// All tasks, in ranges of `chunk` tasks (0: one range).
  void run(std::vector<GuardedBuffer> &buffers, int tokens, int wanted = 0, int chunk = 0) const;
  /// The same for a kernel with partial results: each task split into `blocks` blocks, then merged.
  void runSplit(std::vector<GuardedBuffer> &buffers, int tokens, int blocks, int chunk = 0) const;
  /// The entry itself, for callers with buffers of their own; null for a kernel that runs
  /// elsewhere.
  TernKernelFunction entry() const { return function; }

private:
  void compile(const std::string &text, const std::string &target);
  void runPhase(std::vector<GuardedBuffer> &buffers, const int32_t (&integers)[TERN_INT_COUNT],
                int tasks, int chunk) const;

  std::unique_ptr<LoadedImage> image;   ///< on this machine,
  std::unique_ptr<RemoteKernel> remote; ///< or elsewhere
  TernKernelFunction function = nullptr;
};

/// The targets whose kernels this CPU can run (x86_64-avxvnni re-encoded for AVX-512), and those
/// for which an environment variable names a command that runs kernel-runner:
/// TERN_AARCH64_RUNNER="qemu-aarch64 kernel-runner".
std::vector<std::string> runnableTargets();

/// A target's name as GoogleTest takes it: "x86_64_avx2".
inline std::string testName(std::string target) {
  std::replace(target.begin(), target.end(), '-', '_');
  return target;
}

} // namespace tern
#endif
