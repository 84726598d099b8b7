// Rotary position embedding (Su et al., 2021): the first 2 M elements of each head are rotated in
// pairs.
//
// The angle of position p is the sum of those of p % 256 and p - p % 256, so its cosine and sine
// are the complex product of two rows of the table: exact enough at any length, and no sin or cos
// at run time.
//
// A NaN or an infinity stays in its pair: NaN makes both elements NaN, an infinity makes each
// infinite, or NaN where the angle's factor is 0 or both are infinite and cancel. Two numbers near
// the end of f32's range may turn into an infinity. What lies behind the rotated elements is passed
// through.
#include "compiler/Kernels/KernelBuilder.h"

using namespace mlir;
using Halide::Expr;
using Halide::Func;
using Halide::Var;

namespace tern {
namespace {

constexpr int lowRows = RopeTableAttr::fineRows; ///< rows of the table for p % 256

/// One rotary op on rows of `size` elements: heads of `headSize`, of which 2 * `frequencies` are
/// rotated.
struct Rotation {
  int size, headSize, frequencies;
  bool adjacent;

  int rotated() const { return 2 * frequencies; }
  bool headsAreTiles() const { return headSize % int(rowPadding) == 0; }

  Expr elementInHead(const Point &p) const {
    if (!headsAreTiles())
      return p.element() % headSize;
    return p.tile % (headSize / int(rowPadding)) * int(rowPadding) + p.lane;
  }

  /// The place of the element that is rotated with `p`'s.
  Point partner(const Point &p) const {
    if (adjacent) // both lie in one tile, since tiles and heads have even sizes
      return {p.lane + 1 - 2 * (p.lane % 2), p.tile, p.row, p.part};
    int tiles = frequencies / int(rowPadding);
    if (headsAreTiles() && frequencies % int(rowPadding) == 0) {
      Expr tileInHead = p.tile % (headSize / int(rowPadding));
      return {p.lane, p.tile + Halide::select(tileInHead < tiles, tiles, -tiles), p.row, p.part};
    }
    Expr distance = Halide::select(elementInHead(p) < frequencies, frequencies, -frequencies);
    Expr element = p.element() + distance;
    if (size % int(rowPadding) != 0) // those of the padding lie beyond the row
      element = Halide::min(element, size - 1);
    return Point::ofElement(element, p.row, p.part);
  }

  Expr frequencyOf(const Expr &element) const {
    return adjacent ? element / 2 : element % frequencies;
  }
  Expr isFirstOfPair(const Expr &element) const {
    return adjacent ? element % 2 == 0 : element < frequencies;
  }
};

} // namespace

llvm::Error buildRope(KernelBuilder &builder, RopeOp op) {
  const FloatValue &x = builder.get<FloatValue>(op.getX());
  const FloatValue &table = builder.get<FloatValue>(op.getTable());
  const IntValue &positions = builder.get<IntValue>(op.getPositions());
  int tableRows = int(table.type.getDimSize(0));
  Rotation rotation{int(x.size()), int(op.getHeadSize()), int(table.type.getDimSize(1)),
                    op.getAdjacent()};

  Var element("element"), row = builder.row;
  // The artifact's context length, below which positions are, may be more than the table has.
  Expr position = Halide::clamp(positions.at(row), 0, (tableRows - lowRows) * lowRows - 1);
  Expr frequency = rotation.frequencyOf(element);
  auto entry = [&](const Expr &tableRow, int component) {
    return table.at({component, 0, tableRow, frequency});
  };
  Expr low = position % lowRows, high = lowRows + position / lowRows;
  Expr cosLow = entry(low, 0), sinLow = entry(low, 1);
  Expr cosHigh = entry(high, 0), sinHigh = entry(high, 1);
  Expr sine = sinLow * cosHigh + cosLow * sinHigh;

  RotationStages stages;
  stages.cosine = Func("cosine");
  stages.sine = Func("sine");
  stages.cosine(element, row) = cosLow * cosHigh - sinLow * sinHigh;
  stages.sine(element, row) = Halide::select(rotation.isFirstOfPair(element), -sine, sine);
  stages.forStore = feedsKvStore(op.getResult());
  builder.stages().rotations.push_back(stages);

  auto at = [x, rotation, stages](const Point &p) {
    Expr e = rotation.elementInHead(p), value = x.at(p);
    bool partly = rotation.rotated() < rotation.headSize;
    Expr angle = partly ? Halide::min(e, rotation.rotated() - 1) : e;
    Expr turned =
        value * stages.cosine(angle, p.row) + x.at(rotation.partner(p)) * stages.sine(angle, p.row);
    return partly ? Halide::select(e < rotation.rotated(), turned, value) : turned;
  };
  builder.set(op.getResult(), FloatValue{cast<RankedTensorType>(op.getResult().getType()), at});
  return llvm::Error::success();
}

} // namespace tern
