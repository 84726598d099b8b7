// Packing into WeightLayout order: one generic path, and short cuts for the formats models mostly
// use.
//
// A short cut moves a block's codes into their lines with a few word operations; it yields the same
// bytes as the generic path (test/unit/encoding compares them).
#include "compiler/Encoding/PackWeights.h"

#include "compiler/Encoding/HalfFloat.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Endian.h"
#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <vector>

using namespace llvm;
using support::endian::read32le;
using support::endian::read64le;
using support::endian::write16le;
using support::endian::write32le;

namespace tern {

namespace {

constexpr size_t tq2BlockCodeBytes = 64;

// Nonzero bits where a byte of four 2-bit codes has code 3.
uint64_t code3Mask(uint64_t word) { return word & (word >> 1) & 0x5555555555555555; }

bool blockHoldsCode3(const uint8_t *codes) {
  uint64_t found = 0;
  for (size_t i = 0; i < tq2BlockCodeBytes; i += 8)
    found |= code3Mask(read64le(codes + i));
  return found != 0;
}

//===-- Where a row's codes and scales go
//---------------------------------------------------------===//

// One row of one part within one group of a tile.
struct GroupSlot {
  uint8_t *scale;
  uint8_t *codes;  // line 0 of this row
  unsigned stride; // bytes from one line to the next

  static GroupSlot at(const PackedMatrix &m, uint8_t *tile, uint64_t group, unsigned part,
                      unsigned row) {
    uint8_t *base = tile + (group * m.parts.size() + part) * m.layout.groupBytes(m.encoding);
    unsigned scaleBytes = m.encoding.scaleBytes();
    return {base + row * scaleBytes, base + m.layout.tileRows * scaleBytes + 4 * row,
            4 * m.layout.tileRows};
  }
};

//===-- Short cuts: one block = one group, codes and f16 scale copied
//------------------------------===//

// Sixteen bytes hold the codes of four lines: line l of word q is bit pair l, and shall become bit
// pair q of line l. That is the transposition of a 4 x 4 matrix of bit pairs.
void placeTQ2_0(const uint8_t *block, GroupSlot slot) {
  memcpy(slot.scale, block + tq2BlockCodeBytes, 2);
  for (unsigned half = 0; half < 2; ++half)
    for (unsigned odd = 0; odd < 2; ++odd) {
      const uint8_t *words = block + 32 * half + 16 * odd;
      uint32_t w0 = read32le(words), w1 = read32le(words + 4), w2 = read32le(words + 8),
               w3 = read32le(words + 12);
      auto swap = [](uint32_t &low, uint32_t &high, unsigned shift, uint32_t mask) {
        uint32_t difference = ((low >> shift) ^ high) & mask;
        high ^= difference;
        low ^= difference << shift;
      };
      swap(w0, w1, 2, 0x33333333);
      swap(w2, w3, 2, 0x33333333);
      swap(w0, w2, 4, 0x0f0f0f0f);
      swap(w1, w3, 4, 0x0f0f0f0f);
      uint8_t *line = slot.codes + size_t(8 * half + odd) * slot.stride;
      write32le(line, w0);
      write32le(line + 2 * slot.stride, w1);
      write32le(line + 4 * slot.stride, w2);
      write32le(line + 6 * slot.stride, w3);
    }
}

void placeQ4_0(const uint8_t *block, GroupSlot slot) {
  memcpy(slot.scale, block, 2);
  for (unsigned j = 0; j < 2; ++j) {
    uint32_t first = read32le(block + 2 + 8 * j), second = read32le(block + 6 + 8 * j);
    write32le(slot.codes + size_t(j) * slot.stride, (first & 0x0f0f0f0f) | (second & 0x0f0f0f0f)
                                                                               << 4);
    write32le(slot.codes + size_t(j + 2) * slot.stride,
              (first >> 4 & 0x0f0f0f0f) | (second & 0xf0f0f0f0));
  }
}

void placeQ8_0(const uint8_t *block, GroupSlot slot) {
  memcpy(slot.scale, block, 2);
  for (unsigned j = 0; j < 8; ++j)
    memcpy(slot.codes + size_t(j) * slot.stride, block + 2 + 4 * j, 4);
}

using PlaceBlock = void (*)(const uint8_t *block, GroupSlot slot);

PlaceBlock findShortCut(const EncodingDesc &encoding, const BlockFormat &format) {
  if (!holdsExactly(encoding, format) || encoding.scale != ScaleType::F16)
    return nullptr;
  return StringSwitch<PlaceBlock>(format.name)
      .Case("tq2_0", placeTQ2_0)
      .Case("q4_0", placeQ4_0)
      .Case("q8_0", placeQ8_0)
      .Default(nullptr);
}

//===-- Generic path
//------------------------------------------------------------------------------===//

void placeGroup(const EncodingDesc &encoding, const uint8_t *codes, uint32_t scaleBits,
                GroupSlot slot) {
  if (encoding.scale == ScaleType::F16)
    write16le(slot.scale, scaleBits);
  else
    write32le(slot.scale, scaleBits);
  unsigned bits = encoding.codeBits(), planes = 8 / bits;
  unsigned mask = (1u << bits) - 1;
  for (unsigned j = 0; j < encoding.groupSize / (4 * planes); ++j)
    for (unsigned i = 0; i < 4; ++i) {
      unsigned byte = 0;
      for (unsigned q = 0; q < planes; ++q)
        byte |= (codes[(j * planes + q) * 4 + i] & mask) << (q * bits);
      slot.codes[size_t(j) * slot.stride + i] = uint8_t(byte);
    }
}

// The codes and scales of a whole row in the target encoding.
struct RowCodes {
  std::vector<uint8_t> codes;
  std::vector<uint32_t> scales;
  std::vector<float> values;

