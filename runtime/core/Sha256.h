// SHA-256 (FIPS 180-4), incremental; uses the CPU's SHA instructions where it has them.
#ifndef TERN_RUNTIME_CORE_SHA256_H
#define TERN_RUNTIME_CORE_SHA256_H

#include <cstddef>
#include <cstdint>

namespace tern {

class Sha256 {
public:
  static constexpr size_t digestSize = 32;

  /// `allowInstructions` = false forces the portable code, for tests.
  explicit Sha256(bool allowInstructions = true);
  void update(const void *data, size_t size);
  /// Stores the digest of everything so far; the object is spent.
  void finish(uint8_t digest[digestSize]);

private:
  using BlockFunction = void (*)(uint32_t state[8], const uint8_t *data, size_t blocks);

  BlockFunction processBlocks;
  uint32_t state[8];
  uint64_t total = 0;
  uint8_t pending[64];
};

/// The digest of one range.
void sha256(const void *data, size_t size, uint8_t digest[Sha256::digestSize]);

} // namespace tern

#endif
