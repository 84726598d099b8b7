// Random numbers for sampling: PCG32 (O'Neill 2014, XSH-RR), the same on every platform.
#ifndef TERN_RUNTIME_SESSION_RANDOM_H
#define TERN_RUNTIME_SESSION_RANDOM_H

#include <cstdint>

namespace tern::runtime {

class Random {
public:
  /// As pcg32_srandom(seed, stream) of the reference implementation.
  explicit Random(uint64_t seed = 0, uint64_t stream = 54) : increment(stream << 1 | 1) {
    next();
    state += seed;
    next();
  }

  uint32_t next() {
    const uint64_t old = state;
    state = old * 6364136223846793005u + increment;
    const uint32_t mixed = uint32_t((old >> 18 ^ old) >> 27);
    const unsigned rotation = unsigned(old >> 59);
    return mixed >> rotation | mixed << (-rotation & 31);
  }

  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform() {
    const uint64_t high = next();
    return double((high << 32 | next()) >> 11) * 0x1p-53;
  }

private:
  uint64_t state = 0;
  uint64_t increment;
};

} // namespace tern::runtime

#endif
