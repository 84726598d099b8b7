// Loads a kernel image: an ELF shared object without imports, brought into memory by the runtime.
//
// No dlopen, no temporary file, the same image on every system. Pages are writable or executable,
// never both. Everything is checked against the file's size before it is used; whatever a kernel
// image has no need of (imports, symbols that resolve elsewhere, constructors, thread-local
// storage, text relocations) is refused.
#ifndef TERN_RUNTIME_CORE_IMAGE_H
#define TERN_RUNTIME_CORE_IMAGE_H

#include "runtime/core/Status.h"

#include <cstddef>
#include <cstdint>

namespace tern::runtime {

class Image {
public:
  Image() = default;
  Image(Image &&other) noexcept;
  Image &operator=(Image &&other) noexcept;
  ~Image();

  /// Checks an image for any architecture without mapping anything. `data` is aligned to 8 bytes.
  static Status verify(const uint8_t *data, size_t size);

  /// Checks, copies, relocates and protects an image for this architecture. `data` is not needed
  /// afterwards.
  static Status load(const uint8_t *data, size_t size, Image &result);

  /// True if an image that passed verify() has code at `offset`.
  static bool isCode(const uint8_t *data, uint64_t offset);

  /// Address of `offset`, for which isCode held.
  const void *at(uint64_t offset) const { return memory + offset; }
  size_t size() const { return span; }

private:
  uint8_t *memory = nullptr;
  size_t span = 0;
};

} // namespace tern::runtime

#endif
