// Linear layers over packed weights: the integer dot product of a group, then scales in a fixed
// order.
//
//   sum = 0;  for each group g ascending:  sum += (float(dot(g)) * weightScale(g)) *
//   activationScale(g)
//
// With one activation scale for the whole row the last factor is applied once at the end. The dot
// product is exact, so its form (DotForm) and the number of rows taken together never change a
// result. Bounds:
//   Dot4       i32 lanes: four products of at most 255 * 127; planes in place multiply a code by at
//   most 64 PairSum16  i16 lanes hold floor(32767 / (2 * 127 * largest code)) pair sums: ternary
//   64, quaternary 43,
//              int4 8; chunks of so many are widened to i32
//   Widened16  i32 lanes: pairs of products of at most 128 * 127
#include "compiler/Kernels/KernelBuilder.h"

using namespace mlir;
using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Var;

namespace tern {
namespace {

constexpr int largestActivation = 127;

int largestCode(CodeKind codes) {
  switch (codes) {
  case CodeKind::Ternary:
    return 2;
  case CodeKind::Quaternary:
    return 3;
  case CodeKind::Int4:
    return 15;
  default:
    return 255;
  }
}

class LinearBuilder {
public:
  LinearBuilder(KernelBuilder &builder, const WeightValue &weight)
      : builder(builder), weight(weight), lane(builder.lane), part(builder.part),
        tile(builder.tile), row(builder.row), group(builder.group) {
    stages.parts = int(weight.parts);
    stages.planes = int(weight.planes());
    stages.sum = Func("sum");
  }

  void floatSum(const FloatValue &x);
  void groupedSum(const ActValue &x);
  LinearStages stages;

private:
  void chooseForm(bool hasSums);
  void dot4(const ActValue &x, const Expr &start);
  void dot4InPlace(const ActValue &x, const Expr &start);
  void pairSum16(const ActValue &x, const Expr &start);
  void widened16(const ActValue &x, const Expr &start);

  Expr byte(const Expr &i, const Expr &line, const Expr &g) {
    return weight.codes(i, lane, line, part, g, tile);
  }
  /// The code of one plane as u8, or as i8 where Dot4 takes signed codes.
  Expr code(const Expr &i, const Expr &plane, const Expr &line, const Expr &g) {
    int bits = int(weight.encoding.codeBits());
    const bool isSigned = stages.form == DotForm::Dot4 && builder.target().dot4IsSigned;
    if (bits == 8)
      return isSigned ? Halide::reinterpret<int8_t>(byte(i, line, g))
                      : byte(i, line, g) ^ Halide::cast<uint8_t>(0x80); // offset 128
    Expr shifted = byte(i, line, g) >> Halide::cast<uint8_t>(plane * bits);
    Expr unsignedCode = shifted & Halide::cast<uint8_t>((1 << bits) - 1);
    return isSigned ? Halide::reinterpret<int8_t>(unsignedCode) : unsignedCode;
  }
  Expr activation(const ActValue &x, const Expr &i, const Expr &plane, const Expr &line,
                  const Expr &g) {
    int groupSize = int(weight.encoding.groupSize);
    return x.codes({g * groupSize + (line * stages.planes + plane) * 4 + i, 0, row});
  }

