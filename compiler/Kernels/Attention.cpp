// Causal attention over a paged cache, one (row, key head) pair per task.
//
// All query heads of a group share the loads of their key head. Positions run in blocks of 512 (8
// cache blocks, each found through the block table); each block gives its maximum m, the sum l of
// exp(score - m) and the weighted values, and blocks are merged in ascending order (online softmax:
// Milakov and Gimelshein, 2018; Dao et al., 2022). Every sum has one order that depends on the
// row's position alone, so a row's result does not depend on the other rows of the call, on threads
// or on chunking.
//
// The kernel exists in three forms (TernPhase): one pass over the blocks, in which each is merged
// as soon as it is computed; one block per task, which stores m, l and the weighted values; and the
// merge of what was stored. Blocks and merge are the same expressions in both ways.
//
// The inner loops fetch ahead into the second cache, a cache block before its use: each lies
// elsewhere, and the prefetchers of CPUs stop at its end.
//
// Scales of int8 codes are applied once: a key's to the score, a value's to its weight.
//
// Positions after the row's own are masked out of the scores and never multiplied into the values:
// what lies there is not initialised.
//
// What is no finite number follows the arithmetic of the softmax. A score that is NaN (from a
// query, a key or its scale) or +inf makes its head's result NaN: its weight is NaN, and so is the
// sum of weights. A score of -inf has weight 0; where there are no others, the result is 0 / 0,
// NaN. A value that is NaN or infinite makes its element NaN or infinite (NaN, where infinities of
// either sign meet or the weight is 0).
#include "compiler/Kernels/KvCacheAccess.h"
#include "llvm/ADT/bit.h"
#include <limits>
#include <numbers>

using namespace mlir;
using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Tuple;
using Halide::Var;

namespace tern {
namespace {

constexpr int attentionBlock = TERN_ATTENTION_BLOCK;
constexpr int keyTile = int(KvType::keyTile);
constexpr int cacheBlock = int(KvType::blockPositions);
constexpr int tilesPerCacheBlock = cacheBlock / keyTile;
constexpr int cacheBlocksPerBlock = attentionBlock / cacheBlock;
/// Scores are in units of ln 2, so that weights are powers of two.
constexpr float scoreUnit = std::numbers::log2e_v<float>;
constexpr int cacheLineBytes = 64;
constexpr float minusInfinity = -std::numeric_limits<float>::infinity();

using Combine = std::function<Expr(Expr, Expr)>;

/// Combines terms by halves: one fixed tree.
Expr fold(std::vector<Expr> terms, const Combine &combine) {
  for (size_t half = terms.size() / 2; half >= 1; half /= 2)
    for (size_t i = 0; i < half; ++i)
      terms[i] = combine(terms[i], terms[i + half]);
  return terms[0];
}

Expr larger(Expr a, Expr b) { return Halide::max(std::move(a), std::move(b)); }
Expr total(Expr a, Expr b) { return std::move(a) + std::move(b); }

/// 2^x for x <= 0 to 1.6e-7 of itself: 0 below -127, exactly 1 at 0, NaN of NaN.
///
/// The sum with `round` ends in the bits of the nearest integer n; 2^(x - n) is a polynomial. Of
/// lowest and NaN the maximum is NaN, its second operand; a select in its place would hide from
/// Halide where the loop over blocks ends.
Expr exp2OfNegative(const Expr &x) {
  constexpr float round = 0x1.8p23f, lowest = -127;
  Expr bounded = Halide::max(Expr(lowest), x);
  Expr shifted = bounded + round;
  Expr fraction = bounded - (shifted - round), power = 0x1.5bba14p-10f;
  for (float coefficient : {0x1.3cea88p-7f, 0x1.c6b752p-5f, 0x1.ebf9bcp-3f, 0x1.62e42ap-1f, 1.0f})
    power = power * fraction + coefficient;
  Expr exponent = Halide::reinterpret<int32_t>(shifted) << 23;
  return power * Halide::reinterpret<float>(exponent + Halide::reinterpret<int32_t>(Expr(1.0f)));
}

/// tanh, NaN of NaN: 1 - 2 / (e^2x + 1), the power being a quotient of powers of which one is 1.
Expr tanhOrNaN(const Expr &x) {
  Expr exponent = (2 * scoreUnit) * x;
  Expr power = exp2OfNegative(Halide::min(Expr(0.0f), exponent)) /
               exp2OfNegative(Halide::min(Expr(0.0f), -exponent));
  return 1.0f - 2.0f / (power + 1.0f);
}

/// A maximum of scores, from which -inf can be subtracted.
Expr finite(const Expr &maximum) {
  return Halide::max(maximum, std::numeric_limits<float>::lowest());
}

/// `x`, for which `hint` is evaluated.
Expr beside(const Expr &hint, const Expr &x) { return Halide::select(hint == 0, x, 0.0f); }

class AttentionBuilder {
public:
  AttentionBuilder(KernelBuilder &builder, AttentionOp op)
      : builder(builder), op(op), cache(builder.get<KvValue>(op.getCache())), type(cache.type),
        phase(builder.rowRange().phase), table(builder, cache), keyHeads(int(type.getHeads())),
        groupHeads(int(op.getHeads()) / keyHeads), headSize(int(type.getHeadSize())),
        valueSize(int(type.getValueSize())) {}

