// Single packed weights and scales as expressions: the other half of WeightLayout.h.
#include "compiler/Kernels/KernelBuilder.h"

using Halide::Expr;

namespace tern {

std::vector<Expr> base3Steps(const Expr &byte, int count) {
  std::vector<Expr> steps = {byte};
  while (int(steps.size()) < count)
    steps.push_back(Halide::Internal::Call::make(Halide::UInt(8), "tern_placeholder_hide",
                                                 {steps.back() + steps.back() + steps.back()},
                                                 Halide::Internal::Call::PureExtern));
  return steps;
}

Expr floatCode(const WeightValue &weight, const Expr &stored) {
  if (weight.encoding.codes == CodeKind::BF16) // the upper half of an f32
    return Halide::reinterpret<float>(Halide::cast<uint32_t>(stored) << 16);
  return Halide::cast<float>(stored);
}

Expr floatScale(const WeightValue &weight, const Expr &stored) {
  if (weight.encoding.outerScale() != ScaleType::E8M0)
    return Halide::cast<float>(stored);
  Expr bits = Halide::cast<uint32_t>(stored);
  Expr subnormal = Expr(uint32_t(0x00200000)) << Halide::min(bits, Expr(uint32_t(1)));
  return Halide::reinterpret<float>(
      Halide::select(bits < 2, subnormal, (bits - Expr(uint32_t(1))) << 23));
}

namespace {

// Digit `plane` of five base-3 digits (WeightLayout.h), by multiplication modulo 256.
Expr base3Digit(const Expr &byte, const Expr &plane) {
  std::vector<Expr> digits;
  // 3 v >> 8 without a wider type: how often 3 v passes 256.
  for (const Expr &v : base3Steps(byte, 5))
    digits.push_back(Halide::cast<uint8_t>(v > Halide::cast<uint8_t>(85)) +
                     Halide::cast<uint8_t>(v > Halide::cast<uint8_t>(170)));
  return Halide::mux(plane, digits);
}

/// `bits` bits of a byte at bit `shift`, moved to bit `to`.
Expr bitsOf(const Expr &byte, const Expr &shift, int bits, int to) {
  Expr shifted = byte >> Halide::cast<uint8_t>(shift);
  return (shifted & Halide::cast<uint8_t>((1 << bits) - 1)) << Halide::cast<uint8_t>(to);
}

Expr field(const WeightValue &weight, const CodePlace &at, const ScaleFields &fields) {
  auto part = [&](const ScaleField &f) -> Expr {
    int perByte = int(f.perByte);
    Expr byte = weight.innerScales(at.lane, int(f.base) + at.group / perByte, at.cell, at.part,
                                   at.outer, at.tile);
    if (f.bits == 8)
      return Halide::cast<int32_t>(byte);
    Expr shift = int(f.start) + at.group % perByte * int(f.bits);
    return (Halide::cast<int32_t>(byte) >> shift) & int(f.mask());
  };
  Expr value = part(fields.low);
  if (fields.high.bits)
    value = value | part(fields.high) << int(fields.low.bits);
  return value;
}

} // namespace

Expr packedCode(const WeightValue &weight, const CodePlace &at, const Expr &i, const Expr &plane,
                const Expr &line) {
  const CellShape &shape = weight.shape;
  Expr lowLine = at.group * int(shape.linesPerGroup()) + line;
  auto byte = [&](const Expr &number) -> Expr {
    return weight.codes(i, at.lane, number, at.cell, at.part, at.outer, at.tile);
  };
  Expr low = byte(shape.placeOfLow(lowLine));
  if (weight.encoding.codes == CodeKind::TernaryB3)
    return base3Digit(low, plane);
  if (shape.lowBits == 8)
    return low;
  Expr code = bitsOf(low, plane * int(shape.lowBits), int(shape.lowBits), 0);
  if (!shape.highBits)
    return code;
  Expr quad = lowLine * int(shape.lowPlanes) + plane;
  int highPlanes = int(shape.highPlanes);
  Expr high = byte(shape.placeOfHigh(Expr(quad / highPlanes)));
  return code | bitsOf(high, quad % highPlanes * int(shape.highBits), int(shape.highBits),
                       int(shape.lowBits));
}

Expr lookUp(const TargetInfo &target, const Expr &code, llvm::ArrayRef<int8_t> book, int offset) {
  if (target.byteShuffle == 0) {
    std::vector<Expr> values;
    for (int8_t value : book)
      values.push_back(Halide::cast<uint8_t>(uint8_t(value + offset)));
    return Halide::mux(code, values);
  }
  uint64_t words[2] = {};
  for (unsigned i = 0; i < 16; ++i)
    words[i / 8] |= uint64_t(uint8_t(book[i] + offset)) << (i % 8 * 8);
  auto word = [&](unsigned i) {
    return Halide::Internal::make_const(Halide::UInt(64), int64_t(words[i]));
  };
  return Halide::Internal::Call::make(Halide::UInt(8), "tern_placeholder_lookup16",
                                      {code, word(0), word(1)}, Halide::Internal::Call::PureExtern);
}

Expr innerScale(const WeightValue &weight, const CodePlace &at) {
  Expr value = field(weight, at, innerScaleFields(weight.encoding));
  if (weight.encoding.scale == ScaleType::I8)
    return Halide::cast<int32_t>(Halide::cast<int8_t>(Halide::cast<uint8_t>(value)));
  return value - weight.encoding.scaleZero();
}

Expr innerMinimum(const WeightValue &weight, const CodePlace &at) {
  return field(weight, at, innerMinimumFields(weight.encoding));
}

Expr decodeWeight(const TargetInfo &target, const WeightValue &weight, const Expr &n, const Expr &k,
                  const Expr &part) {
  const EncodingDesc &encoding = weight.encoding;
  int tileRows = int(weight.layout.tileRows);
  Expr lane = n % tileRows, tile = n / tileRows;
  if (encoding.isFloat())
    return floatCode(weight, weight.codes(lane, part, k, tile));
  const CellShape &shape = weight.shape;
  int outerSize = int(encoding.outerSize()), groupSize = int(encoding.groupSize);
  Expr outer = k / outerSize, cell = k % outerSize / int(shape.elements);
  Expr group = k % int(shape.elements) / groupSize, quad = k % groupSize / 4;
  CodePlace at{lane, group, cell, part, outer, tile};
  Expr stored =
      packedCode(weight, at, k % 4, quad % int(shape.lowPlanes), quad / int(shape.lowPlanes));
  Expr code;
  if (encoding.codes == CodeKind::Int8) {
    code = Halide::cast<int32_t>(Halide::reinterpret<int8_t>(stored));
  } else if (llvm::ArrayRef<int8_t> book = encoding.codeBook(); !book.empty()) {
    code = Halide::cast<int32_t>(Halide::reinterpret<int8_t>(lookUp(target, stored, book, 0)));
  } else {
    code = Halide::cast<int32_t>(stored) - encoding.zero();
  }
  Expr scale = floatScale(weight, weight.scales(lane, part, outer, tile));
  Expr minimum;
  if (encoding.minimum)
    minimum = floatScale(weight, weight.minimums(lane, part, outer, tile));
  if (encoding.hasSuper()) {
    scale = scale * Halide::cast<float>(innerScale(weight, at));
    if (encoding.minimum)
      minimum = -(minimum * Halide::cast<float>(innerMinimum(weight, at)));
  }
  Expr value = scale * Halide::cast<float>(code);
  return minimum.defined() ? value + minimum : value;
}

} // namespace tern
