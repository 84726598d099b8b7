// Sizes and the name of WeightLayout.
#include "compiler/Encoding/WeightLayout.h"

#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace llvm;

namespace tern {

namespace {

// Groups whose inner scales fill whole bytes and, over 32 rows, whole lines of 64 bytes, so that
// codes lie aligned.
unsigned groupsPerCell(ScaleType inner) {
  switch (inner) {
  case ScaleType::U6:
    return 4;
  case ScaleType::I6:
    return 8;
  default:
    return 2;
  }
}

} // namespace

CellShape CellShape::of(const EncodingDesc &e) {
  CellShape shape;
  if (e.isFloat())
    return shape;
  unsigned bits = e.codeBits();
  shape.lowBits = bits == 3 ? 2 : bits == 5 || bits == 6 ? 4 : bits;
  shape.highBits = bits - shape.lowBits;
  shape.lowPlanes = e.codes == CodeKind::TernaryB3 ? 5 : 8 / shape.lowBits;
  shape.highPlanes = shape.highBits ? 8 / shape.highBits : 0;
  shape.groups = e.hasSuper() ? groupsPerCell(e.scale) : 1;
  shape.elements = shape.groups * e.groupSize;
  shape.lowLines = divideCeil(shape.elements, 4 * shape.lowPlanes);
  shape.highLines = shape.highBits ? divideCeil(shape.elements, 4 * shape.highPlanes) : 0;
  if (e.hasSuper())
    shape.scaleBytes = shape.groups * e.scaleBits() * (e.minimum ? 2 : 1) / 8;
  return shape;
}

uint64_t WeightLayout::cellBytes(const EncodingDesc &e) const {
  CellShape shape = CellShape::of(e);
  return uint64_t(tileRows) * (shape.scaleBytes + 4 * shape.lines());
}

uint64_t WeightLayout::headerBytes(const EncodingDesc &e) const {
  return uint64_t(tileRows) * e.outerScaleBytes() * (e.minimum ? 2 : 1);
}

uint64_t WeightLayout::outerBytes(const EncodingDesc &e) const {
  return headerBytes(e) + e.outerSize() / CellShape::of(e).elements * cellBytes(e);
}

uint64_t WeightLayout::tileBytes(const EncodingDesc &e, uint64_t k, uint64_t parts) const {
  if (e.isFloat())
    return parts * k * tileRows * (e.codeBits() / 8);
  return parts * (k / e.outerSize()) * outerBytes(e);
}

uint64_t WeightLayout::packedBytes(const EncodingDesc &e, uint64_t rows, uint64_t k,
                                   uint64_t parts) const {
  return (rows + tileRows - 1) / tileRows * tileBytes(e, k, parts);
}

std::string WeightLayout::id() const { return "rows" + std::to_string(tileRows); }

ScaleFields innerScaleFields(const EncodingDesc &e) {
  switch (e.scale) {
  case ScaleType::U4:
    return {{0, 1, 0, 4}, {}};
  case ScaleType::U6:
    return {{0, 1, 0, 6}, {}};
  case ScaleType::I6:
    return {{0, 2, 0, 4}, {groupsPerCell(e.scale) / 2, 4, 0, 2}};
  default:
    return {{0, 1, 0, 8}, {}};
  }
}

ScaleFields innerMinimumFields(const EncodingDesc &e) {
  if (e.scale == ScaleType::U4)
    return {{0, 1, 4, 4}, {}};
  return {{0, 1, 6, 2}, {groupsPerCell(e.scale), 2, 0, 4}};
}

std::optional<WeightLayout> parseWeightLayout(StringRef id) {
  WeightLayout layout;
  // 1024 rows are far more than any kernel's task; the bound keeps sizes from overflowing.
  StringRef count = id;
  if (!count.consume_front("rows") || count.getAsInteger(10, layout.tileRows) ||
      layout.tileRows == 0 || layout.tileRows > 1024 || layout.id() != id)
    return std::nullopt;
  return layout;
}

} // namespace tern
