// A kernel for another machine, run by kernel-runner (test/cross) under an emulator.
#ifndef TERN_TEST_UNIT_KERNELS_REMOTEKERNEL_H
#define TERN_TEST_UNIT_KERNELS_REMOTEKERNEL_H

#include "runtime/core/KernelABI.h"
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <sys/types.h>

namespace tern {

class RemoteKernel {
public:
  /// `command` is the emulator and the runner, separated by spaces.
  RemoteKernel(const std::string &command, const std::string &image, uint64_t entry) {
    start(command, image, entry);
  }
  RemoteKernel(const RemoteKernel &) = delete;
  RemoteKernel &operator=(const RemoteKernel &) = delete;
  ~RemoteKernel();

  /// Runs all tasks on copies of the buffers and copies them back. Records a GoogleTest failure if
  /// the runner ends, for example because the kernel touched memory behind a buffer.
  void run(std::span<const std::span<uint8_t>> buffers, const int32_t (&integers)[TERN_INT_COUNT],
           uint64_t scratchBytes, int tasks, int step);

private:
  void start(const std::string &command, const std::string &image, uint64_t entry);
  void send(const void *data, size_t size) { fwrite(data, 1, size, toRunner); }
  template <typename T> void send(T value) { send(&value, sizeof value); }

  pid_t runner = -1;
  FILE *toRunner = nullptr, *fromRunner = nullptr;
};

} // namespace tern
#endif