  void load(const PackedMatrix &m, const BlockFormat &format, const uint8_t *row) {
    codes.resize(m.k);
    scales.resize(m.k / m.encoding.groupSize);
    if (holdsExactly(m.encoding, format))
      copyCodes(m, format, row);
    else
      encodeValues(m, format, row);
  }

private:
  void copyCodes(const PackedMatrix &m, const BlockFormat &format, const uint8_t *row) {
    for (uint64_t k = 0; k < m.k; k += format.blockElements, row += format.blockBytes)
      format.unpack(row, {&codes[k], &scales[k / m.encoding.groupSize]});
    if (format.encoding.scale != m.encoding.scale)
      for (uint32_t &scale : scales)
        scale = std::bit_cast<uint32_t>(halfToFloat(uint16_t(scale)));
    if (m.encoding.codes != CodeKind::Ternary)
      return;
    for (uint64_t k = 0; k < m.k; k += m.encoding.groupSize)
      if (std::find(&codes[k], &codes[k] + m.encoding.groupSize, 3) !=
          &codes[k] + m.encoding.groupSize)
        reencodeTernary(m.encoding, k);
  }

  void reencodeTernary(const EncodingDesc &encoding, uint64_t k) {
    values.resize(encoding.groupSize);
    uint32_t &scale = scales[k / encoding.groupSize];
    decodeGroup(encoding, &codes[k], scale, values.data());
    scale = encodeGroup(encoding, GroupFit::Mean, values.data(), &codes[k]);
  }

