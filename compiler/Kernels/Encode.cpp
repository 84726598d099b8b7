// Quantization of activations to int8 with one scale per group of a row. A group with a NaN has the
// scale NaN, one with an infinity (and no NaN) an infinite scale; their codes and sums are 0, so
// that whatever is computed from them is NaN. Subnormal groups have a subnormal scale, or 0 and
// codes 0.
#include "compiler/Kernels/KernelBuilder.h"
#include <limits>

using namespace mlir;
using Halide::Expr;
using Halide::Func;

namespace tern {

llvm::Error buildEncode(KernelBuilder &builder, EncodeOp op) {
  const FloatValue &x = builder.get<FloatValue>(op.getX());
  auto type = cast<RankedTensorType>(op.getResult().getType());
  auto activation = cast<ActivationAttr>(type.getEncoding());
  int k = int(x.size());
  int groupSize = activation.getGroupSize() ? int(activation.getGroupSize()) : k;
  int sumSize = int(activation.getSumSize()), tile = int(rowPadding);
  if (k % tile != 0 || groupSize % tile != 0 || (sumSize % tile != 0 && sumSize * 2 != tile))
    return llvm::createStringError(
        "encode needs rows, groups and sums in multiples of " + llvm::Twine(tile) +
        " (sums also of half as many), got rows of " + llvm::Twine(k) + ", groups of " +
        llvm::Twine(groupSize) + ", sums of " + llvm::Twine(sumSize));
  Halide::Var lane = builder.lane, group = builder.group, row = builder.row;
  auto &stages = builder.stages().rowStages;

  // Magnitudes compare like their bits, in which a NaN is above every number: it becomes the scale,
  // and whatever is computed from the group is NaN too. A maximum of floats could lose it.
  Func scale("scale");
  Func peaks("peaks");
  Halide::RDom tiles(0, groupSize / tile, "groupTiles");
  peaks(lane, group, row) = 0;
  Expr magnitude = Halide::abs(x.at({lane, group * (groupSize / tile) + tiles, row}));
  peaks(lane, group, row) =
      Halide::max(peaks(lane, group, row), Halide::reinterpret<int32_t>(magnitude));
  stages.push_back({peaks, tile, false, scale, group});
  Func peak = foldLanes(
      builder, peaks, "peaks", [](Expr a, Expr b) { return Halide::max(a, b); }, scale, group);
  scale(group, row) = Halide::reinterpret<float>(peak(0, group, row)) / 127.0f;
  stages.push_back({scale});

  Func codes("codes");
  Halide::Var tileVar = builder.tile;
  Expr s = scale((tileVar * tile) / groupSize, row);
  Expr rounded = Halide::round(x.at({lane, tileVar, row}) / s);
  Expr code = Halide::cast<int8_t>(Halide::clamp(rounded, -127.0f, 127.0f));
  Expr isNumber = s > 0.0f && s < std::numeric_limits<float>::infinity();
  codes(lane, tileVar, row) = Halide::select(isNumber, code, Halide::cast<int8_t>(0));
  stages.push_back({codes, tile, /*large=*/true});

  ActValue value{type, activation, {}, {}, {}};
  value.codes = [codes](const Point &p) -> Expr { return codes(p.lane, p.tile, p.row); };
  value.scales = [scale](const Expr &g, const Expr &row) -> Expr { return scale(g, row); };
  if (sumSize) {
    Func sums("sums"), laneSums("laneSums");
    int lanes = std::min(sumSize, tile);
    if (lanes == tile) {
      Halide::RDom sumTiles(0, sumSize / tile, "sumTiles");
      laneSums(lane, group, row) = 0;
      laneSums(lane, group, row) +=
          Halide::cast<int32_t>(codes(lane, group * (sumSize / tile) + sumTiles, row));
    } else { // two sums in a tile
      laneSums(lane, group, row) =
          Halide::cast<int32_t>(codes(group % 2 * lanes + lane, group / 2, row));
    }
    stages.push_back({laneSums, lanes, false, sums, group});
    Func sum = foldLanes(
        builder, laneSums, "sums", [](Expr a, Expr b) { return a + b; }, sums, group, lanes);
    sums(group, row) = sum(0, group, row);
    stages.push_back({sums});
    value.sums = [sums](const Expr &g, const Expr &row) -> Expr { return sums(g, row); };
  }
  builder.set(op.getResult(), value);
  return llvm::Error::success();
}

} // namespace tern
