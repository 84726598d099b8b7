// The table of file block formats, and reference decoding and encoding.
//
// Block layouts are those of ggml-quants (llama.cpp); the arithmetic follows the `gguf` package so
// that results are equal to the last bit.
#include "compiler/Encoding/BlockFormat.h"

#include "compiler/Encoding/HalfFloat.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Endian.h"
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

using namespace llvm;
using support::endian::read16le;
using support::endian::write16le;

namespace tern {

namespace {

//===-- Blocks
//------------------------------------------------------------------------------------===//

// f16 scale; 32 int8 codes.
void unpackQ8_0(const uint8_t *block, BlockContent content) {
  content.scales[0] = read16le(block);
  memcpy(content.codes, block + 2, 32);
}
void packQ8_0(const BlockContent &content, uint8_t *block) {
  write16le(block, content.scales[0]);
  memcpy(block + 2, content.codes, 32);
}

// f16 scale; byte i holds element i in its low nibble, element 16 + i in its high one.
void unpackQ4_0(const uint8_t *block, BlockContent content) {
  content.scales[0] = read16le(block);
  for (unsigned i = 0; i < 16; ++i) {
    content.codes[i] = block[2 + i] & 15;
    content.codes[16 + i] = block[2 + i] >> 4;
  }
}
void packQ4_0(const BlockContent &content, uint8_t *block) {
  write16le(block, content.scales[0]);
  for (unsigned i = 0; i < 16; ++i)
    block[2 + i] = content.codes[i] | content.codes[16 + i] << 4;
}

// Two halves of 128 elements in 32 bytes each, bit pair l of byte m holding element 32 l + m; f16
// scale.
void unpackTQ2_0(const uint8_t *block, BlockContent content) {
  content.scales[0] = read16le(block + 64);
  for (unsigned half = 0; half < 2; ++half)
    for (unsigned l = 0; l < 4; ++l)
      for (unsigned m = 0; m < 32; ++m)
        content.codes[128 * half + 32 * l + m] = block[32 * half + m] >> (2 * l) & 3;
}
void packTQ2_0(const BlockContent &content, uint8_t *block) {
  write16le(block + 64, content.scales[0]);
  for (unsigned half = 0; half < 2; ++half)
    for (unsigned m = 0; m < 32; ++m) {
      uint8_t byte = 0;
      for (unsigned l = 0; l < 4; ++l)
        byte |= content.codes[128 * half + 32 * l + m] << (2 * l);
      block[32 * half + m] = byte;
    }
}

// Element k in bit pair k % 4 of byte k / 4; f16 scale.
void unpackTernary(const uint8_t *block, BlockContent content) {
  content.scales[0] = read16le(block + 64);
  for (unsigned k = 0; k < 256; ++k)
    content.codes[k] = block[k / 4] >> (2 * (k % 4)) & 3;
}
void packTernary(const BlockContent &content, uint8_t *block) {
  write16le(block + 64, content.scales[0]);
  for (unsigned byte = 0; byte < 64; ++byte) {
    const uint8_t *codes = content.codes + 4 * byte;
    block[byte] = codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6;
  }
}

constexpr EncodingDesc f32{CodeKind::F32}, f16{CodeKind::F16}, bf16{CodeKind::BF16};
constexpr EncodingDesc int8g32{CodeKind::Int8, 32, ScaleType::F16};
constexpr EncodingDesc int4g32{CodeKind::Int4, 32, ScaleType::F16};
constexpr EncodingDesc ternaryg256{CodeKind::Ternary, 256, ScaleType::F16};

// Type numbers are those of enum ggml_type.
constexpr BlockFormat formats[] = {
    // name     type elements bytes encoding   fit             unpack         pack
    {"f32", 0, 1, 4, f32, GroupFit::Peak, nullptr, nullptr},
    {"f16", 1, 1, 2, f16, GroupFit::Peak, nullptr, nullptr},
    {"bf16", 30, 1, 2, bf16, GroupFit::Peak, nullptr, nullptr},
    {"q8_0", 8, 32, 34, int8g32, GroupFit::Peak, unpackQ8_0, packQ8_0},
    {"q4_0", 2, 32, 18, int4g32, GroupFit::Peak, unpackQ4_0, packQ4_0},
    {"tq2_0", 35, 256, 66, ternaryg256, GroupFit::Peak, unpackTQ2_0, packTQ2_0},
    {"ternary", -1, 256, 66, ternaryg256, GroupFit::Mean, unpackTernary, packTernary},
};

//===-- Groups
//------------------------------------------------------------------------------------===//

float scaleFromBits(ScaleType type, uint32_t bits) {
  return type == ScaleType::F16 ? halfToFloat(bits) : std::bit_cast<float>(bits);
}

uint32_t scaleToBits(ScaleType type, float scale) {
  return type == ScaleType::F16 ? floatToHalf(scale) : std::bit_cast<uint32_t>(scale);
}

// To the nearest integer, halves away from zero (as ggml's roundf), then clamped; NaN becomes 0.
int roundClamped(float x, int low, int high) {
  if (!(x > float(low)))
    return x == x ? low : 0;
  if (!(x < float(high)))
    return high;
  float magnitude = std::fabs(x);
  int whole = int(magnitude);
  whole += magnitude - float(whole) >= 0.5f;
  return x < 0 ? -whole : whole;
}

float peakMagnitude(ArrayRef<float> values) {
  float peak = 0;
  for (float x : values)
    peak = std::max(peak, std::fabs(x));
  return peak;
}

// The first value of the largest magnitude, with its sign.
float signedPeak(ArrayRef<float> values) {
  float peak = 0, result = 0;
  for (float x : values)
    if (std::fabs(x) > peak) {
      peak = std::fabs(x);
      result = x;
    }
  return result;
}

// Symmetric: code = round(x / scale) + zero in low..high.
float encodeSymmetric(ArrayRef<float> values, float scale, int low, int high, int zero,
                      uint8_t *codes) {
  float inverse = scale == 0 ? 0 : 1 / scale;
  for (auto [i, x] : enumerate(values))
    codes[i] = uint8_t(roundClamped(x * inverse, low, high) + zero);
  return scale;
}

// GGUF's Q4_0: the value of largest magnitude becomes code 0 (that is, -8).
float encodeInt4(ArrayRef<float> values, uint8_t *codes) {
  float scale = signedPeak(values) / -8;
  float inverse = scale == 0 ? 0 : 1 / scale;
  for (auto [i, x] : enumerate(values)) {
    float shifted = x * inverse + 8.5f;
    codes[i] = !(shifted > 0) ? 0 : shifted >= 15 ? 15 : uint8_t(shifted);
  }
  return scale;
}

// The mean magnitude, except that a group of nothing but 0 and +-m keeps its values exactly.
float ternaryMean(ArrayRef<float> values, float peak) {
  double sum = 0;
  bool exact = true;
  for (float x : values) {
    sum += std::fabs(x);
    exact &= x == 0 || std::fabs(x) == peak;
  }
  return exact ? peak : float(sum / double(values.size()));
}

} // namespace

uint32_t encodeGroup(const EncodingDesc &encoding, GroupFit fit, const float *data,
                     uint8_t *codes) {
  ArrayRef<float> values(data, encoding.groupSize);
  float scale = 0;
  switch (encoding.codes) {
  case CodeKind::Int8:
    scale = encodeSymmetric(values, peakMagnitude(values) / 127, -127, 127, 0, codes);
    break;
  case CodeKind::Int4:
    scale = encodeInt4(values, codes);
    break;
  case CodeKind::Ternary: {
    float peak = peakMagnitude(values);
    scale = encodeSymmetric(values, fit == GroupFit::Mean ? ternaryMean(values, peak) : peak, -1, 1,
                            1, codes);
    break;
  }
  case CodeKind::Quaternary: // the value of largest magnitude becomes code 3 (that is, +2)
    scale = encodeSymmetric(values, signedPeak(values) / 2, -1, 2, 1, codes);
    break;
  case CodeKind::F32:
  case CodeKind::F16:
  case CodeKind::BF16:
    llvm_unreachable("float codes have no groups");
  }
  return scaleToBits(encoding.scale, scale);
}

void decodeGroup(const EncodingDesc &encoding, const uint8_t *codes, uint32_t scaleBits,
                 float *values) {
  float scale = scaleFromBits(encoding.scale, scaleBits);
  if (encoding.codes == CodeKind::Int8) {
    for (unsigned i = 0; i < encoding.groupSize; ++i)
      values[i] = scale * float(int8_t(codes[i]));
    return;
  }
  int zero = encoding.zero();
  for (unsigned i = 0; i < encoding.groupSize; ++i)
    values[i] = scale * float(int(codes[i]) - zero);
}

//===-- Table and rows
//----------------------------------------------------------------------------===//

ArrayRef<BlockFormat> blockFormats() { return formats; }

const BlockFormat *findBlockFormat(StringRef name) {
  const BlockFormat *found = find_if(formats, [&](const BlockFormat &f) { return f.name == name; });
  return found == std::end(formats) ? nullptr : found;
}

const BlockFormat *findBlockFormatByGGUFType(uint32_t type) {
  const BlockFormat *found = find_if(formats, [&](const BlockFormat &f) {
    return f.ggufType >= 0 && uint32_t(f.ggufType) == type;
  });
  return found == std::end(formats) ? nullptr : found;
}

std::string knownBlockFormats() {
  std::string text;
  for (const BlockFormat &format : formats)
    text += (text.empty() ? "" : ", ") + format.name.str();
  return text;
}

void decodeRow(const BlockFormat &format, const uint8_t *bytes, uint64_t elements, float *values) {
  assert(elements % format.blockElements == 0);
  switch (format.encoding.codes) {
  case CodeKind::F32:
    memcpy(values, bytes, elements * 4);
    return;
  case CodeKind::F16:
    for (uint64_t i = 0; i < elements; ++i)
      values[i] = halfToFloat(read16le(bytes + 2 * i));
    return;
  case CodeKind::BF16:
    for (uint64_t i = 0; i < elements; ++i)
      values[i] = bfloat16ToFloat(read16le(bytes + 2 * i));
    return;
  default:
    break;
  }
  uint8_t codes[maxBlockElements];
  uint32_t scales[maxGroupsPerBlock];
  unsigned group = format.encoding.groupSize;
  for (uint64_t i = 0; i < elements; i += format.blockElements, bytes += format.blockBytes) {
    format.unpack(bytes, {codes, scales});
    for (unsigned g = 0; g < format.groupsPerBlock(); ++g)
      decodeGroup(format.encoding, codes + g * group, scales[g], values + i + g * group);
  }
}

void encodeRow(const BlockFormat &format, const float *values, uint64_t elements, uint8_t *bytes) {
  assert(elements % format.blockElements == 0);
  switch (format.encoding.codes) {
  case CodeKind::F32:
    memcpy(bytes, values, elements * 4);
    return;
  case CodeKind::F16:
    for (uint64_t i = 0; i < elements; ++i)
      write16le(bytes + 2 * i, floatToHalf(values[i]));
    return;
  case CodeKind::BF16:
    for (uint64_t i = 0; i < elements; ++i)
      write16le(bytes + 2 * i, floatToBfloat16(values[i]));
    return;
  default:
    break;
  }
  uint8_t codes[maxBlockElements];
  uint32_t scales[maxGroupsPerBlock];
  unsigned group = format.encoding.groupSize;
  for (uint64_t i = 0; i < elements; i += format.blockElements, bytes += format.blockBytes) {
    for (unsigned g = 0; g < format.groupsPerBlock(); ++g)
      scales[g] =
          encodeGroup(format.encoding, format.fit, values + i + g * group, codes + g * group);
    format.pack({codes, scales}, bytes);
  }
}

} // namespace tern
