// Maps a linked kernel image for a test and checks what runtime/core's loader insists on: ET_DYN,
// RELATIVE relocations only, no needed libraries, no segment both writable and executable.
#ifndef TERN_TEST_UNIT_CODEGEN_LOADEDIMAGE_H
#define TERN_TEST_UNIT_CODEGEN_LOADEDIMAGE_H

#include "runtime/core/KernelABI.h"
#include <cstddef>
#include <string>

namespace tern {

class LoadedImage {
public:
  /// Records GoogleTest failures for an image that breaks the contract.
  explicit LoadedImage(const std::string &bytes) { load(bytes); }
  LoadedImage(const LoadedImage &) = delete;
  LoadedImage &operator=(const LoadedImage &) = delete;
  ~LoadedImage();
  TernKernelFunction entry(uint64_t offset) const {
    return reinterpret_cast<TernKernelFunction>(base + offset);
  }

private:
  void load(const std::string &bytes);
  void relocate(const void *dynamic);

  char *base = nullptr;
  size_t size = 0;
};

} // namespace tern
#endif
