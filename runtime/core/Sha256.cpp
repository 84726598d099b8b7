// Portable rounds, and the x86 SHA extensions chosen at run time.
#include "runtime/core/Sha256.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

using namespace tern;

static constexpr uint32_t roundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotateRight(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

static uint32_t loadBigEndian(const uint8_t *p) {
  return uint32_t(p[0]) << 24 | uint32_t(p[1]) << 16 | uint32_t(p[2]) << 8 | p[3];
}

static void storeBigEndian(uint8_t *p, uint32_t x) {
  for (int i = 0; i < 4; ++i)
    p[i] = uint8_t(x >> (24 - 8 * i));
}

static void processPortable(uint32_t state[8], const uint8_t *data, size_t blocks) {
  for (; blocks; --blocks, data += 64) {
    uint32_t w[64];
    for (int i = 0; i < 16; ++i)
      w[i] = loadBigEndian(data + 4 * i);
    for (int i = 16; i < 64; ++i) {
      const uint32_t a = w[i - 15], b = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] + (rotateRight(a, 7) ^ rotateRight(a, 18) ^ a >> 3) +
             (rotateRight(b, 17) ^ rotateRight(b, 19) ^ b >> 10);
    }
    uint32_t s[8];
    memcpy(s, state, sizeof(s));
    // One round changes two of eight variables; the rest would only move by one place, so the
    // places move instead: eight rounds per turn bring them home.
    for (int i = 0; i < 64; i += 8) {
#pragma GCC unroll 8
      for (int r = 0; r < 8; ++r) {
        const uint32_t a = s[-r & 7], b = s[(1 - r) & 7], c = s[(2 - r) & 7];
        const uint32_t e = s[(4 - r) & 7], f = s[(5 - r) & 7], g = s[(6 - r) & 7];
        uint32_t &d = s[(3 - r) & 7], &h = s[(7 - r) & 7];
        const uint32_t t1 = h + (rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25)) +
                            ((e & f) ^ (~e & g)) + roundConstants[i + r] + w[i + r];
        d += t1;
        h = t1 + (rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22)) +
            ((a & b) ^ (a & c) ^ (b & c));
      }
    }
    for (int i = 0; i < 8; ++i)
      state[i] += s[i];
  }
}

#if defined(__x86_64__)
static bool hasShaInstructions() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
    return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

// The instructions keep the state as {A,B,E,F} and {C,D,G,H}; four rounds per step, the message
// schedule runs three steps ahead in a ring of four registers.
__attribute__((target("sha,ssse3,sse4.1"))) static void
processInstructions(uint32_t state[8], const uint8_t *data, size_t blocks) {
  const __m128i bigEndian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i *>(state));      // D C B A
  __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i *>(state + 4)); // H G F E
  low = _mm_shuffle_epi32(low, 0xB1);                                           // C D A B
  high = _mm_shuffle_epi32(high, 0x1B);                                         // E F G H
  __m128i abef = _mm_alignr_epi8(low, high, 8);
  __m128i cdgh = _mm_blend_epi16(high, low, 0xF0);

  for (; blocks; --blocks, data += 64) {
    const __m128i abefBefore = abef, cdghBefore = cdgh;
    __m128i message[4];
    for (int i = 0; i < 4; ++i)
      message[i] = _mm_shuffle_epi8(
          _mm_loadu_si128(reinterpret_cast<const __m128i *>(data + 16 * i)), bigEndian);
#pragma GCC unroll 16
    for (int step = 0; step < 16; ++step) {
      const __m128i now = message[step & 3];
      const __m128i sum = _mm_add_epi32(
          now, _mm_loadu_si128(reinterpret_cast<const __m128i *>(roundConstants + 4 * step)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
      // w[i+16..] = σ1 part of (w[i] + σ0(w[i+1..]) + w[i+9..])
      const __m128i next = message[(step + 1) & 3], third = message[(step + 2) & 3],
                    fourth = message[(step + 3) & 3];
      __m128i scheduled = _mm_sha256msg1_epu32(now, next);
      scheduled = _mm_add_epi32(scheduled, _mm_alignr_epi8(fourth, third, 4));
      message[step & 3] = _mm_sha256msg2_epu32(scheduled, fourth);
    }
    abef = _mm_add_epi32(abef, abefBefore);
    cdgh = _mm_add_epi32(cdgh, cdghBefore);
  }

  low = _mm_shuffle_epi32(abef, 0x1B);  // A B E F reversed: F E B A
  high = _mm_shuffle_epi32(cdgh, 0xB1); // D C H G
  _mm_storeu_si128(reinterpret_cast<__m128i *>(state), _mm_blend_epi16(low, high, 0xF0));
  _mm_storeu_si128(reinterpret_cast<__m128i *>(state + 4), _mm_alignr_epi8(high, low, 8));
}
#endif

Sha256::Sha256(bool allowInstructions) : processBlocks(processPortable) {
#if defined(__x86_64__)
  if (allowInstructions && hasShaInstructions())
    processBlocks = processInstructions;
#endif
  static constexpr uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(state, initial, sizeof(state));
}

void Sha256::update(const void *data, size_t size) {
  const uint8_t *bytes = static_cast<const uint8_t *>(data);
  const size_t filled = total % 64;
  total += size;
  if (filled) {
    const size_t taken = size < 64 - filled ? size : 64 - filled;
    memcpy(pending + filled, bytes, taken);
    bytes += taken;
    size -= taken;
    if (filled + taken < 64)
      return;
    processBlocks(state, pending, 1);
  }
  if (size >= 64)
    processBlocks(state, bytes, size / 64);
  if (size % 64)
    memcpy(pending, bytes + size / 64 * 64, size % 64);
}

void Sha256::finish(uint8_t digest[digestSize]) {
  const uint64_t bits = total * 8;
  uint8_t padding[72] = {0x80};
  const size_t zeros = (119 - total % 64) % 64; // up to 56 modulo 64 after the 0x80
  storeBigEndian(padding + 1 + zeros, uint32_t(bits >> 32));
  storeBigEndian(padding + 5 + zeros, uint32_t(bits));
  update(padding, 9 + zeros);
  for (int i = 0; i < 8; ++i)
    storeBigEndian(digest + 4 * i, state[i]);
}

void tern::sha256(const void *data, size_t size, uint8_t digest[Sha256::digestSize]) {
  Sha256 hash;
  hash.update(data, size);
  hash.finish(digest);
}
