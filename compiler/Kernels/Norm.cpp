// RMS and layer normalization: 32 partial sums, one per lane, folded by a fixed tree.
//
// A row, or each run of `group` elements of it, is normalized by itself. The order of additions
// depends on the length of the run alone, so a row's result is the same in every call.
//
// What is no finite number follows the arithmetic of the formula in f32. A NaN makes its whole run
// NaN. Where a mean square is infinite (an infinite element, or magnitudes from about 1.8e19
// divided by the root of the run's length), its inverse root is 0: finite elements become 0 (in a
// layer norm the bias) and infinite ones NaN. A layer norm of which the sum of elements is infinite
// is NaN throughout. A weight or a bias that is no finite number stays in its element.
#include "compiler/Kernels/KernelBuilder.h"

using namespace mlir;
using Halide::Expr;
using Halide::Func;

namespace tern {

Func foldLanes(KernelBuilder &builder, Func partial, const std::string &name,
               const std::function<Expr(Expr, Expr)> &combine, Func consumer, Halide::Var at,
               int lanesBefore) {
  // partial has dimensions (lane, rest...); each step halves the lanes.
  std::vector<Halide::Var> rest = partial.args();
  rest.erase(rest.begin());
  for (int lanes = lanesBefore / 2; lanes >= 1; lanes /= 2) {
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

namespace {

/// The runs of elements that a norm takes together.
class NormGroups {
public:
  NormGroups(KernelBuilder &builder, const FloatValue &x, int64_t group, Value result)
      : builder(builder), x(x), size(int(group ? group : x.size())), count(int(x.size()) / size),
        forStore(feedsKvStore(result)) {}

  /// The group of a place. Clamped: the padding of a row lies beyond the last group, and the bounds
  /// that Halide infers for the partner of a rotated element reach below the first.
  Expr groupOf(const Point &p) const {
    if (count == 1)
      return 0;
    Expr group = size % tile == 0 ? p.tile / (size / tile) : p.element() / size;
    return Halide::clamp(group, 0, count - 1);
  }
  /// A vector of the row's or of a group's length at a place, or at some element for a place in the
  /// padding: the partner of a rotated element may lie beyond it.
  Expr vectorAt(const FloatValue &vector, const Point &p) const {
    if (vector.size() != x.size()) {
      if (size % tile == 0)
        return vector.at({p.lane, p.tile % (size / tile), p.row});
      return vector.at(Point::ofElement(p.element() % size, p.row));
    }
    if (x.size() % tile == 0)
      return vector.at(p);
    return vector.at(Point::ofElement(Halide::min(p.element(), int(x.size()) - 1), p.row));
  }

  /// sum(term(place)) over each group, divided by its size.
  Func mean(const std::string &name, const std::function<Expr(const Point &)> &term) const {
    Halide::Var lane = builder.lane, group = builder.group, row = builder.row;
    Func partial(name + "Lanes"), result(name);
    Halide::RDom tiles(0, (size + tile - 1) / tile, name + "Tiles");
    Expr value;
    if (size % tile == 0) {
      value = term({lane, group * (size / tile) + tiles, row});
    } else { // what lies in the padding is unspecified
      Expr element = tiles * tile + lane;
      Point place = count == 1
                        ? Point{lane, tiles, row}
                        : Point::ofElement(group * size + Halide::min(element, size - 1), row);
      value = Halide::select(element < size, term(place), 0.0f);
    }
    partial(lane, group, row) = 0.0f;
    partial(lane, group, row) += value;
    builder.stages().rowStages.push_back({partial, tile, /*large=*/false, result, group});
    Func total =
        foldLanes(builder, partial, name, [](Expr a, Expr b) { return a + b; }, result, group);
    result(group, row) = total(0, group, row) / float(size);
    addStage(result);
    return result;
  }

  /// 1 / sqrt(mean + epsilon).
  Func inverseRoot(Func mean, float epsilon) const {
    Func inverse("inverse");
    inverse(builder.group, builder.row) =
        1.0f / Halide::sqrt(mean(builder.group, builder.row) + epsilon);
    addStage(inverse);
    return inverse;
  }

private:
  static constexpr int tile = int(rowPadding);

  void addStage(Func func) const {
    RowStage stage{func};
    stage.forStore = forStore;
    builder.stages().rowStages.push_back(stage);
  }

  KernelBuilder &builder;
  FloatValue x;
  int size, count;
  bool forStore;
};

} // namespace

llvm::Error buildRmsNorm(KernelBuilder &builder, RmsNormOp op) {
  const FloatValue &x = builder.get<FloatValue>(op.getX());
  const FloatValue &weight = builder.get<FloatValue>(op.getWeight());
  NormGroups groups(builder, x, op.getGroup(), op.getResult());
  Func square = groups.mean("squares", [x](const Point &p) { return x.at(p) * x.at(p); });
  Func inverse = groups.inverseRoot(square, op.getEpsilon().convertToFloat());
  auto at = [=](const Point &p) {
    return x.at(p) * inverse(groups.groupOf(p), p.row) * groups.vectorAt(weight, p);
  };
  builder.set(op.getResult(), FloatValue{cast<RankedTensorType>(op.getResult().getType()), at});
  return llvm::Error::success();
}

llvm::Error buildLayerNorm(KernelBuilder &builder, LayerNormOp op) {
  const FloatValue &x = builder.get<FloatValue>(op.getX());
  const FloatValue &weight = builder.get<FloatValue>(op.getWeight());
  std::optional<FloatValue> bias;
  if (op.getBias())
    bias = builder.get<FloatValue>(op.getBias());
  NormGroups groups(builder, x, op.getGroup(), op.getResult());
  Func mean = groups.mean("mean", [x](const Point &p) { return x.at(p); });
  auto centred = [=](const Point &p) { return x.at(p) - mean(groups.groupOf(p), p.row); };
  Func variance = groups.mean("variance", [=](const Point &p) {
    Expr value = centred(p);
    return value * value;
  });
  Func inverse = groups.inverseRoot(variance, op.getEpsilon().convertToFloat());
  auto at = [=](const Point &p) {
    Expr value = centred(p) * inverse(groups.groupOf(p), p.row) * groups.vectorAt(weight, p);
    return bias ? value + groups.vectorAt(*bias, p) : value;
  };
  builder.set(op.getResult(), FloatValue{cast<RankedTensorType>(op.getResult().getType()), at});
  return llvm::Error::success();
}

} // namespace tern