  llvm::Error build();

private:
  Expr row() const { return u / keyHeads; }
  Expr keyHead() const { return u % keyHeads; }
  // Stages of their own: Halide does not trim loops by conditions that hold a promise.
  Expr position() const { return s.rowPosition(u); }
  Expr slot() const { return s.rowSlot(u); }
  /// The first position that a row at `position` attends to.
  Expr lowest(const Expr &position) const {
    return type.getWindow() ? Halide::max(position - int(type.getWindow()) + 1, 0) : Expr(0);
  }
  Expr lowest() const { return lowest(position()); }
  /// The first attention block with such a position.
  Expr firstBlock(const Expr &position) const { return lowest(position) / attentionBlock; }
  /// Cache block `c` of attention block `b`. Blocks after the row's own are not in the table.
  Expr blockAt(const Expr &c) const {
    return table.block(Halide::min(b * cacheBlocksPerBlock + c, position() / cacheBlock), slot());
  }
  /// The cache blocks of attention block `b` that hold a position the row attends to.
  RDom cacheBlocksInUse(const std::string &name) const {
    RDom blocks(0, cacheBlocksPerBlock, name);
    Expr start = b * attentionBlock + blocks * cacheBlock;
    blocks.where(start <= position());
    if (type.getWindow())
      blocks.where(start + cacheBlock > lowest());
    return blocks;
  }

  Func foldTilesAndLanes(Func partial, Func &folded, const std::string &name,
                         const Combine &combine) const;
  void defineRow();
  void defineSlope();
  void defineScores();
  void defineWeights();
  void defineBlockValues();
  Halide::ImageParam addPartials();
  void definePartials();
  void defineState();
  void defineOutput(unsigned number);

