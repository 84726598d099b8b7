// Reads and writes single codes and scales of packed weights, as the comment of WeightLayout.h says
// and by no code of its own: what packer and kernels are compared with.
#ifndef TERN_TEST_UNIT_ENCODING_PACKEDVIEW_H
#define TERN_TEST_UNIT_ENCODING_PACKEDVIEW_H

#include "compiler/Encoding/GroupArithmetic.h"
#include <cstring>

namespace tern {

class PackedView {
public:
  PackedView(const EncodingDesc &encoding, uint64_t k, uint64_t parts, uint8_t *bytes)
      : e(encoding), k(k), parts(parts), bytes(bytes) {
    if (e.isFloat())
      return; // nothing here serves float codes
    cellGroups = !e.superSize ? 1 : e.scale == ScaleType::I6 ? 8 : e.scale == ScaleType::U6 ? 4 : 2;
    cellElements = cellGroups * e.groupSize;
    switch (e.codes) {
    case CodeKind::Int3:
      low = 2, high = 1;
      break;
    case CodeKind::Int5:
    case CodeKind::UInt5:
      low = 4, high = 1;
      break;
    case CodeKind::Int6:
      low = 4, high = 2;
      break;
    default:
      low = e.codeBits();
    }
    lowPlanes = e.codes == CodeKind::TernaryB3 ? 5 : 8 / low;
    lowLines = (cellElements / 4 + lowPlanes - 1) / lowPlanes;
    highLines = high ? cellElements * high / 32 : 0;
    unsigned innerBits = e.scale == ScaleType::U4   ? 8
                         : e.scale == ScaleType::U6 ? 12
                         : e.scale == ScaleType::I6 ? 6
                                                    : 8;
    innerBytes = e.superSize ? cellGroups * innerBits / 8 : 0;
    cellBytes = 32 * innerBytes + 128 * (lowLines + highLines);
    headerBytes = 32 * scaleBytes() * (e.minimum ? 2 : 1);
    outerBytes = headerBytes + outerElements() / cellElements * cellBytes;
  }

  uint64_t outerElements() const { return e.superSize ? e.superSize : e.groupSize; }
  uint64_t tileBytes() const { return k / outerElements() * parts * outerBytes; }

  unsigned code(uint64_t part, uint64_t row, uint64_t at) const {
    uint64_t quad = at % cellElements / 4;
    uint8_t *lines = cell(part, row, at) + 32 * innerBytes + 4 * (row % 32) + at % 4;
    uint8_t lowByte = lines[128 * lowLine(quad)];
    if (e.codes == CodeKind::TernaryB3)
      return digit(lowByte, quad % 5);
    unsigned value = lowByte >> (quad % lowPlanes * low) & ((1u << low) - 1);
    if (high)
      value |= (lines[128 * highLine(quad)] >> (quad % (8 / high) * high) & ((1u << high) - 1))
               << low;
    return value;
  }

  /// Into bytes that were zero.
  void setCode(uint64_t part, uint64_t row, uint64_t at, unsigned value) {
    uint64_t quad = at % cellElements / 4;
    uint8_t *lines = cell(part, row, at) + 32 * innerBytes + 4 * (row % 32) + at % 4;
    uint8_t &lowByte = lines[128 * lowLine(quad)];
    if (e.codes == CodeKind::TernaryB3) {
      unsigned number = 0;
      for (unsigned i = 0; i < 5; ++i)
        number = number * 3 + (i == quad % 5 ? value : digit(lowByte, i));
      lowByte = uint8_t((number * 256 + 242) / 243);
      return;
    }
    lowByte |= (value & ((1u << low) - 1)) << (quad % lowPlanes * low);
    if (high)
      lines[128 * highLine(quad)] |= value >> low << (quad % (8 / high) * high);
  }

  GroupScale scale(uint64_t part, uint64_t row, uint64_t at) const {
    GroupScale result;
    uint32_t outer = load(outerScale(part, row, at, 0)), minimum = 0;
    if (e.minimum)
      minimum = load(outerScale(part, row, at, 1));
    if (!e.superSize)
      return {outer, minimum};
    result.superScale = outer;
    result.superMinimum = minimum;
    uint8_t *inner = cell(part, row, at) + row % 32;
    unsigned g = unsigned(at % cellElements / e.groupSize);
    auto byte = [&](unsigned number) -> unsigned { return inner[32 * number]; };
    switch (e.scale) {
    case ScaleType::U4:
      result.scale = byte(g) & 15;
      result.minimum = byte(g) >> 4;
      break;
    case ScaleType::U6:
      result.scale = byte(g) & 63;
      result.minimum = byte(g) >> 6 | (byte(4 + g / 2) >> (g % 2 * 4) & 15) << 2;
      break;
    case ScaleType::I6:
      result.scale = (byte(g / 2) >> (g % 2 * 4) & 15) | (byte(4 + g / 4) >> (g % 4 * 2) & 3) << 4;
      break;
    default:
      result.scale = byte(g);
    }
    return result;
  }

