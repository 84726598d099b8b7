// Memory of the runtime: one allocator per tern_runtime, blocks and arrays that own what it gave.
//
// Everything is zeroed. Running out of memory is a Status, never an exception. Without an allocator
// of the application's, large blocks are anonymous mappings and small ones come from malloc.
#ifndef TERN_RUNTIME_CORE_MEMORY_H
#define TERN_RUNTIME_CORE_MEMORY_H

#include "runtime/core/Status.h"

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace tern {

/// Alignment of every block, and of every base pointer a kernel gets.
inline constexpr size_t blockAlignment = 64;
inline constexpr size_t hugePageSize = size_t(2) << 20;

/// Where memory comes from. Copied freely; thread-safe if the callbacks are.
struct Allocator {
  void *(*allocateMemory)(void *context, size_t size, size_t alignment) = nullptr;
  void (*deallocateMemory)(void *context, void *memory, size_t size) = nullptr;
  void *context = nullptr;

  /// Zeroed memory aligned to blockAlignment, or null. A mapping of at least hugePageSize is
  /// aligned to it.
  void *allocate(size_t size) const;
  void deallocate(void *memory, size_t size) const;
};

/// An owned range of bytes.
class Block {
public:
  Block() = default;
  Block(Block &&other) noexcept { *this = std::move(other); }
  Block &operator=(Block &&other) noexcept {
    if (this != &other) {
      release();
      allocator = other.allocator;
      memory = std::exchange(other.memory, nullptr);
      bytes = std::exchange(other.bytes, 0);
    }
    return *this;
  }
  Block(const Block &) = delete;
  Block &operator=(const Block &) = delete;
  ~Block() { release(); }

  /// Replaces the block by `size` zeroed bytes. `what` names it in the error.
  Status allocate(const Allocator &from, uint64_t size, const char *what);
  void release();
  /// Asks for 2 MB pages; has no effect where the system does not offer them.
  void adviseHugePages();

  uint8_t *data() const { return static_cast<uint8_t *>(memory); }
  size_t size() const { return bytes; }

private:
  Allocator allocator;
  void *memory = nullptr;
  size_t bytes = 0;
};

/// A fixed-size array of zero-initialised trivial elements.
template <typename T> class Array {
  static_assert(std::is_trivially_destructible_v<T>);

public:
  Status allocate(const Allocator &from, uint64_t size, const char *what) {
    uint64_t wanted;
    if (__builtin_mul_overflow(size, sizeof(T), &wanted))
      wanted = UINT64_MAX;
    TERN_RETURN_IF_ERROR(block.allocate(from, wanted, what));
    count = size;
    return {};
  }

  /// Forgets the elements from `size` on; their memory stays.
  void shrink(size_t size) { count = size < count ? size : count; }

  T *data() const { return reinterpret_cast<T *>(block.data()); }
  size_t size() const { return count; }
  size_t bytes() const { return block.size(); }
  T &operator[](size_t i) const { return data()[i]; }
  T *begin() const { return data(); }
  T *end() const { return data() + count; }

private:
  Block block;
  size_t count = 0;
};

/// Makes a T in memory of the allocator; null when there is none.
template <typename T, typename... Arguments>
T *createObject(const Allocator &allocator, Arguments &&...arguments) {
  static_assert(alignof(T) <= blockAlignment);
  void *memory = allocator.allocate(sizeof(T));
  return memory ? new (memory) T(std::forward<Arguments>(arguments)...) : nullptr;
}

/// Destroys what createObject made with the same allocator (taken by value: it may live in
/// *object).
template <typename T> void destroyObject(Allocator allocator, T *object) {
  object->~T();
  allocator.deallocate(object, sizeof(T));
}

} // namespace tern

#endif
