// Hash functions and limits of the tokenizer tables (schema/tokenizer.fbs).
//
// The compiler fills the tables and the runtime reads them with the same functions: they are part
// of the artifact format and change only with its schema version.
#ifndef TERN_RUNTIME_TEXT_TABLEFORMAT_H
#define TERN_RUNTIME_TEXT_TABLEFORMAT_H

#include <cstdint>
#include <string_view>

namespace tern::text {

/// Longest probe sequence the compiler may produce and the runtime follows.
inline constexpr uint32_t maxProbes = 64;

/// Result of an empty merge slot; no symbol has this id.
inline constexpr uint32_t noSymbol = 0xffffffff;

/// Longest control or user-defined token that is looked for in text.
inline constexpr uint32_t maxSpecialTokenBytes = 1024;

/// Finaliser of MurmurHash3: every input bit reaches every output bit.
inline uint64_t mixBits(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ull;
  x ^= x >> 33;
  return x;
}

inline uint32_t hashPair(uint32_t left, uint32_t right) {
  return uint32_t(mixBits(uint64_t(left) << 32 | right));
}

/// FNV-1a with a final mix, so that the high bits used for the slot are good.
inline uint32_t hashBytes(std::string_view bytes) {
  uint64_t h = 0xcbf29ce484222325ull;
  for (char c : bytes)
    h = (h ^ uint8_t(c)) * 0x100000001b3ull;
  return uint32_t(mixBits(h));
}

/// First slot of a key in a table of `slots` slots.
inline uint32_t firstSlot(uint32_t hash, uint32_t slots) {
  return uint32_t((uint64_t(hash) * slots) >> 32);
}

} // namespace tern::text

#endif
