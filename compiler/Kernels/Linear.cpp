// Linear layers over packed weights: the integer dot product of a group, then scales in a fixed
// order. For each outer group g ascending (a super-group, or a group where there are none):
//
//   sum += (float(dot(g)) * scale(g)) * activationScale(g)                      without minimums
//   sum += (float(dot(g)) * scale(g) + float(sums(g)) * minimum(g)) * activationScale(g)
//
// where sums(g) adds up the activations' codes. With a super-group, dot(g) is the sum over its
// groups of innerScale * dot, and in place of `+ sums(g) * minimum(g)` stands `- minimumDot(g) *
// minimum(g)`, minimumDot(g) being the sum over its groups of innerMinimum * sums. With one
// activation scale for the whole row the last factor is applied once at the end.
//
// The integer part is exact, so its form (DotForm) and the number of rows taken together never
// change a result. Bounds, with activations of -127..127:
//   Dot4       i32 lanes: four products of at most 255 * 127; planes in place multiply a code by at
//              most 64
//   PairSum16  i16 lanes hold floor(32767 / (2 * 127 * largest code)) pair sums: ternary 64,
//              quaternary 43, 3 bits 18, 4 bits 8, e2m1 (0..24) 5, 5 bits 4, 6 bits 2; chunks of so
//              many are widened to i32
//   Widened16  i32 lanes: pairs of products of at most 128 * 127
//   super-group of 256: |innerScale| * |code - zero| * 127 * 256 is at most
//              uint2, u4:  15 *  3 * 127 * 256 =   1,463,040
//              int3,  i6:  32 *  4 * 127 * 256 =   4,161,536
//              uint4, u6:  63 * 15 * 127 * 256 =  30,723,840
//              uint5, u6:  63 * 31 * 127 * 256 =  63,495,936
//              int6,  i8: 128 * 32 * 127 * 256 = 133,169,152
//              and innerMinimum * |sum| at most 63 * 127 * 256 = 2,048,256, all far below 2^31;
//              innerBound() checks it for what an encoding makes of it
//
// Many rows (RowRange::ofBlocks): a step over K decodes its codes once for all of them. Where every
// product of a code and an inner scale fits a byte (uint2, u4: 0..45; int3, i6: -124..128, to which
// 124 is added) the decoded byte is the product, and a super-group one dot product. Else the sum
// over groups of a minimum, or of a scale for the codes' zero, times the activations' sum is one
// dot product of i16 pairs: sums of at most 258 * 127 fit.
#include "compiler/Kernels/KernelBuilder.h"

using namespace mlir;
using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Var;

namespace tern {
namespace {

constexpr int largestActivation = 127;

/// Codes of a group whose sums in dot4Base3, three times 255 * 127 each, surely fit 32 bits.
constexpr unsigned base3GroupLimit = 16384;

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

/// A bound of the integer sum over one super-group, as derived above.
int64_t innerBound(const EncodingDesc &e) {
  int64_t scale = int64_t(1) << (e.scaleBits() - (e.scale == ScaleType::I8 || e.scaleZero() != 0));
  int64_t code = std::max(e.zero(), e.largestCode() - e.zero());
  return scale * code * largestActivation * e.superSize;
}

class LinearBuilder {
public:
  /// `experts`: null, or what the rows belong to; `paired`: x has a row for each pair.
  LinearBuilder(KernelBuilder &builder, const WeightValue &weight, const ExpertValue *experts,
                bool paired)
      : builder(builder), weight(weight), lane(builder.lane), part(builder.part),
        tile(builder.tile), row(builder.row), group(builder.group), weightTile(tile), xRow(row) {
    if (experts) {
      int tilesOfExpert = int(weight.rows / experts->type.getExperts() / rowPadding);
      weightTile = tile + experts->expert(row / builder.rowRange().block) * tilesOfExpert;
      xRow = experts->pair(row) / (paired ? 1 : int(experts->type.getUsed()));
    }
    stages.parts = int(weight.parts);
    stages.planes = int(weight.shape.lowPlanes);
    stages.splitCodes = weight.shape.highBits != 0;
    stages.sum = Func("sum");
  }

