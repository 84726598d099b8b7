// What a step over K decodes once for all rows, and what is fetched ahead of its use.
#include "compiler/Kernels/LinearBuilder.h"

using Halide::Expr;
using Halide::Func;
using Halide::Var;

namespace tern {
namespace {

/// What is added to the products of codes and inner scales to make them bytes that `dot4` takes;
/// nullopt if they do not fit.
std::optional<int> scaledCodeOffset(const EncodingDesc &e, bool dot4IsSigned) {
  if (!e.hasSuper() || !e.codeBook().empty() || e.codes == CodeKind::Int8)
    return std::nullopt;
  bool hasSign = e.scale == ScaleType::I8;
  int leastScale = hasSign ? -128 : -e.scaleZero();
  int largestScale = leastScale + (1 << e.scaleBits()) - 1;
  int least = 0, largest = 0;
  for (int scale : {leastScale, largestScale})
    for (int code : {-e.zero(), e.largestCode() - e.zero()}) {
      least = std::min(least, scale * code);
      largest = std::max(largest, scale * code);
    }
  if (dot4IsSigned)
    return least >= INT8_MIN && largest <= INT8_MAX ? std::optional(0) : std::nullopt;
  return largest - least <= UINT8_MAX ? std::optional(-least) : std::nullopt;
}

} // namespace

/// Whether a step over K decodes its codes once for all rows. They lie on the stack meanwhile, 32
/// bytes for each element of a step.
bool LinearBuilder::decodesOnce() const {
  constexpr unsigned mostElements = 1024;
  return builder.rowRange().decodesOnce && weight.encoding.outerSize() <= mostElements;
}

void LinearBuilder::decodeOnce(const ActValue &x) {
  // A step decodes some 256 elements.
  stages.chunk = std::max(1, 256 / int(weight.encoding.outerSize()));
  while (weight.outerGroups() % stages.chunk != 0)
    --stages.chunk;
  if (stages.form == DotForm::Dot4)
    scaledOffset = scaledCodeOffset(weight.encoding, builder.target().dot4IsSigned);
  decodeCodes();
  sumOffsets(x);
  pairMinimums(x);
}

void LinearBuilder::decodeCodes() {
  Var i("i"), plane("plane"), line("line");
  Expr value = decoded(i, plane, line);
  if (weight.encoding.hasSuper()) {
    stages.innerScales = Func("innerScales");
    stages.innerScales(lane, inner, cell, part, group, tile) = innerScale(weight, place());
  }
  if (scaledOffset) { // modulo 256
    Expr code = Halide::reinterpret<uint8_t>(value) - Halide::cast<uint8_t>(weight.encoding.zero());
    Expr scale = Halide::cast<uint8_t>(stages.innerScales(lane, inner, cell, part, group, tile));
    value = code * scale + Halide::cast<uint8_t>(*scaledOffset);
    if (takesSigned())
      value = Halide::reinterpret<int8_t>(value);
  }
  Func codes("codes");
  codes(i, lane, plane, line, inner, cell, part, group, tile) = value;
  stages.codes = codes;
}

/// What takes the offset of the codes out of a dot product, of a group or, of products with inner
/// scales, of a super-group: the same for every tile, so a vector of them is computed at once.
void LinearBuilder::sumOffsets(const ActValue &x) {
  int offset = scaledOffset ? *scaledOffset : this->offset();
  if (offset == 0)
    return;
  Var number("number");
  int size = int(scaledOffset ? weight.encoding.superSize : weight.encoding.groupSize);
  int sums = size / int(x.activation.getSumSize());
  Expr sum = 0;
  for (int i = 0; i < sums; ++i)
    sum = sum + x.sums(number * sums + i, row);
  stages.starts = Func("starts");
  stages.starts(number, row) = -offset * sum;
  stages.startsOfStep = stages.chunk * int(weight.encoding.outerSize()) / size;
}

/// The minimums of two groups each, and the sums they multiply, as pairs of 16 bits.
void LinearBuilder::pairMinimums(const ActValue &x) {
  const EncodingDesc &e = weight.encoding;
  unsigned sumSize = x.activation.getSumSize();
  if (!e.hasSuper() || !e.minimum || e.groupSize % sumSize != 0 ||
      e.groupSize * largestActivation > INT16_MAX || (e.superSize / e.groupSize) % 2 != 0)
    return;
  int groups = int(weight.shape.groups);
  Var half("half"), pair("pair"), number("number");
  Expr of = pair * 2 + half;
  CodePlace at{lane, of % groups, of / groups, part, group, weightTile};
  stages.minimumPairs = Func("minimumPairs");
  stages.minimumPairs(half, lane, pair, part, group, tile) =
      Halide::cast<int16_t>(innerMinimum(weight, at));
  stages.sumPairs = Func("sumPairs");
  stages.sumPairs(number, row, group) =
      Halide::cast<int16_t>(groupSum(x, group, number / groups, number % groups));
}

/// 0, and for each row other lines of the same group's weights in the next step are fetched to the
/// cache: decoded once, they would else be waited for. The fewest rows of the variant fetch them
/// all, but for an eighth at most; more rows go on to what lies behind.
Expr LinearBuilder::fetchAhead() const {
  if (!stages.codes.defined())
    return 0;
  constexpr int line = 64;
  int bytes = int(weight.layout.outerBytes(weight.encoding)), rows = builder.rowRange().min;
  int step = bytes * int(weight.parts) * stages.chunk;
  int lines = bytes / line, perRow = std::max(1, (lines + rows / 2) / rows);
  if (8 * perRow * rows < 7 * lines)
    ++perRow;
  Expr zero = 0, number = row - builder.firstRow();
  for (int i = 0; i < perRow; ++i) {
    Expr at = perRow == 1 ? number * (bytes / rows) : (i * rows + number) * line;
    zero = zero + prefetch(weight.codes(step + at, 0, 0, 0, part, group, weightTile));
  }
  return zero;
}

} // namespace tern
