// The bytes of an artifact, wherever they lie: a file, a range of a descriptor, the application's
// memory, or behind a callback.
#ifndef TERN_RUNTIME_CORE_SOURCE_H
#define TERN_RUNTIME_CORE_SOURCE_H

#include "runtime/core/Memory.h"
#include "runtime/core/Status.h"

#include <cstdint>
#include <utility>

namespace tern::runtime {

class Source {
public:
  /// Stores exactly `size` bytes and returns 0.
  using ReadCallback = int (*)(void *context, uint64_t offset, size_t size, void *destination);

  Source() = default;
  Source(Source &&other) noexcept : state(std::exchange(other.state, {})) {}
  Source &operator=(Source &&other) noexcept {
    std::swap(state, other.state);
    return *this;
  }
  ~Source();

  /// Opens and maps a regular file.
  static Status openFile(const char *path, Source &result);
  /// Maps `length` bytes at `offset`; the descriptor stays the caller's, and is needed only until
  /// closeDescriptor().
  static Status openDescriptor(int descriptor, uint64_t offset, uint64_t length, Source &result);
  /// Uses memory that outlives the source.
  static Source fromMemory(const void *data, uint64_t size);
  static Source fromCallback(ReadCallback read, void *context, uint64_t length);

  uint64_t size() const { return state.length; }
  /// All bytes in place, aligned to blockAlignment; null if they cannot be had like that.
  const uint8_t *inPlace() const { return state.bytes; }
  /// True if inPlace() is a mapping whose pages the system can fetch and drop.
  bool isFileMapping() const { return state.mapping != nullptr; }

  /// For bytes that will be used in place: asks for 2 MB pages, has no effect where the system does
  /// not offer them for files.
  void adviseHugePages() const;

  /// Copies [offset, offset + count), which must lie within size(). Any number of threads may read.
  Status read(uint64_t offset, void *destination, uint64_t count) const;

  /// Ends all use of the descriptor or callback; what is in place stays.
  void closeDescriptor();
  /// Keeps a descriptor that is the caller's readable after the caller has closed it.
  Status keepDescriptor();

private:
  struct State {
    uint64_t length = 0;
    const uint8_t *bytes = nullptr;     ///< in place
    const uint8_t *unaligned = nullptr; ///< memory that is readable, maybe not usable in place
    void *mapping = nullptr;
    size_t mappingSize = 0;
    int descriptor = -1;
    bool ownsDescriptor = false;
    uint64_t descriptorOffset = 0;
    ReadCallback callback = nullptr;
    void *callbackContext = nullptr;
  };
  State state;
};

} // namespace tern::runtime

#endif
