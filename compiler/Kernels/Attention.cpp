// Causal attention over a paged cache, one (row, key head) pair per task.
//
// All query heads of a group share the loads of their key head. Positions run in blocks of 512 (8 cache blocks,
// each found through the block table); each block gives its maximum m, the sum l of exp(score - m) and the
// weighted values, and blocks are merged in ascending order (online softmax: Milakov and Gimelshein, 2018;
// Dao et al., 2022). Every sum has one order that depends on the row's position alone, so a row's result does not
// depend on the other rows of the call, on threads or on chunking.
//
// Positions after the row's own are masked out of the scores and never multiplied into the values: what
// lies there is not initialised.
#include "compiler/Kernels/KvCacheAccess.h"
#include <limits>

using namespace mlir;
using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Tuple;
using Halide::Var;

namespace tern {
namespace {

constexpr int attentionBlock = 512;
constexpr int keyTile = int(KvType::keyTile);
constexpr int cacheBlock = int(KvType::blockPositions);
constexpr int tilesPerBlock = attentionBlock / keyTile;
constexpr int cacheBlocksPerBlock = attentionBlock / cacheBlock;

/// Combines the lanes of `partial` (lane, rest...) by halves: one fixed tree.
Expr foldLanes(Func partial, const std::vector<Expr> &rest,
               const std::function<Expr(Expr, Expr)> &combine) {
  std::vector<Expr> lanes;
  for (int lane = 0; lane < keyTile; ++lane) {
    std::vector<Expr> arguments = {lane};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    lanes.push_back(partial(arguments));
  }
  for (int half = keyTile / 2; half >= 1; half /= 2)
    for (int lane = 0; lane < half; ++lane)
      lanes[lane] = combine(lanes[lane], lanes[lane + half]);
  return lanes[0];
}

Expr larger(Expr a, Expr b) { return Halide::max(std::move(a), std::move(b)); }
Expr total(Expr a, Expr b) { return std::move(a) + std::move(b); }

class AttentionBuilder {
public:
  AttentionBuilder(KernelBuilder &builder, AttentionOp op)
      : builder(builder), op(op), cache(builder.get<KvValue>(op.getCache())), type(cache.type),
        table(builder, cache), keyHeads(int(type.getHeads())),
        groupHeads(int(op.getHeads()) / keyHeads), headSize(int(type.getHeadSize())),
        valueSize(int(type.getValueSize())) {}

  llvm::Error build();

private:
  Expr row() const { return u / keyHeads; }
  Expr keyHead() const { return u % keyHeads; }
  Expr position() const {
    return boundedPosition(builder.get<IntValue>(op.getPositions()), row());
  }
  Expr slot() const { return boundedSlot(builder.get<IntValue>(op.getSlots()), row()); }
  /// The first position the row attends to.
  Expr lowest() const {
    return type.getWindow() ? Halide::max(position() - int(type.getWindow()) + 1, 0) : Expr(0);
  }
  /// Cache block `c` of attention block `b`. Blocks after the row's own are not in the table.
  Expr blockAt(const Expr &c) const {
    return table.block(Halide::min(b * cacheBlocksPerBlock + c, position() / cacheBlock), slot());
  }
  /// Whether tile `t` of attention block `b` holds a position that the row attends to, or may.
  Expr tileInUse(const Expr &t) const {
    return b * attentionBlock + t * keyTile <= position();
  }

  void defineScores();
  void defineWeights();
  void defineBlockValues();
  void defineState();
  llvm::Error defineOutput();

