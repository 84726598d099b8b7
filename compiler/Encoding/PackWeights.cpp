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
#include <cmath>
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

bool blockHoldsCode3(const uint8_t *codes, size_t bytes) {
  uint64_t found = 0;
  for (size_t i = 0; i < bytes; i += 8)
    found |= code3Mask(read64le(codes + i));
  return found != 0;
}

//===-- Where a row's codes and scales go
//---------------------------------------------------------===//

// One row of one part within one outer group of a tile.
struct GroupSlot {
  uint8_t *scale;  // outer scale of this row
  uint8_t *codes;  // line 0 of this row, where there are no inner scales
  unsigned stride; // bytes from one line to the next
  uint8_t *cells;  // first byte of the first cell, of any row

  static GroupSlot at(const PackedMatrix &m, uint8_t *tile, uint64_t group, unsigned part,
                      unsigned row) {
    uint8_t *base = tile + (group * m.parts.size() + part) * m.layout.outerBytes(m.encoding);
    uint8_t *cells = base + m.layout.headerBytes(m.encoding);
    return {base + row * m.encoding.outerScaleBytes(), cells + 4 * row, 4 * m.layout.tileRows,
            cells};
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
  if (!holdsExactly(encoding, format) || encoding.scale != ScaleType::F16 ||
      encoding.codes == CodeKind::TernaryB3)
    return nullptr;
  return StringSwitch<PlaceBlock>(format.name)
      .Case("tq2_0", placeTQ2_0)
      .Case("q4_0", placeQ4_0)
      .Case("q8_0", placeQ8_0)
      .Default(nullptr);
}

//===-- Generic path
//------------------------------------------------------------------------------===//

void writeScale(uint8_t *at, unsigned bytes, uint32_t bits) {
  if (bytes == 1)
    *at = uint8_t(bits);
  else if (bytes == 2)
    write16le(at, uint16_t(bits));
  else
    write32le(at, bits);
}

// How a row of a matrix is cut, found once per tile.
class RowPlacer {
public:
  explicit RowPlacer(const PackedMatrix &m)
      : encoding(m.encoding), shape(CellShape::of(m.encoding)), tileRows(m.layout.tileRows),
        cellBytes(m.layout.cellBytes(m.encoding)), scaleFields(innerScaleFields(m.encoding)),
        minimumFields(innerMinimumFields(m.encoding)) {}

  /// Writes one row of one outer group.
  void place(const uint8_t *codes, const GroupScale *scales, unsigned row, GroupSlot slot) const {
    unsigned bytes = encoding.outerScaleBytes();
    bool super = encoding.hasSuper();
    writeScale(slot.scale, bytes, super ? scales->superScale : scales->scale);
    if (encoding.minimum)
      writeScale(slot.scale + size_t(tileRows) * bytes, bytes,
                 super ? scales->superMinimum : scales->minimum);
    uint8_t *cell = slot.cells;
    for (unsigned k = 0; k < encoding.outerSize(); k += shape.elements, cell += cellBytes) {
      if (super)
        placeScales(scales + k / encoding.groupSize, cell + row);
      uint8_t *lines = cell + size_t(tileRows) * shape.scaleBytes + 4 * row;
      if (encoding.codes == CodeKind::TernaryB3)
        placeBase3(codes + k, lines);
      else
        placeLines(codes + k, lines);
    }
  }

private:
  void placeScales(const GroupScale *scales, uint8_t *bytes) const {
    for (unsigned byte = 0; byte < shape.scaleBytes; ++byte)
      bytes[size_t(byte) * tileRows] = 0;
    for (unsigned g = 0; g < shape.groups; ++g) {
      placeFields(scaleFields, g, scales[g].scale, bytes);
      if (encoding.minimum)
        placeFields(minimumFields, g, scales[g].minimum, bytes);
    }
  }

