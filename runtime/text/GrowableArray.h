// A growing array that reports lack of memory instead of throwing, for the text layer's buffers.
//
// Memory is kept when the array is cleared, so a buffer that is used again does not allocate once
// it has reached its size.
#ifndef TERN_RUNTIME_TEXT_GROWABLEARRAY_H
#define TERN_RUNTIME_TEXT_GROWABLEARRAY_H

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

namespace tern::text {

template <typename T> class GrowableArray {
  static_assert(std::is_trivially_copyable_v<T>, "elements are moved with realloc");

public:
  GrowableArray() = default;
  GrowableArray(GrowableArray &&other) noexcept { swap(other); }
  GrowableArray &operator=(GrowableArray &&other) noexcept {
    swap(other);
    return *this;
  }
  ~GrowableArray() { std::free(elements); }

  /// False when memory runs out; the array is then unchanged.
  [[nodiscard]] bool push(const T &element) {
    if (count == room && !reserve(count + 1))
      return false;
    elements[count++] = element;
    return true;
  }
  [[nodiscard]] bool append(const T *source, size_t number) {
    if (number == 0)
      return true;
    if (number > SIZE_MAX - count || !reserve(count + number))
      return false;
    std::memcpy(elements + count, source, number * sizeof(T));
    count += number;
    return true;
  }
  /// Room for at least `needed` elements; grows by half at least.
  [[nodiscard]] bool reserve(size_t needed) {
    if (needed <= room)
      return true;
    size_t grown = room + room / 2 + 16;
    if (grown < needed)
      grown = needed;
    if (grown > SIZE_MAX / sizeof(T))
      return false;
    void *moved = std::realloc(elements, grown * sizeof(T));
    if (!moved)
      return false;
    elements = static_cast<T *>(moved);
    room = grown;
    return true;
  }
  /// Drops elements at the end.
  void truncate(size_t size) {
    if (size < count)
      count = size;
  }
  void popBack() { --count; }
  void clear() { count = 0; }

  size_t size() const { return count; }
  bool empty() const { return count == 0; }
  T *data() { return elements; }
  const T *data() const { return elements; }
  T &operator[](size_t i) { return elements[i]; }
  const T &operator[](size_t i) const { return elements[i]; }
  T &back() { return elements[count - 1]; }
  T *begin() { return elements; }
  T *end() { return elements + count; }
  const T *begin() const { return elements; }
  const T *end() const { return elements + count; }

private:
  void swap(GrowableArray &other) noexcept {
    std::swap(elements, other.elements);
    std::swap(count, other.count);
    std::swap(room, other.room);
  }

  T *elements = nullptr;
  size_t count = 0;
  size_t room = 0;
};

} // namespace tern::text

#endif