  KernelBuilder &builder;
  mutable AttentionOp op; // MLIR accessors are not const
  const KvValue &cache;
  KvType type;
  TernPhase phase;
  BlockTable table;
  int keyHeads, groupHeads, headSize, valueSize;
  Var lane{"lane"}, tile{"tile"}, c{"c"}, g{"g"}, b{"b"}, u{"u"}, element{"element"}, dim{"dim"};
  AttentionStages s;
};

void AttentionBuilder::defineRow() {
  s.rowPosition = Func("rowPosition");
  s.rowPosition(u) = boundedPosition(builder.get<IntValue>(op.getPositions()), row());
  s.rowSlot = Func("rowSlot");
  s.rowSlot(u) = boundedSlot(builder.get<IntValue>(op.getSlots()), row());
}

// ALiBi's slopes: 2^(-bias (h + 1) / n) for the first n heads, n the largest power of two that is
// not above their number; the others take those of 2 n heads, every second one.
void AttentionBuilder::defineSlope() {
  if (!op.getAlibi())
    return;
  float bias = op.getAlibi()->convertToFloat();
  int powerOfTwo = int(llvm::bit_floor(op.getHeads()));
  float step = bias * std::numbers::ln2_v<float> / float(powerOfTwo);
  Expr head = keyHead() * groupHeads + g;
  Expr steps = Halide::cast<float>(
      Halide::select(head < powerOfTwo, 2 * (head + 1), 2 * (head - powerOfTwo) + 1));
  s.slope = Func("slope");
  s.slope(g, u) = scoreUnit * Halide::exp(steps * (-step / 2));
}

void AttentionBuilder::defineScores() {
  const FloatValue &query = builder.get<FloatValue>(op.getQuery());
  s.query = Func("query");
  Expr first = (keyHead() * groupHeads + g) * headSize;
  const float unit = op.getSoftCap() ? 1 : scoreUnit;
  s.query(dim, g, u) = query.element(first + dim, row()) * (unit * op.getScale().convertToFloat());

  Halide::ImageParam keys =
      builder.addInput(cache.keys, cacheElementType(type), keyDimensions(type));
  RDom d(0, headSize, "dims");
  s.d = d.x;
  s.dot = Func("dot");
  Expr key = Halide::cast<float>(keys(lane, d, tile, keyHead(), blockAt(c)));
  key = beside(prefetch(keys(0, d, tile, keyHead(), blockAt(c + 1))), key);
  s.dot(lane, tile, c, g, b, u) = 0.0f;
  s.dot(lane, tile, c, g, b, u) += s.query(d, g, u) * key;

  RDom blocks = cacheBlocksInUse("scoreBlocks");
  s.scoreBlock = blocks.x;
  s.scores = Func("scores");
  s.scores(lane, tile, c, g, b, u) = Halide::undef<float>();
  Expr score = s.dot(lane, tile, blocks, g, b, u);
  if (type.hasScales()) {
    Halide::ImageParam scales = addKeyScales(builder, cache);
    score *= Halide::cast<float>(scales(lane, tile, keyHead(), blockAt(blocks)));
  }
  if (op.getSoftCap()) {
    float cap = op.getSoftCap()->convertToFloat();
    score = (scoreUnit * cap) * tanhOrNaN(score * (1.0f / cap));
  }
  if (op.getAlibi()) {
    Expr distance = b * attentionBlock + blocks * cacheBlock + tile * keyTile + lane - position();
    score += s.slope(g, u) * Halide::cast<float>(distance);
  }
  s.scores(lane, tile, blocks, g, b, u) = score;

  // Masking is a pass of its own over the blocks that need it: under a condition that varies by
  // lane, Halide would compute the products of every block.
  RDom masked = cacheBlocksInUse("maskedBlocks");
  s.maskedBlock = masked.x;
  Expr start = b * attentionBlock + masked * cacheBlock;
  Expr at = start + tile * keyTile + lane;
  Expr visible = at <= position();
  if (type.getWindow())
    visible = visible && at >= lowest();
  else
    masked.where(start + cacheBlock > position());
  s.scores(lane, tile, masked, g, b, u) =
      Halide::select(visible, s.scores(lane, tile, masked, g, b, u), minusInfinity);
}

/// (lane, tile, g, b, u) to (g, b, u), by way of `folded` (lane, g, b, u).
Func AttentionBuilder::foldTilesAndLanes(Func partial, Func &folded, const std::string &name,
                                         const Combine &combine) const {
  std::vector<Expr> tiles, lanes;
  for (int i = 0; i < tilesPerCacheBlock; ++i)
    tiles.push_back(partial(lane, i, g, b, u));
  folded = Func("tile" + name);
  folded(lane, g, b, u) = fold(tiles, combine);
  for (int i = 0; i < keyTile; ++i)
    lanes.push_back(folded(i, g, b, u));
  Func result("block" + name);
  result(g, b, u) = fold(lanes, combine);
  return result;
}

void AttentionBuilder::defineWeights() {
  // Four maxima and sums per lane, one for each tile of a cache block.
  RDom maximumBlocks = cacheBlocksInUse("maximumBlocks");
  s.maximumBlock = maximumBlocks.x;
  s.laneMaximum = Func("laneMaximum");
  s.laneMaximum(lane, tile, g, b, u) = minusInfinity;
  s.laneMaximum(lane, tile, g, b, u) =
      larger(s.laneMaximum(lane, tile, g, b, u), s.scores(lane, tile, maximumBlocks, g, b, u));
  s.maximum = foldTilesAndLanes(s.laneMaximum, s.tileMaximum, "Maximum", larger);

  // Powers of masked scores are exactly 0, and so are those of scores that are all -inf.
  RDom weightBlocks = cacheBlocksInUse("weightBlocks");
  s.weightBlock = weightBlocks.x;
  s.weights = Func("weights");
  s.weights(lane, tile, c, g, b, u) = Halide::undef<float>();
  s.weights(lane, tile, weightBlocks, g, b, u) =
      exp2OfNegative(s.scores(lane, tile, weightBlocks, g, b, u) - finite(s.maximum(g, b, u)));

  RDom sumBlocks = cacheBlocksInUse("sumBlocks");
  s.sumBlock = sumBlocks.x;
  s.laneSum = Func("laneSum");
  s.laneSum(lane, tile, g, b, u) = 0.0f;
  s.laneSum(lane, tile, g, b, u) += s.weights(lane, tile, sumBlocks, g, b, u);
  s.sum = foldTilesAndLanes(s.laneSum, s.tileSum, "Sum", total);
}

void AttentionBuilder::defineBlockValues() {
  Halide::ImageParam values =
      builder.addInput(cache.values, cacheElementType(type), valueDimensions(type));
  Func weights = s.weights;
  if (type.hasScales()) {
    Halide::ImageParam scales = addValueScales(builder, cache);
    RDom blocks = cacheBlocksInUse("valueWeightBlocks");
    s.valueWeightBlock = blocks.x;
    weights = s.valueWeights = Func("valueWeights");
    weights(lane, tile, c, g, b, u) = Halide::undef<float>();
    weights(lane, tile, blocks, g, b, u) =
        s.weights(lane, tile, blocks, g, b, u) *
        Halide::cast<float>(scales(tile * keyTile + lane, keyHead(), blockAt(blocks)));
  }
  RDom p(0, cacheBlock, "positions");
  Expr at = b * attentionBlock + c * cacheBlock + p;
  p.where(at <= position());
  if (type.getWindow())
    p.where(at >= lowest());
  s.position = p.x;
  s.partial = Func("partial");
  s.partial(element, g, c, b, u) = 0.0f;
  Expr value = Halide::cast<float>(values(element, p, keyHead(), blockAt(c)));
  const int lineElements = cacheLineBytes / cacheElementType(type).bytes();
  for (int e = 0; e < valueSize; e += lineElements)
    value = beside(prefetch(values(e, p, keyHead(), blockAt(c + 1))), value);
  s.partial(element, g, c, b, u) += weights(p % keyTile, p / keyTile, c, g, b, u) * value;

  RDom blocks = cacheBlocksInUse("valueBlocks");
  s.valueBlock = blocks.x;
  s.blockValues = Func("blockValues");
  s.blockValues(element, g, b, u) = 0.0f;
  s.blockValues(element, g, b, u) += s.partial(element, g, blocks, b, u);
}

/// (element, g, task of TERN_PHASE_BLOCKS).
Halide::ImageParam AttentionBuilder::addPartials() {
  int64_t stride = int64_t(partialStride(uint64_t(valueSize)));
  return builder.addInput(
      BufferBinding::partials, Halide::Float(32),
      {dimension(stride, 1), dimension(groupHeads, stride), dimension(1, groupHeads * stride)});
}

void AttentionBuilder::definePartials() {
  // A loop over one block, or over none where the row has fewer. `u` numbers tasks and blocks.
  Expr taskBlocks = builder.taskBlocks();
  Expr task = u / taskBlocks;
  s.blockOfTask = Func("blockOfTask");
  s.blockOfTask(u) = firstBlock(s.rowPosition(task)) + u % taskBlocks;
  RDom blocks(0, maxPositions / attentionBlock, "blocks");
  blocks.where(blocks >= s.blockOfTask(u));
  blocks.where(blocks <= s.blockOfTask(u));
  blocks.where(blocks * attentionBlock <= s.rowPosition(task));
  s.block = blocks.x;
  s.state = Func("state");
  s.state(element, g, u) = Tuple(0.0f, minusInfinity, 0.0f);
  s.state(element, g, u) = Tuple(s.blockValues(element, g, blocks, task),
                                 s.maximum(g, blocks, task), s.sum(g, blocks, task));

  int stride = int(partialStride(uint64_t(valueSize)));
  RDom tasks(builder.first(), builder.count(), "tasks");
  s.task = tasks.x;
  s.out = Func("partials");
  s.out(element, g, u) = Halide::undef<float>();
  Expr at = Halide::min(element, valueSize - 1);
  s.out(element, g, tasks) =
      Halide::select(element < valueSize, s.state(at, g, tasks)[0], element == valueSize,
                     s.state(at, g, tasks)[1], s.state(at, g, tasks)[2]);
  builder.addOutput(s.out, BufferBinding::partials,
                    {dimension(stride, 1),
                     dimension(groupHeads, stride),
                     {Affine{0, 0, 0, 1, 0}, Affine{0, 0, 0, -1, 1}, fixed(groupHeads * stride)}},
                    {{0, stride}, {0, groupHeads}, {builder.first(), builder.count()}});
}

void AttentionBuilder::defineState() {
  RDom blocks(0, maxPositions / attentionBlock, "blocks");
  blocks.where(blocks * attentionBlock <= position());
  if (type.getWindow())
    blocks.where(blocks * attentionBlock + attentionBlock > lowest());
  s.block = blocks.x;
  s.state = Func("state");
  s.state(element, g, u) = Tuple(0.0f, minusInfinity, 0.0f);
  // The block's maximum, sum of weights and weighted values.
  Expr here, sum, values;
  if (phase == TERN_PHASE_WHOLE) {
    here = s.maximum(g, blocks, u);
    sum = s.sum(g, blocks, u);
    values = s.blockValues(element, g, blocks, u);
  } else {
    Halide::ImageParam partials = addPartials();
    Expr task = u * builder.taskBlocks() + (blocks - firstBlock(position()));
    here = partials(valueSize, g, task);
    sum = partials(valueSize + 1, g, task);
    values = partials(element, g, task);
  }
  Expr before = s.state(element, g, u)[1];
  Expr maximum = finite(larger(before, here));
  Expr keep = exp2OfNegative(before - maximum), add = exp2OfNegative(here - maximum);
  s.state(element, g, u) =
      Tuple(s.state(element, g, u)[0] * keep + values * add, larger(before, here),
            s.state(element, g, u)[2] * keep + sum * add);
}

void AttentionBuilder::defineOutput(unsigned number) {
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
  builder.addOutput(
      s.out, builder.argumentOf(true, number, 0),
      {dimension(valueSize, 1),
       dimension(groupHeads, valueSize),
       dimension(keyHeads, groupSize),
       {fixed(0), builder.rowsBinding(op.getResult()), fixed(rowStride)}},
      {{0, valueSize}, {0, groupHeads}, {0, keyHeads}, {0, builder.rowsOf(op.getResult())}});
}

llvm::Error AttentionBuilder::build() {
  Operation *terminator = op->getBlock()->getTerminator();
  auto yielded = llvm::find(terminator->getOperands(), op.getResult());
  if (yielded == terminator->operand_end() || !op.getResult().hasOneUse())
    return llvm::createStringError("tern.attention must be the result of its kernel");
  defineRow();
  if (phase != TERN_PHASE_MERGE) {
    defineSlope();
    defineScores();
    defineWeights();
    defineBlockValues();
  }
  if (phase == TERN_PHASE_BLOCKS) {
    definePartials();
  } else {
    defineState();
    defineOutput(unsigned(yielded - terminator->operand_begin()));
  }
  builder.set(op.getResult(), StoredValue{});
  s.lane = lane;
  s.tile = tile;
  s.element = element;
  s.g = g;
  s.dim = dim;
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
