// Mixtures of experts: which experts a row takes, which rows an expert takes, and their sum.
//
// Whatever the logits are, the experts of a row differ. Probabilities follow the softmax: with a
// NaN or a +inf among its logits, or with nothing but -inf, all of a row's are NaN; a logit of -inf
// has probability 0. The sum follows IEEE arithmetic: NaN of a NaN, and of an infinity times a
// probability of 0.
#include "compiler/Kernels/ExpertRows.h"
#include "compiler/Kernels/KernelBuilder.h"

using namespace mlir;
using Halide::Expr;
using Halide::Func;
using Halide::RDom;

namespace tern {

// An expert's rank is the number of experts before it: more likely ones, and of equally likely ones
// those with smaller numbers. Logits compare like integers of their bits, so that ranks are a
// permutation whatever they hold: a NaN stands above or below all numbers, and 0 above -0.
llvm::Error buildRoute(KernelBuilder &builder, RouteOp op) {
  const FloatValue &logits = builder.get<FloatValue>(op.getLogits());
  int experts = int(logits.size()), tile = int(rowPadding);
  auto idsType = cast<RankedTensorType>(op.getIds().getType());
  int used = int(idsType.getDimSize(1));
  Halide::Var lane = builder.lane, tileVar = builder.tile, row = builder.row;
  auto &stages = builder.stages().rowStages;
  Expr element = tileVar * tile + lane;

  Func key("key"), rank("rank");
  Expr bits = Halide::reinterpret<int32_t>(logits.at({lane, tileVar, row}));
  Expr ordered = bits ^ ((bits >> 31) & 0x7fffffff);
  key(lane, tileVar, row) = Halide::select(element < experts, ordered, INT32_MIN);
  stages.push_back({key, tile, /*large=*/true});
  RDom other(0, experts, "other");
  Expr mine = key(lane, tileVar, row), theirs = key(other % tile, other / tile, row);
  rank(lane, tileVar, row) = 0;
  rank(lane, tileVar, row) +=
      Halide::cast<int32_t>(theirs > mine || (theirs == mine && other < element));
  stages.push_back({rank, tile, /*large=*/true});

  // exp(logit - largest logit), the largest being that of rank 0.
  auto ofRank = [&](const std::string &name, const std::function<Expr(Expr, Expr)> &value,
                    const Expr &zero) {
    Func chosen(name);
    RDom e(0, experts, name + "Expert");
    Expr at = rank(e % tile, e / tile, row);
    chosen(lane, tileVar, row) = zero;
    chosen(lane, tileVar, row) =
        Halide::select(at == element, value(e % tile, e / tile), chosen(lane, tileVar, row));
    stages.push_back({chosen, tile, /*large=*/true});
    return chosen;
  };
  Func largest("largest"), power("power"), lanes("totalLanes");
  Func byRank = ofRank("logitOfRank", [&](Expr l, Expr t) { return logits.at({l, t, row}); }, 0.0f);
  largest(row) = byRank(0, 0, row);
  stages.push_back({largest});
  Expr difference = logits.at({lane, tileVar, row}) - largest(row);
  power(lane, tileVar, row) = Halide::select(element < experts, exponential(difference), 0.0f);
  stages.push_back({power, tile, /*large=*/true});
  RDom tiles(0, int(logits.tiles()), "totalTiles");
  lanes(lane, row) = 0.0f;
  lanes(lane, row) += power(lane, tiles, row);
  stages.push_back({lanes, tile});
  Func total = foldLanes(builder, lanes, "total", [](Expr a, Expr b) { return a + b; });

  Func chosen = ofRank("powerOfRank", [&](Expr l, Expr t) { return power(l, t, row); }, 0.0f);
  Func divisor("divisor");
  if (op.getNormalize()) {
    RDom u(0, used, "used");
    divisor(row) = 0.0f;
    divisor(row) += chosen(u % tile, u / tile, row);
    divisor(row) += zeroOrNaN(total(0, row)); // a NaN that was not chosen
  } else {
    divisor(row) = total(0, row);
  }
  stages.push_back({divisor});
  Func ids = ofRank("expertOfRank", [&](Expr l, Expr t) { return t * tile + l; }, 0);

  float scale = op.getScale().convertToFloat();
  auto probability = [chosen, divisor, scale](const Point &p) {
    Expr value = chosen(p.lane, p.tile, p.row) / divisor(p.row);
    return scale == 1.0f ? value : value * scale;
  };
  builder.set(op.getIds(), IntRowsValue{idsType, [ids](const Point &p) -> Expr {
                                          return ids(p.lane, p.tile, p.row);
                                        }});
  builder.set(op.getProbabilities(),
              FloatValue{cast<RankedTensorType>(op.getProbabilities().getType()), probability});
  return llvm::Error::success();
}

namespace {

/// The steps that enter one pair into the lists, in this order.
enum Step : int {
  FirstRow = 0, ///< the pair, into its row
  LastRow = 7,  ///< and into all other rows of an item that begins with it
  Expert = 8,   ///< of an item that begins
  Taken = 9,    ///< one more pair of the expert
  Steps = 10,
};

} // namespace

// One task: pairs are entered one after the other, each behind those of its expert. How many an
// expert has taken stands in the lists themselves.
llvm::Error buildExpertRows(KernelBuilder &builder, ExpertRowsOp op) {
  const IntRowsValue &ids = builder.get<IntRowsValue>(op.getIds());
  auto type = cast<ExpertRowsAttr>(cast<RankedTensorType>(op.getResult().getType()).getEncoding());
  int experts = int(type.getExperts()), used = int(type.getUsed());
  ExpertRowsLayout layout(type.getExperts(), type.getUsed());
  constexpr int classes = int(ExpertRowsLayout::classes);
  Expr pairs = builder.rowsOf(op.getIds()) * used;
  Halide::Var x("x"), e("e"), c("c");
  auto expertOf = [&](const Expr &pair) {
    Expr id = ids.at(Point::ofElement(pair % used, pair / used));
    return Halide::clamp(id, 0, experts - 1); // a plan may pass other numbers
  };

  // Items of an expert: full ones of eight rows, and one for the rest.
  Func count("countOf"), items("itemsOf"), start("startOf");
  RDom p(0, pairs, "pair");
  count(e) = 0;
  count(expertOf(p)) += 1;
  Expr rest = count(e) % 8;
  items(c, e) = Halide::mux(c, {Halide::cast<int32_t>(rest == 1),
                                Halide::cast<int32_t>(rest > 1 && rest <= 4),
                                count(e) / 8 + Halide::cast<int32_t>(rest > 4)});
  RDom before(0, classes, 1, experts, "before"); // [1, experts]
  start(c, e) = 0;
  start(before.x, before.y) = start(before.x, before.y - 1) + items(before.x, before.y - 1);

  Func lists("lists");
  lists(x) = Halide::undef<int32_t>();
  RDom k(0, classes, "class");
  lists(k) = start(k, experts);
  RDom clear(0, experts, "clear");
  lists(layout.takenAt() + clear) = 0;

  RDom s(0, int(Steps), 0, pairs, "step");
  Expr expert = expertOf(s.y), size = layout.head() + pairs * ExpertRowsLayout::units;
  Expr taken = lists(layout.takenAt() + expert), full = count(expert) / 8, left = count(expert) % 8;
  Expr item = taken / 8, inItem = taken % 8;
  Expr isFull = item < full;
  Expr kind = Halide::select(isFull || left > 4, 2, left > 1, 1, 0);
  Expr number = start(kind, expert) + Halide::select(kind == 2, item, 0);
  auto byKind = [&](const int (&values)[classes]) {
    return Halide::select(kind == 2, values[2], kind == 1, values[1], values[0]);
  };
  Expr block = byKind(ExpertRowsLayout::blockOf);
  Expr pairAt =
      layout.head() + pairs * byKind(ExpertRowsLayout::pairsAt) + number * block + inItem + s.x;
  Expr expertAt = layout.head() + pairs * byKind(ExpertRowsLayout::expertsAt) + number;
  s.where(s.x == int(FirstRow) || s.x == int(Taken) ||
          (inItem == 0 && (s.x < block || s.x == int(Expert))));
  Expr at = Halide::select(s.x <= int(LastRow), pairAt, s.x == int(Expert), expertAt,
                           layout.takenAt() + expert);
  Expr value = Halide::select(s.x <= int(LastRow), s.y, s.x == int(Expert), expert, taken + 1);
  lists(Halide::clamp(at, 0, size - 1)) = value; // even where a plan lays ids over the lists

  Affine extent = fixed(layout.head());
  extent.perToken = int64_t(ExpertRowsLayout::units) * used;
  auto result = cast<YieldOp>(op->getBlock()->getTerminator());
  if (result.getNumOperands() != 1 || result.getOperand(0) != op.getResult())
    return llvm::createStringError("expert_rows shares its kernel with nothing");
  builder.addOutput(lists, builder.argumentOf(true, 0, 0), {{fixed(0), extent, fixed(1)}},
                    {{0, size}});
  items.bound(c, 0, classes).bound(e, 0, experts);
  start.bound(c, 0, classes).bound(e, 0, experts + 1);
  builder.stages().serial = {count, items, start};
  builder.set(op.getResult(), StoredValue{});
  return llvm::Error::success();
}

llvm::Error buildCombine(KernelBuilder &builder, CombineOp op) {
  const FloatValue &x = builder.get<FloatValue>(op.getX());
  const FloatValue &weights = builder.get<FloatValue>(op.getWeights());
  int used = int(weights.size());
  auto at = [x, weights, used](const Point &p) {
    Expr sum;
    for (int j = 0; j < used; ++j) {
      Expr term = weights.element(j, p.row) * x.at({p.lane, p.tile, p.row * used + j});
      sum = sum.defined() ? sum + term : term;
    }
    return sum;
  };
  builder.set(op.getResult(), FloatValue{cast<RankedTensorType>(op.getResult().getType()), at});
  return llvm::Error::success();
}

} // namespace tern
