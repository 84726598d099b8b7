// Arithmetic on sizes that come from a file: nothing wraps silently.
#ifndef TERN_RUNTIME_CORE_CHECKEDMATH_H
#define TERN_RUNTIME_CORE_CHECKEDMATH_H

#include <cstdint>

namespace tern {

/// An unsigned 64-bit number that remembers whether any step of its computation overflowed.
class CheckedSize {
public:
  constexpr CheckedSize(uint64_t value = 0) : number(value) {}

  CheckedSize operator+(CheckedSize other) const {
    CheckedSize result;
    result.overflowed = __builtin_add_overflow(number, other.number, &result.number) ||
                        overflowed || other.overflowed;
    return result;
  }
  CheckedSize operator*(CheckedSize other) const {
    CheckedSize result;
    result.overflowed = __builtin_mul_overflow(number, other.number, &result.number) ||
                        overflowed || other.overflowed;
    return result;
  }
  CheckedSize &operator+=(CheckedSize other) { return *this = *this + other; }
  CheckedSize &operator*=(CheckedSize other) { return *this = *this * other; }

  /// The next multiple of `alignment`, a power of two.
  CheckedSize alignedTo(uint64_t alignment) const {
    CheckedSize result = *this + (alignment - 1);
    result.number &= ~(alignment - 1);
    return result;
  }

  bool isValid() const { return !overflowed; }
  /// True if the value is known and at most `limit`.
  bool isAtMost(uint64_t limit) const { return !overflowed && number <= limit; }
  /// True if the value is known and equal to `other`.
  bool isEqualTo(uint64_t other) const { return !overflowed && number == other; }
  /// Meaningful only if isValid(); saturated otherwise.
  uint64_t value() const { return overflowed ? UINT64_MAX : number; }

private:
  uint64_t number;
  bool overflowed = false;
};

} // namespace tern

#endif