  void floatSum(const FloatValue &x);
  void groupedSum(const ActValue &x);
  /// The row of x that a row of the result is computed from.
  Expr rowOfX(const Expr &of) const { return Halide::Internal::substitute(row.name(), of, xRow); }
  LinearStages stages;

private:
  void chooseForm(bool hasSums);
  void superSums(const ActValue &x);
  void scaledSuperSums(const ActValue &x);
  void dot4(const ActValue &x, const Expr &start);
  void dot4InPlace(const ActValue &x, const Expr &start);
  void dot4Base3(const ActValue &x, const Expr &start);
  void pairSum16(const ActValue &x, const Expr &start);
  void widened16(const ActValue &x, const Expr &start);

  /// Where the group of a dot product lies: `group` counts outer groups.
  CodePlace place() const { return {lane, inner, cell, part, group, weightTile}; }
  /// The stored code of one plane as u8.
  Expr stored(const Expr &i, const Expr &plane, const Expr &line) const {
    return packedCode(weight, place(), i, plane, line);
  }
  /// The multiplier of a code: the code itself or its value in the book, made unsigned by an offset
  /// where it is signed (offset()); i8 where Dot4 takes signed codes, else u8.
  Expr code(const Expr &i, const Expr &plane, const Expr &line) const {
    if (stages.codes.defined())
      return stages.codes(i, lane, plane, line, inner, cell, part, group, tile);
    return decoded(i, plane, line);
  }
  Expr decoded(const Expr &i, const Expr &plane, const Expr &line) const {
    Expr value = stored(i, plane, line);
    llvm::ArrayRef<int8_t> book = weight.encoding.codeBook();
    if (!book.empty())
      value = lookUp(builder.target(), value, book, offset());
    if (takesSigned())
      return Halide::reinterpret<int8_t>(value);
    return weight.encoding.codes == CodeKind::Int8 ? value ^ Halide::cast<uint8_t>(0x80) : value;
  }
  bool takesSigned() const { return stages.form == DotForm::Dot4 && builder.target().dot4IsSigned; }
  /// What code() is more than the code's value.
  int offset() const {
    bool hasSign = weight.encoding.codes == CodeKind::Int8 || !weight.encoding.codeBook().empty();
    if (hasSign && (takesSigned() || stages.form == DotForm::Widened16))
      return 0;
    llvm::ArrayRef<int8_t> book = weight.encoding.codeBook();
    if (!book.empty())
      return -*std::min_element(book.begin(), book.end());
    return weight.encoding.codes == CodeKind::Int8 ? 128 : weight.encoding.zero();
  }
  /// The largest value of code() as u8.
  int largestMultiplier() const {
    llvm::ArrayRef<int8_t> book = weight.encoding.codeBook();
    return book.empty() ? weight.encoding.largestCode()
                        : *std::max_element(book.begin(), book.end()) + offset();
  }
  bool decodesOnce() const;
  void decodeOnce(const ActValue &x);
  bool sumsPairs(const ActValue &x) const;
  Expr fetchAhead() const;
  Expr fetchGroupAhead() const;
  Expr fetch(const Expr &distance) const;
  bool codesAreMultipliers() const {
    return weight.encoding.codes != CodeKind::TernaryB3 && weight.encoding.codeBook().empty() &&
           !weight.shape.highBits;
  }
  Expr activation(const ActValue &x, const Expr &i, const Expr &plane, const Expr &line) const {
    Expr quad = line * stages.planes + plane;
    int quads = int(weight.encoding.groupSize) / 4;
    if (stages.lines * stages.planes > quads) // the last quads of a base-3 line are no weights
      quad = Halide::min(quad, quads - 1);
    return x.codes({firstElement() + quad * 4 + i, 0, xRow});
  }
  /// The first element of the group.
  Expr firstElement() const {
    return group * int(weight.encoding.outerSize()) + cell * int(weight.shape.elements) +
           inner * int(weight.encoding.groupSize);
  }
  /// The sum of the activations' codes over the group at `outer`, `cell`, `inner`.
  Expr groupSum(const ActValue &x, const Expr &outer, const Expr &cell, const Expr &inner) const {
    int size = int(x.activation.getSumSize()), groupSize = int(weight.encoding.groupSize);
    Expr first = outer * (int(weight.encoding.outerSize()) / size) +
                 cell * (int(weight.shape.elements) / size) + inner * (groupSize / size);
    Expr sum = x.sums(first, xRow);
    for (int i = 1; i < groupSize / size; ++i)
      sum = sum + x.sums(first + i, xRow);
    return sum;
  }