  KernelBuilder &builder;
  AttentionOp op;
  const KvValue &cache;
  KvType type;
  BlockTable table;
  int keyHeads, groupHeads, headSize, valueSize;
  AttentionStages s;
  Var lane{"lane"}, tile{"tile"}, element{"element"}, g{"g"}, d0{"d"}, u{"u"}, b{"b"}, c{"c"};
};

void AttentionBuilder::defineScores() {
  const FloatValue &query = builder.get<FloatValue>(op.getQuery());
  s.query = Func("query");
  Expr first = (keyHead() * groupHeads + g) * headSize;
  s.query(d0, g, u) = query.element(first + d0, row()) * op.getScale().convertToFloat();

  Halide::ImageParam keys =
      builder.addInput(cache.keys, cacheElementType(type), keyDimensions(type));
  RDom d(0, headSize, "dims");
  s.d = d.x;
  s.dot = Func("dot");
  Expr key = Halide::cast<float>(
      keys(lane, d, tile % (cacheBlock / keyTile), keyHead(), blockAt(tile * keyTile / cacheBlock)));
  s.dot(lane, tile, g, b, u) = 0.0f;
  s.dot(lane, tile, g, b, u) += s.query(d, g, u) * key;

  Expr at = b * attentionBlock + tile * keyTile + lane;
  Expr visible = at <= position();
  if (type.getWindow())
    visible = visible && at >= lowest();
  s.scores = Func("scores");
  s.scores(lane, tile, g, b, u) = Halide::select(visible, s.dot(lane, tile, g, b, u),
                                                 -std::numeric_limits<float>::infinity());
}

void AttentionBuilder::defineWeights() {
  RDom maximumTiles(0, tilesPerBlock, "maximumTiles");
  maximumTiles.where(tileInUse(maximumTiles));
  s.maximumTile = maximumTiles.x;
  s.laneMaximum = Func("laneMaximum");
  s.laneMaximum(lane, g, b, u) = -std::numeric_limits<float>::infinity();
  s.laneMaximum(lane, g, b, u) =
      larger(s.laneMaximum(lane, g, b, u), s.scores(lane, maximumTiles, g, b, u));
  s.maximum = Func("maximum");
  s.maximum(g, b, u) = foldLanes(s.laneMaximum, {g, b, u}, larger);

  // exp of a masked score is exactly 0.
  s.weights = Func("weights");
  s.weights(lane, tile, g, b, u) =
      Halide::exp(Halide::min(s.scores(lane, tile, g, b, u) - s.maximum(g, b, u), 0.0f));

  RDom sumTiles(0, tilesPerBlock, "sumTiles");
  sumTiles.where(tileInUse(sumTiles));
  s.sumTile = sumTiles.x;
  s.laneSum = Func("laneSum");
  s.laneSum(lane, g, b, u) = 0.0f;
  s.laneSum(lane, g, b, u) += s.weights(lane, sumTiles, g, b, u);
  s.sum = Func("sum");
  s.sum(g, b, u) = foldLanes(s.laneSum, {g, b, u}, total);
}

void AttentionBuilder::defineBlockValues() {
  Halide::ImageParam values =
      builder.addInput(cache.values, cacheElementType(type), valueDimensions(type));
  RDom p(0, cacheBlock, "positions");
  p.where(b * attentionBlock + c * cacheBlock + p <= position());
  s.position = p.x;
  s.partial = Func("partial");
  Expr weight = s.weights(p % keyTile, c * (cacheBlock / keyTile) + p / keyTile, g, b, u);
  s.partial(element, g, c, b, u) = 0.0f;
  s.partial(element, g, c, b, u) +=
      weight * Halide::cast<float>(values(element, p, keyHead(), blockAt(c)));

  RDom cacheBlocks(0, cacheBlocksPerBlock, "cacheBlocks");
  cacheBlocks.where(b * attentionBlock + cacheBlocks * cacheBlock <= position());
  s.cacheBlock = cacheBlocks.x;
  s.blockValues = Func("blockValues");
  s.blockValues(element, g, b, u) = 0.0f;
  s.blockValues(element, g, b, u) += s.partial(element, g, cacheBlocks, b, u);
}

void AttentionBuilder::defineState() {
  RDom blocks(0, maxPositions / attentionBlock, "blocks");
  blocks.where(blocks * attentionBlock <= position());
  if (type.getWindow())
    blocks.where(blocks * attentionBlock + attentionBlock > lowest());
  s.block = blocks.x;
  s.state = Func("state");
  s.state(element, g, u) = Tuple(0.0f, -std::numeric_limits<float>::infinity(), 0.0f);
  Expr before = s.state(element, g, u)[1], here = s.maximum(g, blocks, u);
  Expr maximum = larger(before, here);
  // The first block finds before = -inf, whose factor is exactly 0.
  Expr keep = Halide::exp(before - maximum), add = Halide::exp(here - maximum);
  s.state(element, g, u) =
      Tuple(s.state(element, g, u)[0] * keep + s.blockValues(element, g, blocks, u) * add, maximum,
            s.state(element, g, u)[2] * keep + s.sum(g, blocks, u) * add);
}

llvm::Error AttentionBuilder::defineOutput() {
  Operation *terminator = op->getBlock()->getTerminator();
  auto yielded = llvm::find(terminator->getOperands(), op.getResult());
  if (yielded == terminator->operand_end() || !op.getResult().hasOneUse())
    return llvm::createStringError("tern.attention must be the result of its kernel");
  unsigned number = unsigned(yielded - terminator->operand_begin());

  RDom tasks(builder.first(), builder.count(), "tasks");
  s.task = tasks.x;
  s.out = Func("attention");
  Var head("head"), outRow("outRow");
  s.out(element, g, head, outRow) = Halide::undef<float>();
  Expr u0 = tasks;
  s.out(element, g, u0 % keyHeads, u0 / keyHeads) =
      s.state(element, g, u0)[0] / s.state(element, g, u0)[2];

  int64_t groupSize = int64_t(groupHeads) * valueSize;
  int64_t rowStride = llvm::alignTo(uint64_t(groupSize * keyHeads), rowPadding);
  builder.addOutput(s.out, builder.argumentOf(true, number, 0),
                    {dimension(valueSize, 1), dimension(groupHeads, valueSize),
                     dimension(keyHeads, groupSize),
                     {fixed(0), builder.rowsBinding(op.getResult()), fixed(rowStride)}},
                    {{0, valueSize},
                     {0, groupHeads},
                     {0, keyHeads},
                     {0, builder.rowsOf(op.getResult())}});
  builder.set(op.getResult(), StoredValue{});
  return llvm::Error::success();
}

llvm::Error AttentionBuilder::build() {
  defineScores();
  defineWeights();
  defineBlockValues();
  defineState();
  if (llvm::Error error = defineOutput())
    return error;
  s.lane = lane;
  s.tile = tile;
  s.element = element;
  s.g = g;
  s.d0 = d0;
  s.u = u;
  s.b = b;
  s.c = c;
  s.groupHeads = groupHeads;
  s.headSize = headSize;
  s.valueSize = valueSize;
  builder.stages().attentions.push_back(s);
  return llvm::Error::success();
}

} // namespace

llvm::Error buildAttention(KernelBuilder &builder, AttentionOp op) {
  return AttentionBuilder(builder, op).build();
}

} // namespace tern
