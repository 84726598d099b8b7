// RMS normalization: 32 partial sums of squares, one per lane, folded by a fixed tree.
//
// The order of additions depends on the row length alone, so a row's result is the same in every
// call.
#include "compiler/Kernels/KernelBuilder.h"

using namespace mlir;
using Halide::Expr;
using Halide::Func;

namespace tern {

Func foldLanes(KernelBuilder &builder, Func partial, const std::string &name,
               const std::function<Expr(Expr, Expr)> &combine, Func consumer, Halide::Var at) {
  // partial has dimensions (lane, rest...); each step halves the lanes.
  std::vector<Halide::Var> rest = partial.args();
  rest.erase(rest.begin());
  for (int lanes = int(rowPadding) / 2; lanes >= 1; lanes /= 2) {
    Func folded(name + std::to_string(lanes));
    std::vector<Halide::Var> args = {builder.lane};
    args.insert(args.end(), rest.begin(), rest.end());
    std::vector<Expr> low = {builder.lane}, high = {builder.lane + lanes};
    low.insert(low.end(), rest.begin(), rest.end());
    high.insert(high.end(), rest.begin(), rest.end());
    folded(args) = combine(partial(low), partial(high));
    builder.stages().rowStages.push_back({folded, lanes, /*large=*/false, consumer, at});
    partial = folded;
  }
  return partial;
}

llvm::Error buildRmsNorm(KernelBuilder &builder, RmsNormOp op) {
  const FloatValue &x = builder.get<FloatValue>(op.getX());
  const FloatValue &weight = builder.get<FloatValue>(op.getWeight());
  int size = int(x.size());
  Halide::Var lane = builder.lane, row = builder.row;

  Func squares("squares");
  Halide::RDom tiles(0, int(x.tiles()), "tiles");
  Expr value = x.at({lane, tiles, row});
  Expr square = value * value;
  if (size % int(rowPadding) != 0) // what lies in the padding is unspecified
    square = Halide::select(tiles * int(rowPadding) + lane < size, square, 0.0f);
  squares(lane, row) = 0.0f;
  squares(lane, row) += square;
  builder.stages().rowStages.push_back({squares, int(rowPadding)});

  Func total = foldLanes(builder, squares, "squares", [](Expr a, Expr b) { return a + b; });
  Func inverse("inverse");
  float epsilon = op.getEpsilon().convertToFloat();
  inverse(row) = 1.0f / Halide::sqrt(total(0, row) / float(size) + epsilon);
  builder.stages().rowStages.push_back({inverse});

  auto at = [x, weight, inverse](const Point &p) {
    return x.at(p) * inverse(p.row) * weight.at(p);
  };
  builder.set(op.getResult(), FloatValue{cast<RankedTensorType>(op.getResult().getType()), at});
  return llvm::Error::success();
}

} // namespace tern