  KernelBuilder &builder;
  const WeightValue &weight;
  Var lane, part, tile, row, group;
  Expr weightTile, xRow;            ///< where the weights of `tile` and the x of `row` lie
  Var cell{"cell"}, inner{"inner"}; ///< cell of an outer group, group of a cell
  std::optional<int> scaledOffset;  ///< of decoded codes times inner scales, where those are taken
};

void LinearBuilder::floatSum(const FloatValue &x) {
  stages.form = DotForm::Float;
  RDom k(0, int(weight.k), "k");
  stages.sum(lane, part, tile, row) = 0.0f;
  stages.sum(lane, part, tile, row) +=
      floatCode(weight, weight.codes(lane, part, k, weightTile)) * x.at({k, 0, xRow});
  stages.sumOver = k.x;
}

void LinearBuilder::chooseForm(bool hasSums) {
  bool int8 = weight.encoding.codes == CodeKind::Int8;
  stages.form = builder.target().hasDot4 ? DotForm::Dot4 : DotForm::PairSum16;
  // Signed codes become unsigned by an offset, which the activations' sums take out again. One row
  // is bound by memory, and there the wider form is faster (22 against 16 to 20 GB/s).
  if (int8 && !builder.target().dot4IsSigned &&
      (builder.rowRange().single() || !builder.target().hasDot4 || !hasSums))
    stages.form = DotForm::Widened16;
  // A pair of the book's products must fit i16.
  if (!weight.encoding.codeBook().empty() && stages.form == DotForm::PairSum16 &&
      2 * largestActivation * largestMultiplier() > INT16_MAX)
    stages.form = DotForm::Widened16;
}

/// Whether a step over K decodes its codes once for all rows. They lie on the stack meanwhile, 32
/// bytes for each element of a step.
bool LinearBuilder::decodesOnce() const {
  constexpr unsigned mostElements = 1024;
  return builder.rowRange().ofBlocks && builder.rowRange().max > builder.rowRange().block &&
         weight.encoding.outerSize() <= mostElements;
}

/// Whether the corrections of a super-group (its minimums, or the zero of its codes) are one dot
/// product of 16-bit pairs.
bool LinearBuilder::sumsPairs(const ActValue &x) const {
  const EncodingDesc &e = weight.encoding;
  unsigned sumSize = x.activation.getSumSize();
  return e.hasSuper() && (e.minimum ? offset() == 0 : offset() != 0) && sumSize != 0 &&
         e.groupSize % sumSize == 0 && e.groupSize * largestActivation <= INT16_MAX &&
         (e.superSize / e.groupSize) % 2 == 0;
}

void LinearBuilder::decodeOnce(const ActValue &x) {
  Var i("i"), plane("plane"), line("line");
  // A step decodes some 256 elements.
  stages.chunk = std::max(1, 256 / int(weight.encoding.outerSize()));
  while (weight.outerGroups() % stages.chunk != 0)
    --stages.chunk;
  const EncodingDesc &encoding = weight.encoding;
  Func codes("codes");
  if (stages.form == DotForm::Dot4)
    scaledOffset = scaledCodeOffset(encoding, builder.target().dot4IsSigned);
  if (encoding.hasSuper()) {
    stages.innerScales = Func("innerScales");
    stages.innerScales(lane, inner, cell, part, group, tile) = innerScale(weight, place());
  }
  Expr value = decoded(i, plane, line);
  if (scaledOffset) { // modulo 256
    Expr code = Halide::reinterpret<uint8_t>(value) - Halide::cast<uint8_t>(encoding.zero());
    Expr scale = Halide::cast<uint8_t>(stages.innerScales(lane, inner, cell, part, group, tile));
    value = code * scale + Halide::cast<uint8_t>(*scaledOffset);
    if (takesSigned())
      value = Halide::reinterpret<int8_t>(value);
  }
  codes(i, lane, plane, line, inner, cell, part, group, tile) = value;
  stages.codes = codes;
  if (scaledOffset && *scaledOffset != 0) {
    Expr sum = 0;
    for (unsigned g = 0; g < encoding.superSize / encoding.groupSize; ++g)
      sum = sum + groupSum(x, group, int(g / weight.shape.groups), int(g % weight.shape.groups));
    stages.rowSums = Func("rowSums");
    stages.rowSums(row, group) = -*scaledOffset * sum;
  }
  if (!sumsPairs(x) || (scaledOffset && !encoding.minimum))
    return;
  int groups = int(weight.shape.groups);
  Var half("half"), pair("pair"), number("number");
  Expr of = pair * 2 + half;
  CodePlace at{lane, of % groups, of / groups, part, group, weightTile};
  stages.factorPairs = Func("factorPairs");
  stages.factorPairs(half, lane, pair, part, group, tile) = Halide::cast<int16_t>(
      weight.encoding.minimum ? innerMinimum(weight, at) : innerScale(weight, at));
  stages.sumPairs = Func("sumPairs");
  stages.sumPairs(number, row, group) =
      Halide::cast<int16_t>(groupSum(x, group, number / groups, number % groups));
}

void LinearBuilder::groupedSum(const ActValue &x) {
  const EncodingDesc &encoding = weight.encoding;
  unsigned sumSize = x.activation.getSumSize();
  chooseForm(/*hasSums=*/sumSize != 0 && encoding.groupSize % sumSize == 0);
  stages.lines = int(weight.shape.linesPerGroup());
  if (decodesOnce())
    decodeOnce(x);
  Expr start = 0;
  if (offset() != 0 && !stages.factorPairs.defined())
    start = -offset() * groupSum(x, group, cell, inner);
  if (!encoding.hasSuper())
    start = start + fetchAhead();
  else if (!stages.codes.defined())
    start = start + fetchGroupAhead();
  if (scaledOffset)
    scaledSuperSums(x);
  else
    stages.dot = Func("dot");
  switch (scaledOffset ? DotForm::Float : stages.form) {
  case DotForm::Dot4:
    // Of several rows each takes the digits once extracted.
    if (builder.rowRange().single() && encoding.codes == CodeKind::TernaryB3 && !takesSigned())
      dot4Base3(x, start);
    // Planes in place end with a shift each, which a single line does not pay for.
    else if (builder.rowRange().single() && stages.planes > 1 && stages.lines > 1 &&
             !takesSigned() && codesAreMultipliers())
      dot4InPlace(x, start);
    else
      dot4(x, start);
    break;
  case DotForm::PairSum16:
    pairSum16(x, start);
    break;
  case DotForm::Widened16:
    widened16(x, start);
    break;
  case DotForm::Float: // no sums of single groups
    break;
  }
  if (encoding.hasSuper())
    superSums(x);

  RDom g(0, int(weight.outerGroups()), "g");
  Expr dot = encoding.hasSuper() ? stages.superDot(lane, part, tile, row, g)
                                 : stages.dot(lane, part, tile, row, 0, 0, g);
  if (stages.factorPairs.defined() && !encoding.minimum)
    dot = dot - offset() * stages.minimumDot(lane, part, tile, row, g);
  Expr term =
      Halide::cast<float>(dot) * floatScale(weight, weight.scales(lane, part, g, weightTile));
  if (encoding.minimum) {
    Expr minimum = floatScale(weight, weight.minimums(lane, part, g, weightTile));
    if (encoding.hasSuper())
      term = term - Halide::cast<float>(stages.minimumDot(lane, part, tile, row, g)) * minimum;
    else
      term = term + Halide::cast<float>(groupSum(x, g, 0, 0)) * minimum;
  }
  if (unsigned activationGroup = x.activation.getGroupSize())
    term = term * x.scales(g / (int(activationGroup) / int(encoding.outerSize())), xRow);
  stages.sum(lane, part, tile, row) = 0.0f;
  stages.sum(lane, part, tile, row) += term;
  stages.sumOver = g.x;
}

/// 0, and for each row another line of the next step's weights is fetched to the cache: decoded
/// once, they would else be waited for.
Expr LinearBuilder::fetchAhead() const {
  if (!stages.codes.defined())
    return 0;
  constexpr int line = 64;
  int bytes = int(weight.layout.outerBytes(weight.encoding)) * stages.chunk;
  // Fewer rows fetch only part.
  int rows = builder.rowRange().max / 2, uses = rows * stages.chunk;
  int perUse = int(llvm::divideCeil(bytes, line * uses));
  Expr zero = 0, use = (row - builder.firstRow()) * stages.chunk + group % stages.chunk;
  for (int i = 0; i < perUse; ++i)
    zero = zero + fetch(bytes + (perUse == 1 ? use * (bytes / uses) : (i * uses + use) * line));
  return zero;
}

/// 0, and for each group of a row its share of what lies 12 KiB ahead is fetched. Codes cut in two
/// are read at two places at once, which the CPU's own prefetching does not follow: Q5_K reads 6
/// GB/s without and 28 with this. Codes of one piece are read as fast without.
Expr LinearBuilder::fetchGroupAhead() const {
  if (!stages.splitCodes && weight.shape.lowBits >= 4)
    return 0;
  constexpr int line = 64, ahead = 12 * 1024;
  int bytes = int(weight.layout.outerBytes(weight.encoding));
  int groups = int(weight.encoding.superSize / weight.encoding.groupSize), share = bytes / groups;
  Expr zero = 0, number = cell * int(weight.shape.groups) + inner;
  for (int i = 0; i < share; i += line)
    zero = zero + fetch(ahead + number * share + i);
  return zero;
}

/// 0, and the line at so many bytes from the first code of the outer group is fetched.
Expr LinearBuilder::fetch(const Expr &distance) const {
  Expr byte = weight.codes(distance, 0, 0, 0, part, group, weightTile);
  return Halide::Internal::Call::make(Halide::Int(32), "tern_placeholder_prefetch", {byte},
                                      Halide::Internal::Call::PureExtern);
}

// The integer sums over a super-group, whose decoded codes hold their inner scales.
void LinearBuilder::scaledSuperSums(const ActValue &x) {
  RDom r({{0, 4},
          {0, stages.planes},
          {0, stages.lines},
          {0, int(weight.shape.groups)},
          {0, int(weight.cells())}},
         "r");
  Expr start = fetchAhead();
  if (stages.rowSums.defined())
    start = start + stages.rowSums(row, group);
  Expr element = group * int(weight.encoding.superSize) + r[4] * int(weight.shape.elements) +
                 r[3] * int(weight.encoding.groupSize) + (r[2] * stages.planes + r[1]) * 4 + r[0];
  stages.superDot = Func("superDot");
  stages.superDot(lane, part, tile, row, group) = start;
  stages.superDot(lane, part, tile, row, group) += Halide::cast<int32_t>(
      Halide::widening_mul(stages.codes(r[0], lane, r[1], r[2], r[3], r[4], part, group, tile),
                           x.codes({element, 0, xRow})));
  stages.superDotOver = r;
}

// The integer sums over the groups of a super-group.
void LinearBuilder::superSums(const ActValue &x) {
  int cells = int(weight.cells()), groups = int(weight.shape.groups);
  RDom s(0, groups, 0, cells, "s");
  CodePlace at{lane, s.x, s.y, part, group, weightTile};
  if (!scaledOffset) {
    stages.superDot = Func("superDot");
    stages.superDot(lane, part, tile, row, group) = fetchAhead();
    stages.superDot(lane, part, tile, row, group) +=
        (stages.innerScales.defined() ? stages.innerScales(lane, s.x, s.y, part, group, tile)
                                      : innerScale(weight, at)) *
        stages.dot(lane, part, tile, row, s.x, s.y, group);
    stages.superDotOver = s;
  }
  if (stages.factorPairs.defined()) {
    RDom p(0, 2, 0, groups * cells / 2, "p");
    stages.minimumDot = Func("minimumDot");
    stages.minimumDot(lane, part, tile, row, group) = 0;
    stages.minimumDot(lane, part, tile, row, group) +=
        Halide::cast<int32_t>(stages.factorPairs(p.x, lane, p.y, part, group, tile)) *
        Halide::cast<int32_t>(stages.sumPairs(p.y * 2 + p.x, row, group));
    stages.minimumDotOver = p;
    return;
  }
  if (!weight.encoding.minimum)
    return;
  RDom m(0, groups, 0, cells, "m");
  CodePlace minimumAt{lane, m.x, m.y, part, group, weightTile};
  stages.minimumDot = Func("minimumDot");
  stages.minimumDot(lane, part, tile, row, group) = 0;
  stages.minimumDot(lane, part, tile, row, group) +=
      innerMinimum(weight, minimumAt) * groupSum(x, group, m.y, m.x);
  stages.minimumDotOver = m;
}

void LinearBuilder::dot4(const ActValue &x, const Expr &start) {
  RDom r(0, 4, 0, stages.planes, 0, stages.lines, "r");
  stages.dot(lane, part, tile, row, inner, cell, group) = start;
  stages.dot(lane, part, tile, row, inner, cell, group) += Halide::cast<int32_t>(
      Halide::widening_mul(code(r.x, r.y, r.z), activation(x, r.x, r.y, r.z)));
  stages.dotOver = r;
}

// A plane's codes stay where they are in the byte; its sum is shifted down once at the end.
void LinearBuilder::dot4InPlace(const ActValue &x, const Expr &start) {
  int bits = int(weight.encoding.codeBits()), mask = (1 << bits) - 1;
  Var plane("plane");
  RDom r(0, 4, 0, stages.lines, "r");
  Expr planeMask = Halide::cast<uint8_t>(Expr(mask) << (plane * bits));
  Expr byte = weight.codes(r.x, lane, inner * stages.lines + r.y, cell, part, group, weightTile);
  stages.planeDot = Func("planeDot");
  stages.planeDot(lane, plane, part, tile, row, inner, cell, group) =
      Halide::select(plane == 0, start, 0);
  stages.planeDot(lane, plane, part, tile, row, inner, cell, group) +=
      Halide::cast<int32_t>(Halide::widening_mul(byte & planeMask, activation(x, r.x, plane, r.y)));
  stages.planeDotOver = r;
  Expr total = stages.planeDot(lane, 0, part, tile, row, inner, cell, group);
  for (int i = 1; i < stages.planes; ++i)
    total = total + (stages.planeDot(lane, i, part, tile, row, inner, cell, group) >> (i * bits));
  stages.dot(lane, part, tile, row, inner, cell, group) = total;
}

// Five base-3 digits of a byte without extracting them: v(0) is the byte, v(k + 1) = 3 v(k) mod
// 256, and 256 digit(k) = 3 v(k) - v(k + 1). So the sum over digits is (3 sum0 - sum1) / 256 of
// sums over v(k) and v(k + 1), two dot products to a digit; buildLinear bounds the group.
void LinearBuilder::dot4Base3(const ActValue &x, const Expr &start) {
  Var next("next");
  RDom r(0, 4, 0, stages.planes, 0, stages.lines, "r");
  std::vector<Expr> v =
      base3Steps(weight.codes(r.x, lane, inner * stages.lines + r.z, cell, part, group, weightTile),
                 stages.planes + 1);
  stages.planeDot = Func("planeDot");
  stages.planeDot(lane, next, part, tile, row, inner, cell, group) = 0;
  stages.planeDot(lane, next, part, tile, row, inner, cell, group) += Halide::cast<int32_t>(
      Halide::widening_mul(Halide::mux(r.y + next, v), activation(x, r.x, r.y, r.z)));
  stages.planeDotOver = r;
  auto sum = [&](int number) {
    return stages.planeDot(lane, number, part, tile, row, inner, cell, group);
  };
  stages.dot(lane, part, tile, row, inner, cell, group) = start + ((3 * sum(0) - sum(1)) >> 8);
}

void LinearBuilder::pairSum16(const ActValue &x, const Expr &start) {
  int pairBound = 2 * largestActivation * largestMultiplier();
  int additions = INT16_MAX / pairBound;
  int chunkLines = stages.lines;
  while (chunkLines > 1 &&
         (chunkLines * stages.planes > additions || stages.lines % chunkLines != 0))
    --chunkLines;
  assert(chunkLines * stages.planes <= additions && "pair sums overflow");

  Var half("half"), plane("plane"), line("line"), chunk("chunk");
  stages.product = Func("product");
  RDom pair(0, 2, "pair");
  Func &product = stages.product;
  Expr i = half * 2 + pair;
  product(half, lane, plane, line, part, tile, row, inner, cell, group) = Halide::cast<int16_t>(0);
  product(half, lane, plane, line, part, tile, row, inner, cell, group) = Halide::saturating_add(
      product(half, lane, plane, line, part, tile, row, inner, cell, group),
      Halide::widening_mul(code(i, plane, line), activation(x, i, plane, line)));
  stages.productOver = pair;

  stages.half = Func("half");
  RDom r(0, stages.planes, 0, chunkLines, "r");
  stages.half(half, lane, part, tile, row, inner, cell, group, chunk) = Halide::cast<int16_t>(0);
  stages.half(half, lane, part, tile, row, inner, cell, group, chunk) +=
      product(half, lane, r.x, chunk * chunkLines + r.y, part, tile, row, inner, cell, group);
  stages.halfOver = r;

  RDom h(0, 2, 0, stages.lines / chunkLines, "h");
  stages.dot(lane, part, tile, row, inner, cell, group) = start;
  stages.dot(lane, part, tile, row, inner, cell, group) +=
      Halide::cast<int32_t>(stages.half(h.x, lane, part, tile, row, inner, cell, group, h.y));
  stages.dotOver = h;
}

void LinearBuilder::widened16(const ActValue &x, const Expr &start) {
  Var half("half");
  RDom r(0, 2, 0, stages.planes, 0, stages.lines, "r");
  Expr i = half * 2 + r.x;
  Expr value = weight.encoding.codes == CodeKind::Int8 ? stored(i, r.y, r.z) : code(i, r.y, r.z);
  Expr w = Halide::cast<int16_t>(Halide::reinterpret<int8_t>(value));
  Expr v = Halide::cast<int16_t>(activation(x, i, r.y, r.z));
  stages.half = Func("half");
  stages.half(half, lane, part, tile, row, inner, cell, group) = 0;
  stages.half(half, lane, part, tile, row, inner, cell, group) +=
      Halide::cast<int32_t>(w) * Halide::cast<int32_t>(v);
  stages.halfOver = r;
  RDom h(0, 2, "h");
  stages.dot(lane, part, tile, row, inner, cell, group) = start;
  stages.dot(lane, part, tile, row, inner, cell, group) +=
      stages.half(h, lane, part, tile, row, inner, cell, group);
  stages.dotOver = h;
}

/// What the verifier does not know: sizes of tiles, and which values share the rows of items.
llvm::Error checkExperts(KernelBuilder &builder, LinearOp op, const ExpertValue &experts,
                         const WeightValue &weight) {
  int64_t rows = weight.rows / experts.type.getExperts();
  if (rows % int64_t(rowPadding) != 0)
    return llvm::createStringError("experts of " + llvm::Twine(rows) + " rows are not supported: " +
                                   "expected a multiple of " + llvm::Twine(rowPadding));
  for (BlockArgument argument : op->getBlock()->getArguments())
    if (argument != op.getX() && argument != op.getExperts() && !rowCountOf(argument).isStatic())
      return llvm::createStringError("a linear op with experts shares its kernel with other rows");
  return llvm::Error::success();
}

} // namespace

llvm::Error buildLinear(KernelBuilder &builder, LinearOp op) {
  const WeightValue &weight = builder.get<WeightValue>(op.getWeight());
  if (!builder.stages().linear.empty())
    return llvm::createStringError(
        "a kernel holds one linear op; stack or concatenate the weights");
  if (weight.layout.tileRows != rowPadding)
    return llvm::createStringError("weight tiles of " + llvm::Twine(weight.layout.tileRows) +
                                   " rows do not fit rows padded to " + llvm::Twine(rowPadding));
  bool quantized = cast<RankedTensorType>(op.getX().getType()).getEncoding() != nullptr;
  if (quantized == weight.encoding.isFloat())
    return llvm::createStringError(
        "tern.linear: float weights take plain f32, integer codes take #tern.act; the weight is " +
        weight.encoding.str());
  if (weight.encoding.hasSuper() && innerBound(weight.encoding) > INT32_MAX)
    return llvm::createStringError("the integer sums of " + weight.encoding.str() +
                                   " do not fit 32 bits");
  if (weight.encoding.codes == CodeKind::TernaryB3 && weight.encoding.groupSize > base3GroupLimit)
    return llvm::createStringError("groups of " + weight.encoding.str() + " hold at most " +
                                   llvm::Twine(base3GroupLimit) + " codes");
  const ExpertValue *experts = nullptr;
  if (op.getExperts()) {
    experts = &builder.get<ExpertValue>(op.getExperts());
    if (llvm::Error error = checkExperts(builder, op, *experts, weight))
      return error;
    builder.stages().expertItems = experts->items;
    builder.stages().expertPair = experts->pair;
  }
  LinearBuilder linear(builder, weight, experts, op.getPaired());
  std::function<Expr(const Expr &)> rowScale;
  if (quantized) {
    const ActValue &x = builder.get<ActValue>(op.getX());
    linear.groupedSum(x);
    if (!x.activation.getGroupSize())
      rowScale = [x, linear](const Expr &row) { return x.scales(0, linear.rowOfX(row)); };
  } else {
    linear.floatSum(builder.get<FloatValue>(op.getX()));
  }
  builder.stages().linear.push_back(linear.stages);

  Func sum = linear.stages.sum;
  FloatValue bias;
  if (op.getBias())
    bias = builder.get<FloatValue>(op.getBias());
  auto at = [sum, rowScale, bias](const Point &p) {
    Expr value = sum(p.lane, p.part, p.tile, p.row);
    if (rowScale)
      value = value * rowScale(p.row);
    return bias.at ? value + bias.at(p) : value;
  };
  builder.set(op.getResult(), FloatValue{cast<RankedTensorType>(op.getResult().getType()), at});
  return llvm::Error::success();
}

} // namespace tern