  /// Into bytes that were zero; once for each group.
  void setScale(uint64_t part, uint64_t row, uint64_t at, const GroupScale &value) {
    store(outerScale(part, row, at, 0), e.superSize ? value.superScale : value.scale);
    if (e.minimum)
      store(outerScale(part, row, at, 1), e.superSize ? value.superMinimum : value.minimum);
    if (!e.superSize)
      return;
    uint8_t *inner = cell(part, row, at) + row % 32;
    unsigned g = unsigned(at % cellElements / e.groupSize);
    switch (e.scale) {
    case ScaleType::U4:
      inner[32 * g] = uint8_t(value.scale | value.minimum << 4);
      break;
    case ScaleType::U6:
      inner[32 * g] = uint8_t(value.scale | (value.minimum & 3) << 6);
      inner[32 * (4 + g / 2)] |= value.minimum >> 2 << (g % 2 * 4);
      break;
    case ScaleType::I6:
      inner[32 * (g / 2)] |= (value.scale & 15) << (g % 2 * 4);
      inner[32 * (4 + g / 4)] |= value.scale >> 4 << (g % 4 * 2);
      break;
    default:
      inner[32 * g] = uint8_t(value.scale);
    }
  }

  float value(uint64_t part, uint64_t row, uint64_t at) const {
    EncodingDesc single = e;
    single.groupSize = 1;
    uint8_t stored = uint8_t(code(part, row, at));
    float result;
    decodeGroup(single, &stored, scale(part, row, at), &result);
    return result;
  }

  /// The bytes of outer scales, minimums included: all outer groups' headers in the matrix.
  template <typename Visit> void forEachScaleByte(uint64_t rows, Visit visit) const {
    for (uint64_t tile = 0; tile < (rows + 31) / 32; ++tile)
      for (uint64_t at = 0; at < k; at += outerElements())
        for (uint64_t part = 0; part < parts; ++part)
          for (uint64_t i = 0; i < headerBytes; ++i)
            visit(outer(part, tile * 32, at)[i], i % scaleBytes());
  }
  unsigned scaleBytes() const {
    ScaleType type = e.superSize ? e.superScale : e.scale;
    return type == ScaleType::F16 ? 2 : type == ScaleType::F32 ? 4 : 1;
  }

private:
  // A high line precedes the low lines of the quads it completes.
  uint64_t highBefore(uint64_t quad) const { return high ? quad / (8 / high) : 0; }
  uint64_t lowLine(uint64_t quad) const {
    return quad / lowPlanes + (high ? highBefore(quad) + 1 : 0);
  }
  uint64_t highLine(uint64_t quad) const {
    uint64_t firstQuad = highBefore(quad) * (8 / high);
    return highBefore(quad) + firstQuad / lowPlanes;
  }
  static unsigned digit(uint8_t byte, uint64_t number) {
    for (uint64_t i = 0; i < number; ++i)
      byte = uint8_t(byte * 3);
    return byte * 3u >> 8;
  }
  uint8_t *outer(uint64_t part, uint64_t row, uint64_t at) const {
    return bytes + row / 32 * tileBytes() + (at / outerElements() * parts + part) * outerBytes;
  }
  uint8_t *cell(uint64_t part, uint64_t row, uint64_t at) const {
    return outer(part, row, at) + headerBytes + at % outerElements() / cellElements * cellBytes;
  }
  uint8_t *outerScale(uint64_t part, uint64_t row, uint64_t at, unsigned minimum) const {
    return outer(part, row, at) + (minimum * 32 + row % 32) * scaleBytes();
  }
  uint32_t load(const uint8_t *from) const {
    uint32_t value = 0;
    memcpy(&value, from, scaleBytes());
    return value;
  }
  void store(uint8_t *to, uint32_t value) const { memcpy(to, &value, scaleBytes()); }

  EncodingDesc e;
  uint64_t k, parts;
  uint8_t *bytes;
  unsigned low = 0, high = 0, lowPlanes = 1;
  uint64_t cellGroups = 0, cellElements = 0, lowLines = 0, highLines = 0, innerBytes = 0,
           cellBytes = 0, headerBytes = 0, outerBytes = 0;
};

} // namespace tern
#endif