  void placeFields(const ScaleFields &fields, unsigned g, uint32_t value, uint8_t *bytes) const {
    for (const ScaleField &field : {fields.low, fields.high}) {
      if (field.bits == 0)
        continue;
      bytes[size_t(field.byteOf(g)) * tileRows] |= (value & field.mask()) << field.shiftOf(g);
      value >>= field.bits;
    }
  }

  void placeLines(const uint8_t *codes, uint8_t *lines) const {
    size_t lineBytes = size_t(4) * tileRows;
    for (unsigned n = 0; n < shape.lowLines; ++n)
      placeLine(codes + size_t(n) * shape.lowPlanes * 4, shape.lowPlanes, shape.lowBits, 0,
                lines + shape.placeOfLow(n) * lineBytes);
    for (unsigned n = 0; n < shape.highLines; ++n)
      placeLine(codes + size_t(n) * shape.highPlanes * 4, shape.highPlanes, shape.highBits,
                shape.lowBits, lines + shape.placeOfHigh(n) * lineBytes);
  }

  static void placeLine(const uint8_t *codes, unsigned planes, unsigned bits, unsigned shift,
                        uint8_t *out) {
    unsigned mask = (1u << bits) - 1;
    for (unsigned i = 0; i < 4; ++i) {
      unsigned byte = 0;
      for (unsigned plane = 0; plane < planes; ++plane)
        byte |= (codes[plane * 4 + i] >> shift & mask) << (plane * bits);
      out[i] = uint8_t(byte);
    }
  }

  void placeBase3(const uint8_t *codes, uint8_t *out) const {
    for (unsigned line = 0; line < shape.lowLines; ++line, out += size_t(4) * tileRows)
      for (unsigned i = 0; i < 4; ++i) {
        unsigned value = 0;
        for (unsigned plane = 0; plane < 5; ++plane) {
          unsigned k = (line * 5 + plane) * 4 + i;
          value = value * 3 + (k < shape.elements ? codes[k] : 0);
        }
        out[i] = uint8_t((value * 256 + 242) / 243);
      }
  }

  const EncodingDesc &encoding;
  CellShape shape;
  unsigned tileRows;
  uint64_t cellBytes;
  ScaleFields scaleFields, minimumFields;
};

// The codes and scales of a whole row in the target encoding.
struct RowCodes {
  std::vector<uint8_t> codes;
  std::vector<GroupScale> scales;
  std::vector<float> values;

  /// `error` may be null.
  void load(const PackedMatrix &m, const SourceRows &source, const uint8_t *row,
            EncodingError *error) {
    codes.resize(m.k);
    scales.resize(m.k / m.encoding.groupSize);
    if (holdsExactly(m.encoding, *source.format))
      copyCodes(m, source, row, error);
    else
      encodeValues(m, source, row, error);
  }

private:
  std::vector<float> decoded; // of one group

  void copyCodes(const PackedMatrix &m, const SourceRows &source, const uint8_t *row,
                 EncodingError *error) {
    const BlockFormat &format = *source.format;
    for (uint64_t k = 0; k < m.k; k += format.blockElements, row += format.blockBytes)
      unpackBlock(format, row, source.tensorScale, {&codes[k], &scales[k / m.encoding.groupSize]});
    if (format.encoding.outerScale() != m.encoding.outerScale())
      for (GroupScale &scale : scales)
        widenScales(m.encoding, scale);
    if (!m.encoding.isTernary() || format.encoding.codes != CodeKind::Ternary)
      return;
    for (uint64_t k = 0; k < m.k; k += m.encoding.groupSize)
      if (std::find(&codes[k], &codes[k] + m.encoding.groupSize, 3) !=
          &codes[k] + m.encoding.groupSize)
        reencodeTernary(m.encoding, k, error);
  }

  static void widenScales(const EncodingDesc &encoding, GroupScale &scale) {
    auto widen = [](uint32_t &bits) {
      bits = std::bit_cast<uint32_t>(halfToFloat(uint16_t(bits)));
    };
    widen(encoding.hasSuper() ? scale.superScale : scale.scale);
    if (encoding.minimum)
      widen(encoding.hasSuper() ? scale.superMinimum : scale.minimum);
  }