  KernelBuilder &builder;
  const WeightValue &weight;
  Var lane, part, tile, row, group;
};

void LinearBuilder::floatSum(const FloatValue &x) {
  stages.form = DotForm::Float;
  RDom k(0, int(weight.k), "k");
  stages.sum(lane, part, tile, row) = 0.0f;
  stages.sum(lane, part, tile, row) +=
      floatCode(weight, weight.codes(lane, part, k, tile)) * x.at({k, 0, row});
  stages.sumOver = k.x;
}

void LinearBuilder::chooseForm(bool hasSums) {
  bool int8 = weight.encoding.codes == CodeKind::Int8;
  // Signed codes become unsigned by an offset, which the activations' sums take out again. One row
  // is bound by memory, and there the wider form is faster (22 against 16 to 20 GB/s).
  if (int8 && !builder.target().dot4IsSigned &&
      (builder.rowRange().single() || !builder.target().hasDot4 || !hasSums))
    stages.form = DotForm::Widened16;
  else
    stages.form = builder.target().hasDot4 ? DotForm::Dot4 : DotForm::PairSum16;
}

void LinearBuilder::groupedSum(const ActValue &x) {
  unsigned sumSize = x.activation.getSumSize();
  chooseForm(/*hasSums=*/sumSize != 0 && weight.encoding.groupSize % sumSize == 0);
  stages.lines = int(weight.linesPerGroup());
  int groupSize = int(weight.encoding.groupSize);
  int zero = weight.encoding.zero();
  if (weight.encoding.codes == CodeKind::Int8 && stages.form == DotForm::Dot4 &&
      !builder.target().dot4IsSigned)
    zero = 128;
  Expr start = 0;
  if (zero != 0) {
    int sumsPerGroup = groupSize / int(x.activation.getSumSize());
    for (int i = 0; i < sumsPerGroup; ++i)
      start = start + x.sums(group * sumsPerGroup + i, row);
    start = -zero * start;
  }
  stages.dot = Func("dot");
  switch (stages.form) {
  case DotForm::Dot4:
    if (builder.rowRange().single() && stages.planes > 1 && !builder.target().dot4IsSigned)
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

  RDom g(0, int(weight.groups()), "g");
  Expr term = Halide::cast<float>(stages.dot(lane, part, tile, row, g)) *
              Halide::cast<float>(weight.scales(lane, part, g, tile));
  if (unsigned activationGroup = x.activation.getGroupSize())
    term = term * x.scales(g / (int(activationGroup) / groupSize), row);
  stages.sum(lane, part, tile, row) = 0.0f;
  stages.sum(lane, part, tile, row) += term;
  stages.sumOver = g.x;
}

void LinearBuilder::dot4(const ActValue &x, const Expr &start) {
  RDom r(0, 4, 0, stages.planes, 0, int(weight.linesPerGroup()), "r");
  stages.dot(lane, part, tile, row, group) = start;
  stages.dot(lane, part, tile, row, group) += Halide::cast<int32_t>(
      Halide::widening_mul(code(r.x, r.y, r.z, group), activation(x, r.x, r.y, r.z, group)));
  stages.dotOver = r;
}

// A plane's codes stay where they are in the byte; its sum is shifted down once at the end.
void LinearBuilder::dot4InPlace(const ActValue &x, const Expr &start) {
  int bits = int(weight.encoding.codeBits()), mask = (1 << bits) - 1;
  Var plane("plane");
  RDom r(0, 4, 0, int(weight.linesPerGroup()), "r");
  Expr planeMask = Halide::cast<uint8_t>(Expr(mask) << (plane * bits));
  stages.planeDot = Func("planeDot");
  stages.planeDot(lane, plane, part, tile, row, group) = Halide::select(plane == 0, start, 0);
  stages.planeDot(lane, plane, part, tile, row, group) +=
      Halide::cast<int32_t>(Halide::widening_mul(byte(r.x, r.y, group) & planeMask,
                                                 activation(x, r.x, plane, r.y, group)));
  stages.planeDotOver = r;
  Expr total = stages.planeDot(lane, 0, part, tile, row, group);
  for (int i = 1; i < stages.planes; ++i)
    total = total + (stages.planeDot(lane, i, part, tile, row, group) >> (i * bits));
  stages.dot(lane, part, tile, row, group) = total;
}

void LinearBuilder::pairSum16(const ActValue &x, const Expr &start) {
  int pairBound = 2 * largestActivation * largestCode(weight.encoding.codes);
  int additions = INT16_MAX / pairBound, lines = int(weight.linesPerGroup());
  int chunkLines = lines;
  while (chunkLines * stages.planes > additions || lines % chunkLines != 0)
    --chunkLines;

  Var half("half"), plane("plane"), line("line"), chunk("chunk");
  stages.product = Func("product");
  RDom pair(0, 2, "pair");
  Func &product = stages.product;
  Expr i = half * 2 + pair;
  product(half, lane, plane, line, part, tile, row, group) = Halide::cast<int16_t>(0);
  product(half, lane, plane, line, part, tile, row, group) = Halide::saturating_add(
      product(half, lane, plane, line, part, tile, row, group),
      Halide::widening_mul(code(i, plane, line, group), activation(x, i, plane, line, group)));
  stages.productOver = pair;

  stages.half = Func("half");
  RDom r(0, stages.planes, 0, chunkLines, "r");
  stages.half(half, lane, part, tile, row, group, chunk) = Halide::cast<int16_t>(0);
  stages.half(half, lane, part, tile, row, group, chunk) +=
      product(half, lane, r.x, chunk * chunkLines + r.y, part, tile, row, group);
  stages.halfOver = r;

  RDom h(0, 2, 0, lines / chunkLines, "h");
  stages.dot(lane, part, tile, row, group) = start;
  stages.dot(lane, part, tile, row, group) +=
      Halide::cast<int32_t>(stages.half(h.x, lane, part, tile, row, group, h.y));
  stages.dotOver = h;
}

void LinearBuilder::widened16(const ActValue &x, const Expr &start) {
  Var half("half");
  RDom r(0, 2, 0, int(weight.linesPerGroup()), "r");
  Expr i = half * 2 + r.x;
  Expr w = Halide::cast<int16_t>(Halide::reinterpret<int8_t>(byte(i, r.y, group)));
  Expr v = Halide::cast<int16_t>(activation(x, i, 0, r.y, group));
  stages.half = Func("half");
  stages.half(half, lane, part, tile, row, group) = 0;
  stages.half(half, lane, part, tile, row, group) +=
      Halide::cast<int32_t>(w) * Halide::cast<int32_t>(v);
  stages.halfOver = r;
  RDom h(0, 2, "h");
  stages.dot(lane, part, tile, row, group) = start;
  stages.dot(lane, part, tile, row, group) += stages.half(h, lane, part, tile, row, group);
  stages.dotOver = h;
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
  LinearBuilder linear(builder, weight);
  std::function<Expr(const Expr &)> rowScale;
  if (quantized) {
    const ActValue &x = builder.get<ActValue>(op.getX());
    linear.groupedSum(x);
    if (!x.activation.getGroupSize())
      rowScale = [x](const Expr &row) { return x.scales(0, row); };
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
