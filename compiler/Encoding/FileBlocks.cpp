#include "compiler/Encoding/FileBlocks.h"

#include "llvm/Support/Endian.h"
#include <cstring>

using namespace llvm::support::endian;

namespace tern {

namespace {

constexpr unsigned superElements = 256;

// Sixteen bytes: byte i has element i in its low nibble and element 16 + i in its high one.
void unpackNibbles32(const uint8_t *bytes, uint8_t *codes) {
  for (unsigned i = 0; i < 16; ++i) {
    codes[i] = bytes[i] & 15;
    codes[16 + i] = bytes[i] >> 4;
  }
}
void packNibbles32(const uint8_t *codes, uint8_t *bytes) {
  for (unsigned i = 0; i < 16; ++i)
    bytes[i] = uint8_t((codes[i] & 15) | (codes[16 + i] & 15) << 4);
}

// Bit i of four bytes is bit 4 of code i.
void unpackFifthBits(const uint8_t *bytes, uint8_t *codes) {
  uint32_t bits = read32le(bytes);
  for (unsigned i = 0; i < 32; ++i)
    codes[i] |= (bits >> i & 1) << 4;
}
void packFifthBits(const uint8_t *codes, uint8_t *bytes) {
  uint32_t bits = 0;
  for (unsigned i = 0; i < 32; ++i)
    bits |= uint32_t(codes[i] >> 4 & 1) << i;
  write32le(bytes, bits);
}

// Planes of `width` bytes: element plane * width + m of each run lies in byte m of the run, at bit
// plane * bits.
void orPlanes(const uint8_t *bytes, unsigned width, unsigned bits, unsigned shift, uint8_t *codes) {
  unsigned planes = 8 / bits, run = planes * width;
  for (unsigned k = 0; k < superElements; ++k)
    codes[k] |= (bytes[k / run * width + k % width] >> (k % run / width * bits) & ((1 << bits) - 1))
                << shift;
}
void packPlanes(const uint8_t *codes, unsigned width, unsigned bits, unsigned shift,
                uint8_t *bytes) {
  unsigned planes = 8 / bits, run = planes * width;
  memset(bytes, 0, superElements / planes);
  for (unsigned k = 0; k < superElements; ++k)
    bytes[k / run * width + k % width] |= (codes[k] >> shift & ((1 << bits) - 1))
                                          << (k % run / width * bits);
}

// The twelve bytes of Q4_K and Q5_K: eight scales and eight minimums of six bits.
void unpackSixBitPairs(const uint8_t *bytes, GroupScale *scales) {
  for (unsigned g = 0; g < 4; ++g) {
    uint8_t first = bytes[g], second = bytes[4 + g], third = bytes[8 + g];
    scales[g].scale = first & 63;
    scales[g].minimum = second & 63;
    scales[4 + g].scale = (third & 15) | first >> 6 << 4;
    scales[4 + g].minimum = third >> 4 | second >> 6 << 4;
  }
}
void packSixBitPairs(const GroupScale *scales, uint8_t *bytes) {
  for (unsigned g = 0; g < 4; ++g) {
    const GroupScale &low = scales[g], &high = scales[4 + g];
    bytes[g] = uint8_t(low.scale | high.scale >> 4 << 6);
    bytes[4 + g] = uint8_t(low.minimum | high.minimum >> 4 << 6);
    bytes[8 + g] = uint8_t((high.scale & 15) | (high.minimum & 15) << 4);
  }
}

void readSuper(const uint8_t *scale, const uint8_t *minimum, unsigned groups, GroupScale *scales) {
  for (unsigned g = 0; g < groups; ++g) {
    scales[g].superScale = read16le(scale);
    scales[g].superMinimum = minimum ? read16le(minimum) : 0;
  }
}

} // namespace

// f16 scale; 32 int8 codes.
void unpackQ8_0(const uint8_t *block, BlockContent content) {
  content.scales[0] = {read16le(block)};
  memcpy(content.codes, block + 2, 32);
}
void packQ8_0(const BlockContent &content, uint8_t *block) {
  write16le(block, content.scales[0].scale);
  memcpy(block + 2, content.codes, 32);
}

// f16 scale; nibbles.
void unpackQ4_0(const uint8_t *block, BlockContent content) {
  content.scales[0] = {read16le(block)};
  unpackNibbles32(block + 2, content.codes);
}
void packQ4_0(const BlockContent &content, uint8_t *block) {
  write16le(block, content.scales[0].scale);
  packNibbles32(content.codes, block + 2);
}

// f16 scale, f16 minimum; nibbles.
void unpackQ4_1(const uint8_t *block, BlockContent content) {
  content.scales[0] = {read16le(block), read16le(block + 2)};
  unpackNibbles32(block + 4, content.codes);
}
void packQ4_1(const BlockContent &content, uint8_t *block) {
  write16le(block, content.scales[0].scale);
  write16le(block + 2, content.scales[0].minimum);
  packNibbles32(content.codes, block + 4);
}

// f16 scale; fifth bits; nibbles.
void unpackQ5_0(const uint8_t *block, BlockContent content) {
  content.scales[0] = {read16le(block)};
  unpackNibbles32(block + 6, content.codes);
  unpackFifthBits(block + 2, content.codes);
}
void packQ5_0(const BlockContent &content, uint8_t *block) {
  write16le(block, content.scales[0].scale);
  packFifthBits(content.codes, block + 2);
  packNibbles32(content.codes, block + 6);
}

// f16 scale, f16 minimum; fifth bits; nibbles.
void unpackQ5_1(const uint8_t *block, BlockContent content) {
  content.scales[0] = {read16le(block), read16le(block + 2)};
  unpackNibbles32(block + 8, content.codes);
  unpackFifthBits(block + 4, content.codes);
}
void packQ5_1(const BlockContent &content, uint8_t *block) {
  write16le(block, content.scales[0].scale);
  write16le(block + 2, content.scales[0].minimum);
  packFifthBits(content.codes, block + 4);
  packNibbles32(content.codes, block + 8);
}

// e8m0 scale; nibbles.
void unpackMXFP4(const uint8_t *block, BlockContent content) {
  content.scales[0] = {block[0]};
  unpackNibbles32(block + 1, content.codes);
}
void packMXFP4(const BlockContent &content, uint8_t *block) {
  block[0] = uint8_t(content.scales[0].scale);
  packNibbles32(content.codes, block + 1);
}

// f16 scale; element k in bit pair k % 4 of byte k / 4.
void unpackQ2_0(const uint8_t *block, BlockContent content) {
  content.scales[0] = {read16le(block)};
  for (unsigned k = 0; k < 64; ++k)
    content.codes[k] = block[2 + k / 4] >> (2 * (k % 4)) & 3;
}
void packQ2_0(const BlockContent &content, uint8_t *block) {
  write16le(block, content.scales[0].scale);
  for (unsigned byte = 0; byte < 16; ++byte) {
    const uint8_t *codes = content.codes + 4 * byte;
    block[2 + byte] = uint8_t(codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6);
  }
}

// A byte with scale and minimum per group of 16; bit pairs in planes of 32 bytes; f16 super-scale
// and super-minimum.
void unpackQ2_K(const uint8_t *block, BlockContent content) {
  for (unsigned g = 0; g < 16; ++g)
    content.scales[g] = {block[g] & 15u, uint32_t(block[g] >> 4)};
  memset(content.codes, 0, superElements);
  orPlanes(block + 16, 32, 2, 0, content.codes);
  readSuper(block + 80, block + 82, 16, content.scales);
}
void packQ2_K(const BlockContent &content, uint8_t *block) {
  for (unsigned g = 0; g < 16; ++g)
    block[g] = uint8_t(content.scales[g].scale | content.scales[g].minimum << 4);
  packPlanes(content.codes, 32, 2, 0, block + 16);
  write16le(block + 80, content.scales[0].superScale);
  write16le(block + 82, content.scales[0].superMinimum);
}

// Third bits in planes of 32 bytes; bit pairs in planes of 32 bytes; scales: low nibbles of 0..7
// and 8..15, then high bit pairs; f16 super-scale.
void unpackQ3_K(const uint8_t *block, BlockContent content) {
  memset(content.codes, 0, superElements);
  orPlanes(block, 32, 1, 2, content.codes);
  orPlanes(block + 32, 32, 2, 0, content.codes);
  const uint8_t *low = block + 96, *high = block + 104;
  for (unsigned g = 0; g < 16; ++g)
    content.scales[g] = {(low[g % 8] >> (g / 8 * 4) & 15u) | (high[g % 4] >> (g / 4 * 2) & 3u)
                                                                 << 4};
  readSuper(block + 108, nullptr, 16, content.scales);
}
void packQ3_K(const BlockContent &content, uint8_t *block) {
  packPlanes(content.codes, 32, 1, 2, block);
  packPlanes(content.codes, 32, 2, 0, block + 32);
  uint8_t *low = block + 96, *high = block + 104;
  memset(low, 0, 12);
  for (unsigned g = 0; g < 16; ++g) {
    low[g % 8] |= (content.scales[g].scale & 15) << (g / 8 * 4);
    high[g % 4] |= content.scales[g].scale >> 4 << (g / 4 * 2);
  }
  write16le(block + 108, content.scales[0].superScale);
}

// f16 super-scale and super-minimum; scales and minimums of six bits; nibbles in planes of 32
// bytes.
void unpackQ4_K(const uint8_t *block, BlockContent content) {
  unpackSixBitPairs(block + 4, content.scales);
  readSuper(block, block + 2, 8, content.scales);
  memset(content.codes, 0, superElements);
  orPlanes(block + 16, 32, 4, 0, content.codes);
}
void packQ4_K(const BlockContent &content, uint8_t *block) {
  write16le(block, content.scales[0].superScale);
  write16le(block + 2, content.scales[0].superMinimum);
  packSixBitPairs(content.scales, block + 4);
  packPlanes(content.codes, 32, 4, 0, block + 16);
}

// As Q4_K, with the fifth bits in planes of 32 bytes before the nibbles.
void unpackQ5_K(const uint8_t *block, BlockContent content) {
  unpackSixBitPairs(block + 4, content.scales);
  readSuper(block, block + 2, 8, content.scales);
  memset(content.codes, 0, superElements);
  orPlanes(block + 16, 32, 1, 4, content.codes);
  orPlanes(block + 48, 32, 4, 0, content.codes);
}
void packQ5_K(const BlockContent &content, uint8_t *block) {
  write16le(block, content.scales[0].superScale);
  write16le(block + 2, content.scales[0].superMinimum);
  packSixBitPairs(content.scales, block + 4);
  packPlanes(content.codes, 32, 1, 4, block + 16);
  packPlanes(content.codes, 32, 4, 0, block + 48);
}

// Nibbles in planes of 64 bytes; high bit pairs in planes of 32 bytes; int8 scales of groups of 16;
// f16 super-scale.
void unpackQ6_K(const uint8_t *block, BlockContent content) {
  memset(content.codes, 0, superElements);
  orPlanes(block, 64, 4, 0, content.codes);
  orPlanes(block + 128, 32, 2, 4, content.codes);
  for (unsigned g = 0; g < 16; ++g)
    content.scales[g] = {block[192 + g]};
  readSuper(block + 208, nullptr, 16, content.scales);
}
void packQ6_K(const BlockContent &content, uint8_t *block) {
  packPlanes(content.codes, 64, 4, 0, block);
  packPlanes(content.codes, 32, 2, 4, block + 128);
  for (unsigned g = 0; g < 16; ++g)
    block[192 + g] = uint8_t(content.scales[g].scale);
  write16le(block + 208, content.scales[0].superScale);
}

// f32 scale; int8 codes; sums of the codes over 16 elements, which follow from them.
void unpackQ8_K(const uint8_t *block, BlockContent content) {
  content.scales[0] = {read32le(block)};
  memcpy(content.codes, block + 4, superElements);
}
void packQ8_K(const BlockContent &content, uint8_t *block) {
  write32le(block, content.scales[0].scale);
  memcpy(block + 4, content.codes, superElements);
  for (unsigned g = 0; g < 16; ++g) {
    int sum = 0;
    for (unsigned i = 0; i < 16; ++i)
      sum += int8_t(content.codes[16 * g + i]);
    write16le(block + 260 + 2 * g, uint16_t(sum));
  }
}

// Base 3, digit n of byte m holding element n * width + m of its run: a run of 5 x 32 elements, one
// of 5 x 16, one of 4 x 4 (whose last digit is 0); f16 scale.
template <typename Visit> static void forEachTrit(Visit visit) {
  static constexpr struct {
    unsigned element, byte, width, digits;
  } runs[] = {{0, 0, 32, 5}, {160, 32, 16, 5}, {240, 48, 4, 4}};
  for (const auto &run : runs)
    for (unsigned digit = 0; digit < run.digits; ++digit)
      for (unsigned m = 0; m < run.width; ++m)
        visit(run.element + digit * run.width + m, run.byte + m, digit);
}
static constexpr unsigned powersOf3[] = {1, 3, 9, 27, 81};

void unpackTQ1_0(const uint8_t *block, BlockContent content) {
  content.scales[0] = {read16le(block + 52)};
  // A byte times any number, modulo 256, times 3 is below 768: no bit pattern gives a code above 2.
  forEachTrit([&](unsigned element, unsigned byte, unsigned digit) {
    content.codes[element] = uint8_t(uint8_t(block[byte] * powersOf3[digit]) * 3 >> 8);
  });
}
void packTQ1_0(const BlockContent &content, uint8_t *block) {
  unsigned values[52] = {};
  forEachTrit([&](unsigned element, unsigned byte, unsigned digit) {
    values[byte] += content.codes[element] * powersOf3[4 - digit];
  });
  for (unsigned byte = 0; byte < 52; ++byte)
    block[byte] = uint8_t((values[byte] * 256 + 242) / 243);
  write16le(block + 52, content.scales[0].scale);
}

// Two halves of 128 elements in 32 bytes each, bit pair l of byte m holding element 32 l + m; f16
// scale.
void unpackTQ2_0(const uint8_t *block, BlockContent content) {
  content.scales[0] = {read16le(block + 64)};
  memset(content.codes, 0, superElements);
  orPlanes(block, 32, 2, 0, content.codes);
}
void packTQ2_0(const BlockContent &content, uint8_t *block) {
  write16le(block + 64, content.scales[0].scale);
  packPlanes(content.codes, 32, 2, 0, block);
}

// A quarter of the elements in each bit pair of the bytes, the first in the highest. The scale is
// the tensor's, behind its last block.
static void unpackQuarters(const uint8_t *block, unsigned bytes, uint8_t *codes) {
  for (unsigned quarter = 0; quarter < 4; ++quarter)
    for (unsigned i = 0; i < bytes; ++i)
      codes[quarter * bytes + i] = block[i] >> (6 - 2 * quarter) & 3;
}
static void packQuarters(const uint8_t *codes, unsigned bytes, uint8_t *block) {
  for (unsigned i = 0; i < bytes; ++i)
    block[i] = uint8_t(codes[i] << 6 | codes[bytes + i] << 4 | codes[2 * bytes + i] << 2 |
                       codes[3 * bytes + i]);
}
void unpackI2_S128(const uint8_t *block, BlockContent content) {
  content.scales[0] = {};
  unpackQuarters(block, 32, content.codes);
}
void packI2_S128(const BlockContent &content, uint8_t *block) {
  packQuarters(content.codes, 32, block);
}
void unpackI2_S64(const uint8_t *block, BlockContent content) {
  content.scales[0] = {};
  unpackQuarters(block, 16, content.codes);
}
void packI2_S64(const BlockContent &content, uint8_t *block) {
  packQuarters(content.codes, 16, block);
}

// Element k in bit pair k % 4 of byte k / 4; f16 scale.
void unpackTernary(const uint8_t *block, BlockContent content) {
  content.scales[0] = {read16le(block + 64)};
  for (unsigned k = 0; k < 256; ++k)
    content.codes[k] = block[k / 4] >> (2 * (k % 4)) & 3;
}
void packTernary(const BlockContent &content, uint8_t *block) {
  write16le(block + 64, content.scales[0].scale);
  for (unsigned byte = 0; byte < 64; ++byte) {
    const uint8_t *codes = content.codes + 4 * byte;
    block[byte] = uint8_t(codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6);
  }
}

} // namespace tern