  void reencodeTernary(const EncodingDesc &encoding, uint64_t k, EncodingError *error) {
    values.resize(encoding.groupSize);
    GroupScale &scale = scales[k / encoding.groupSize];
    decodeGroup(encoding, &codes[k], scale, values.data());
    encodeGroups(encoding, GroupFit::Search, values.data(), &codes[k], &scale);
    if (error)
      addError(encoding, values.data(), k, *error);
  }

  /// What the group from column k has lost of its values.
  void addError(const EncodingDesc &encoding, const float *original, uint64_t k,
                EncodingError &error) {
    decoded.resize(encoding.groupSize);
    decodeGroup(encoding, &codes[k], scales[k / encoding.groupSize], decoded.data());
    error.add(original, decoded.data(), decoded.size());
  }

  void encodeValues(const PackedMatrix &m, const SourceRows &source, const uint8_t *row,
                    EncodingError *error) {
    values.resize(m.k);
    decodeRow(*source.format, row, m.k, values.data(), source.tensorScale);
    for (uint64_t k = 0; k < m.k; k += m.encoding.outerSize())
      encodeGroups(m.encoding, GroupFit::Search, &values[k], &codes[k],
                   &scales[k / m.encoding.groupSize],
                   source.importance ? source.importance + k : nullptr);
    if (error)
      for (uint64_t k = 0; k < m.k; k += m.encoding.groupSize)
        addError(m.encoding, &values[k], k, *error);
  }
};

//===-- Tiles
//-------------------------------------------------------------------------------------===//

// Calls visit(source, bytes of the row, row within the tile) for the rows of one tile and part.
template <typename Visit>
void forEachRow(const PackedMatrix &m, unsigned part, uint64_t tile, Visit visit) {
  uint64_t begin = tile * m.layout.tileRows;
  uint64_t end = std::min<uint64_t>(begin + m.layout.tileRows, m.rows);
  uint64_t sourceBegin = 0;
  for (const SourceRows &source : m.parts[part]) {
    uint64_t sourceEnd = sourceBegin + source.rows;
    for (uint64_t row = std::max(begin, sourceBegin); row < std::min(end, sourceEnd); ++row)
      visit(source, source.data + (row - sourceBegin) * source.format->rowBytes(m.k),
            unsigned(row - begin));
    sourceBegin = sourceEnd;
  }
}

// The entry of a source of a part; null if none are wanted.
EncodingError *errorOf(const PackedMatrix &m, unsigned part, const SourceRows &source,
                       MutableArrayRef<EncodingError> errors) {
  if (errors.empty())
    return nullptr;
  size_t index = size_t(&source - m.parts[part].begin());
  for (unsigned before = 0; before < part; ++before)
    index += m.parts[before].size();
  return &errors[index];
}

void packGroupedTile(const PackedMatrix &m, uint64_t tile, uint8_t *out,
                     MutableArrayRef<EncodingError> errors) {
  RowCodes scratch;
  RowPlacer placer(m);
  uint64_t outerSize = m.encoding.outerSize(), groups = m.k / outerSize;
  for (unsigned part = 0; part < m.parts.size(); ++part)
    forEachRow(m, part, tile, [&](const SourceRows &source, const uint8_t *bytes, unsigned row) {
      const BlockFormat &format = *source.format;
      if (PlaceBlock place = findShortCut(m.encoding, format)) {
        bool checked = m.encoding.codes == CodeKind::Ternary;
        uint64_t group = 0;
        for (const uint8_t *block = bytes; group < groups; ++group, block += format.blockBytes) {
          if (checked && blockHoldsCode3(block, tq2BlockCodeBytes))
            break;
          place(block, GroupSlot::at(m, out, group, part, row));
        }
        if (group == groups)
          return;
      }
      scratch.load(m, source, bytes, errorOf(m, part, source, errors));
      for (uint64_t group = 0; group < groups; ++group)
        placer.place(&scratch.codes[group * outerSize],
                     &scratch.scales[group * outerSize / m.encoding.groupSize], row,
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

template <typename Element>
void packFloatTile(const PackedMatrix &m, uint64_t tile, Element *out,
                   MutableArrayRef<EncodingError> errors) {
  unsigned tileRows = m.layout.tileRows, parts = m.parts.size();
  const BlockFormat &target = floatFormat(m.encoding.codes);
  std::vector<Element> strip(tileRows * stripElements);
  float values[stripElements], encoded[stripElements];
  for (unsigned part = 0; part < parts; ++part)
    for (uint64_t k = 0; k < m.k; k += stripElements) {
      uint64_t length = std::min(stripElements, m.k - k);
      forEachRow(m, part, tile, [&](const SourceRows &source, const uint8_t *bytes, unsigned row) {
        const BlockFormat &format = *source.format;
        auto *elements = reinterpret_cast<uint8_t *>(&strip[row * stripElements]);
        if (&format == &target) {
          memcpy(elements, bytes + format.rowBytes(k), length * sizeof(Element));
          return;
        }
        decodeRow(format, bytes + format.rowBytes(k), length, values, source.tensorScale);
        encodeRow(target, values, length, elements);
        if (EncodingError *error = errorOf(m, part, source, errors);
            error && !holdsExactly(m.encoding, format)) {
          decodeRow(target, elements, length, encoded);
          error->add(values, encoded, length);
        }
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
                  (encoding.codes == CodeKind::Quaternary && source.isTernary()) ||
                  (encoding.isTernary() && source.isTernary());
  ScaleType scale = encoding.outerScale();
  bool scaleFits = scale == source.outerScale() ||
                   (scale == ScaleType::F32 && source.outerScale() == ScaleType::F16);
  // All else must agree.
  EncodingDesc same = source;
  same.codes = encoding.codes;
  (same.hasSuper() ? same.superScale : same.scale) = scale;
  return codesFit && scaleFits && same == encoding;
}

Error checkPackedMatrix(const PackedMatrix &m) {
  auto fail = [](const Twine &message) { return createStringError(message); };
  if (m.rows == 0 || m.k == 0 || m.parts.empty())
    return fail("a packed matrix needs rows, columns and at least one part");
  if (!m.encoding.isFloat()) {
    if (std::string problem = m.encoding.problem(); !problem.empty())
      return fail(problem);
    if (m.k % m.encoding.outerSize() != 0)
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

void EncodingError::add(const float *values, const float *encoded, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    double difference = double(encoded[i]) - double(values[i]);
    squaredError += difference * difference;
    squaredValues += double(values[i]) * double(values[i]);
  }
}

double EncodingError::relative() const {
  return squaredError == 0 ? 0 : std::sqrt(squaredError / squaredValues);
}

void packTiles(const PackedMatrix &m, uint64_t first, uint64_t end, uint8_t *out,
               MutableArrayRef<EncodingError> errors) {
  uint64_t tileBytes = m.tileBytes();
  for (uint64_t tile = first; tile < end; ++tile, out += tileBytes) {
    if (m.encoding.codes == CodeKind::F32) {
      packFloatTile(m, tile, reinterpret_cast<uint32_t *>(out), errors);
    } else if (m.encoding.isFloat()) {
      packFloatTile(m, tile, reinterpret_cast<uint16_t *>(out), errors);
    } else {
      if ((tile + 1) * m.layout.tileRows > m.rows)
        memset(out, 0, tileBytes);
      packGroupedTile(m, tile, out, errors);
    }
  }
}

bool holdsCode3(const BlockFormat &format, const uint8_t *data, uint64_t blocks) {
  assert(format.encoding.codes == CodeKind::Ternary);
  for (uint64_t block = 0; block < blocks; ++block)
    if (blockHoldsCode3(data + block * format.blockBytes, format.blockElements / 4))
      return true;
  return false;
}

} // namespace tern
