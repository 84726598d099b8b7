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
// Many rows (RowRange::decodesOnce): a step over K decodes its codes once for all of them. Where
// every product of a code and an inner scale fits a byte (uint2, u4: 0..45; int3, i6: -124..128, to
// which 124 is added) the decoded byte is the product, and a super-group one dot product. The sum
// over groups of a minimum times the activations' sum is one dot product of i16 pairs: sums of at
// most 258 * 127 fit.
#include "compiler/Kernels/LinearBuilder.h"

using namespace mlir;
using Halide::Expr;
using Halide::Func;
using Halide::RDom;

namespace tern {
namespace {

/// Codes of a group whose sums in dot4Base3, three times 255 * 127 each, surely fit 32 bits.
constexpr unsigned base3GroupLimit = 16384;

} // namespace

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

// The integer sum of one group.
void LinearBuilder::groupDot(const ActValue &x) {
  const EncodingDesc &encoding = weight.encoding;
  Expr start = 0;
  if (stages.starts.defined())
    start =
        stages.starts((group * int(weight.cells()) + cell) * int(weight.shape.groups) + inner, row);
  else if (offset() != 0)
    start = -offset() * groupSum(x, group, cell, inner);
  if (!encoding.hasSuper())
    start = start + fetchAhead();
  stages.dot = Func("dot");
  switch (stages.form) {
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
  case DotForm::Float:
    llvm_unreachable("float weights have no groups");
  }
}

void LinearBuilder::groupedSum(const ActValue &x) {
  const EncodingDesc &encoding = weight.encoding;
  unsigned sumSize = x.activation.getSumSize();
  chooseForm(/*hasSums=*/sumSize != 0 && encoding.groupSize % sumSize == 0);
  stages.lines = int(weight.shape.linesPerGroup());
  if (decodesOnce())
    decodeOnce(x);
  if (scaledOffset) {
    scaledSuperSums(x);
  } else {
    groupDot(x);
    if (encoding.hasSuper())
      superSums(x);
  }
  if (encoding.hasSuper() && encoding.minimum && !minimumsBesideScales())
    minimumSums(x);

  RDom g(0, int(weight.outerGroups()), "g");
  Expr dot, minimumDot;
  if (!encoding.hasSuper()) {
    dot = stages.dot(lane, part, tile, row, 0, 0, g);
  } else if (minimumsBesideScales()) {
    dot = stages.superDot(lane, part, tile, row, g)[0];
    minimumDot = stages.superDot(lane, part, tile, row, g)[1];
  } else {
    dot = stages.superDot(lane, part, tile, row, g);
    if (encoding.minimum)
      minimumDot = stages.minimumDot(lane, part, tile, row, g);
  }
  Expr term =
      Halide::cast<float>(dot) * floatScale(weight, weight.scales(lane, part, g, weightTile));
  if (encoding.minimum) {
    Expr minimum = floatScale(weight, weight.minimums(lane, part, g, weightTile));
    if (encoding.hasSuper())
      term = term - Halide::cast<float>(minimumDot) * minimum;
    else
      term = term + Halide::cast<float>(groupSum(x, g, 0, 0)) * minimum;
  }
  if (unsigned activationGroup = x.activation.getGroupSize())
    term = term * x.scales(g / (int(activationGroup) / int(encoding.outerSize())), xRow);
  stages.sum(lane, part, tile, row) = 0.0f;
  stages.sum(lane, part, tile, row) += term;
  stages.sumOver = g.x;
}

namespace {

/// A bound of the integer sum over one super-group, as derived above.
int64_t innerBound(const EncodingDesc &e) {
  int64_t scale = int64_t(1) << (e.scaleBits() - (e.scale == ScaleType::I8 || e.scaleZero() != 0));
  int64_t code = std::max(e.zero(), e.largestCode() - e.zero());
  return scale * code * largestActivation * e.superSize;
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