  void encodeValues(const PackedMatrix &m, const BlockFormat &format, const uint8_t *row) {
    values.resize(m.k);
    decodeRow(format, row, m.k, values.data());
    for (uint64_t k = 0; k < m.k; k += m.encoding.groupSize)
      scales[k / m.encoding.groupSize] =
          encodeGroup(m.encoding, GroupFit::Mean, &values[k], &codes[k]);
  }
};

//===-- Tiles
//-------------------------------------------------------------------------------------===//

// Calls visit(format, bytes of the row, row within the tile) for the rows of one tile and part.
template <typename Visit>
void forEachRow(const PackedMatrix &m, unsigned part, uint64_t tile, Visit visit) {
  uint64_t begin = tile * m.layout.tileRows;
  uint64_t end = std::min<uint64_t>(begin + m.layout.tileRows, m.rows);
  uint64_t sourceBegin = 0;
  for (const SourceRows &source : m.parts[part]) {
    uint64_t sourceEnd = sourceBegin + source.rows;
    for (uint64_t row = std::max(begin, sourceBegin); row < std::min(end, sourceEnd); ++row)
      visit(*source.format, source.data + (row - sourceBegin) * source.format->rowBytes(m.k),
            unsigned(row - begin));
    sourceBegin = sourceEnd;
  }
}

void packGroupedTile(const PackedMatrix &m, uint64_t tile, uint8_t *out) {
  RowCodes scratch;
  uint64_t groups = m.k / m.encoding.groupSize;
  for (unsigned part = 0; part < m.parts.size(); ++part)
    forEachRow(m, part, tile, [&](const BlockFormat &format, const uint8_t *bytes, unsigned row) {
      if (PlaceBlock place = findShortCut(m.encoding, format)) {
        bool checked = m.encoding.codes == CodeKind::Ternary;
        uint64_t group = 0;
        for (const uint8_t *block = bytes; group < groups; ++group, block += format.blockBytes) {
          if (checked && blockHoldsCode3(block))
            break;
          place(block, GroupSlot::at(m, out, group, part, row));
        }
        if (group == groups)
          return;
      }
      scratch.load(m, format, bytes);
      for (uint64_t group = 0; group < groups; ++group)
        placeGroup(m.encoding, &scratch.codes[group * m.encoding.groupSize], scratch.scales[group],
                   GroupSlot::at(m, out, group, part, row));
    });
}

const BlockFormat &floatFormat(CodeKind kind) {
  const BlockFormat *format = findBlockFormat(spelling(kind));
  assert(format && format->isFloat());
  return *format;
}

// Rows become columns through a strip of `stripElements` elements of every row, which fits the L1
// cache.
constexpr uint64_t stripElements = maxBlockElements;

template <typename Element> void packFloatTile(const PackedMatrix &m, uint64_t tile, Element *out) {
  unsigned tileRows = m.layout.tileRows, parts = m.parts.size();
  const BlockFormat &target = floatFormat(m.encoding.codes);
  std::vector<Element> strip(tileRows * stripElements);
  float values[stripElements];
  for (unsigned part = 0; part < parts; ++part)
    for (uint64_t k = 0; k < m.k; k += stripElements) {
      uint64_t length = std::min(stripElements, m.k - k);
      forEachRow(m, part, tile, [&](const BlockFormat &format, const uint8_t *bytes, unsigned row) {
        auto *elements = reinterpret_cast<uint8_t *>(&strip[row * stripElements]);
        if (&format == &target) {
          memcpy(elements, bytes + format.rowBytes(k), length * sizeof(Element));
          return;
        }
        decodeRow(format, bytes + format.rowBytes(k), length, values);
        encodeRow(target, values, length, elements);
      });
      for (uint64_t i = 0; i < length; ++i)
        for (unsigned row = 0; row < tileRows; ++row)
          out[((k + i) * parts + part) * tileRows + row] = strip[row * stripElements + i];
    }
}

} // namespace

bool holdsExactly(const EncodingDesc &encoding, const BlockFormat &format) {
  const EncodingDesc &source = format.encoding;
  if (encoding.isFloat() || source.isFloat())
    return encoding.codes == source.codes || encoding.codes == CodeKind::F32;
  bool codesFit = encoding.codes == source.codes ||
                  (encoding.codes == CodeKind::Quaternary && source.codes == CodeKind::Ternary);
  bool scaleFits = encoding.scale == source.scale || encoding.scale == ScaleType::F32;
  return codesFit && scaleFits && encoding.groupSize == source.groupSize;
}

Error checkPackedMatrix(const PackedMatrix &m) {
  auto fail = [](const Twine &message) { return createStringError(message); };
  if (m.rows == 0 || m.k == 0 || m.parts.empty())
    return fail("a packed matrix needs rows, columns and at least one part");
  if (!m.encoding.isFloat()) {
    unsigned lineElements = 4 * m.layout.planes(m.encoding);
    if (m.encoding.groupSize == 0 || m.encoding.groupSize % lineElements != 0)
      return fail("groups of " + Twine(m.encoding.groupSize) + " do not fill lines of " +
                  Twine(lineElements) + " codes (" + m.encoding.str() + ")");
    if (m.k % m.encoding.groupSize != 0)
      return fail("K = " + Twine(m.k) + " is not a multiple of the group of " + m.encoding.str());
  }
  for (const auto &part : m.parts) {
    uint64_t rows = 0;
    for (const SourceRows &source : part) {
      if (m.k % source.format->blockElements != 0)
        return fail("K = " + Twine(m.k) + " is not a multiple of the " +
                    Twine(source.format->blockElements) + " elements of a " + source.format->name +
                    " block");
      rows += source.rows;
    }
    if (rows != m.rows)
      return fail("the sources of a part have " + Twine(rows) + " rows, expected " + Twine(m.rows));
  }
  return Error::success();
}

void packTiles(const PackedMatrix &m, uint64_t first, uint64_t end, uint8_t *out) {
  uint64_t tileBytes = m.tileBytes();
  for (uint64_t tile = first; tile < end; ++tile, out += tileBytes) {
    if (m.encoding.codes == CodeKind::F32) {
      packFloatTile(m, tile, reinterpret_cast<uint32_t *>(out));
    } else if (m.encoding.isFloat()) {
      packFloatTile(m, tile, reinterpret_cast<uint16_t *>(out));
    } else {
      if ((tile + 1) * m.layout.tileRows > m.rows)
        memset(out, 0, tileBytes);
      packGroupedTile(m, tile, out);
    }
  }
}

bool holdsCode3(const BlockFormat &format, const uint8_t *data, uint64_t blocks) {
  assert(format.encoding.codes == CodeKind::Ternary && format.blockBytes == tq2BlockCodeBytes + 2);
  for (uint64_t block = 0; block < blocks; ++block)
    if (blockHoldsCode3(data + block * format.blockBytes))
      return true;
  return false;
}

} // namespace tern
