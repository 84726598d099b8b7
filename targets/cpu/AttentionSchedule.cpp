// Attention on CPUs: everything of one task lies on the stack; the two inner loops keep their
// sums in registers.
//
//   scores   for each tile of 16 keys: [query heads] x 16 sums over the head's elements
//   values   for each cache block of 64 positions: [query heads] x [elements] sums over positions
// How many query heads and elements one pass takes follows from the number of vector registers.
#include "targets/cpu/AttentionSchedule.h"

#include "llvm/ADT/bit.h"
#include <algorithm>

using Halide::Func;
using Halide::MemoryType;
using Halide::Var;

namespace tern {
namespace {

constexpr int keyTile = 16, tilesPerCacheBlock = 4;
/// Independent sums that keep the multiplications of most CPUs going.
constexpr int latencyHeads = 6;

/// The largest divisor of n that is at most `limit`.
int divisorUpTo(int n, int limit) {
  for (int divisor = std::min(n, limit); divisor > 1; --divisor)
    if (n % divisor == 0)
      return divisor;
  return 1;
}

/// Lanes for an extent: a vector, or the largest power of two that divides the extent.
int lanesFor(int extent, int width) {
  while (extent % width != 0)
    width /= 2;
  return width;
}

class AttentionSchedule {
public:
  AttentionSchedule(AttentionStages &stages, const TargetInfo &target)
      : s(stages), width(int(target.vectorBytes) / 4),
        // Sums that fit in the registers beside operands.
        sumVectors(target.vectorRegisters >= 32 ? 20 : 10),
        broadcastsOperands(target.broadcastsOperands) {}

  void run() {
    outer();
    if (!s.scores.defined())
      return;
    scores();
    weights();
    values();
  }

private:
  void outer();
  void scores();
  void weights();
  void values();

  /// Query heads whose sums are kept at once.
  int headsPerPass() const { return divisorUpTo(s.groupHeads, sumVectors); }
  /// Vectors of keys or values that each head's number is multiplied by at once: as many as leave
  /// registers, or one where a multiplication takes a number used once from memory and the heads
  /// hide its latency. Broadcast to a register, the number would cost half a multiplication of
  /// 64 bytes (Zen 4: 8 heads by 2 vectors reach 87 % of its peak, 8 by 1 99 %).
  int vectorsPerPass() const {
    int heads = headsPerPass();
    return broadcastsOperands && heads >= latencyHeads ? 1 : std::max(1, sumVectors / heads);
  }

  AttentionStages &s;
  int width, sumVectors;
  bool broadcastsOperands;
  Var vector{"vector"}, unrolled{"unrolled"}, inner{"inner"}, gInner{"gInner"};
};

void AttentionSchedule::outer() {
  int lanes = lanesFor(s.valueSize, width);
  s.out.update().reorder(s.element, s.g, s.task).vectorize(s.element, lanes);
  if (s.blockOfTask.defined())
    s.blockOfTask.compute_at(s.out, s.task);
  s.rowPosition.compute_at(s.out, s.task);
  s.rowSlot.compute_at(s.out, s.task);
  if (s.slope.defined())
    s.slope.compute_at(s.out, s.task);
  if (s.query.defined())
    s.query.compute_at(s.out, s.task)
        .store_in(MemoryType::Register)
        .vectorize(s.dim, lanesFor(s.headSize, width));
  s.state.compute_at(s.out, s.task).store_in(MemoryType::Register).vectorize(s.element, lanes);
  s.state.update().reorder(s.element, s.g, s.block).vectorize(s.element, lanes);
}

void AttentionSchedule::scores() {
  int heads = headsPerPass();
  // Few heads leave registers for several vectors of keys: part of a tile, or up to 4 tiles.
  int vectors = int(llvm::bit_floor(unsigned(vectorsPerPass())));
  int lanes = std::min(keyTile, vectors * width);
  int tiles = std::clamp(vectors * width / keyTile, 1, tilesPerCacheBlock);
  Var laneInner("laneInner"), tileInner("tileInner");
  s.scores.compute_at(s.state, s.block).store_in(MemoryType::Register);
  s.scores.update()
      .split(s.lane, s.lane, laneInner, lanes)
      .split(s.tile, s.tile, tileInner, tiles)
      .split(s.g, s.g, gInner, heads)
      .reorder(laneInner, tileInner, gInner, s.lane, s.g, s.tile, s.scoreBlock)
      .vectorize(laneInner, width)
      .unroll(laneInner)
      .unroll(tileInner)
      .unroll(gInner);
  s.scores.update(1)
      .reorder(s.lane, s.tile, s.maskedBlock, s.g)
      .vectorize(s.lane, width)
      .unroll(s.lane);
  s.dot.compute_at(s.scores, s.lane)
      .vectorize(s.lane, width)
      .unroll(s.lane)
      .unroll(s.tile)
      .unroll(s.g);
  s.dot.update()
      .reorder(s.lane, s.tile, s.g, s.d)
      .vectorize(s.lane, width)
      .unroll(s.lane)
      .unroll(s.tile)
      .unroll(s.g);
}

void AttentionSchedule::weights() {
  auto perBlock = [&](Func func) -> Func & {
    return func.compute_at(s.state, s.block).store_in(MemoryType::Register);
  };
  auto overTiles = [&](Func lanes, Halide::RVar cacheBlock) {
    perBlock(lanes).vectorize(s.lane, width);
    lanes.update()
        .reorder(s.lane, s.tile, cacheBlock, s.g)
        .vectorize(s.lane, width)
        .unroll(s.lane)
        .unroll(s.tile);
  };
  overTiles(s.laneMaximum, s.maximumBlock);
  overTiles(s.laneSum, s.sumBlock);
  for (Func folded : {s.tileMaximum, s.tileSum})
    perBlock(folded).vectorize(s.lane, width);
  for (Func folded : {s.maximum, s.sum})
    perBlock(folded);
  auto overBlocks = [&](Func func, Halide::RVar cacheBlock) {
    perBlock(func)
        .update()
        .reorder(s.lane, s.tile, cacheBlock, s.g)
        .vectorize(s.lane, width)
        .unroll(s.lane);
  };
  overBlocks(s.weights, s.weightBlock);
  if (s.valueWeights.defined())
    overBlocks(s.valueWeights, s.valueWeightBlock);
}

void AttentionSchedule::values() {
  int lanes = lanesFor(s.valueSize, width);
  int heads = headsPerPass();
  int vectors = divisorUpTo(s.valueSize / lanes, vectorsPerPass());
  int elements = vectors * lanes;
  s.blockValues.compute_at(s.state, s.block)
      .store_in(MemoryType::Register)
      .vectorize(s.element, lanes);
  s.blockValues.update()
      .split(s.element, s.element, inner, elements)
      .split(s.g, s.g, gInner, heads)
      .reorder(inner, gInner, s.element, s.g, s.valueBlock)
      .vectorize(inner, lanes)
      .unroll(inner)
      .unroll(gInner);
  s.partial.compute_at(s.blockValues, s.element)
      .vectorize(s.element, lanes)
      .unroll(s.element)
      .unroll(s.g);
  s.partial.update()
      .reorder(s.element, s.g, s.position)
      .vectorize(s.element, lanes)
      .unroll(s.element)
      .unroll(s.g);
}

/// Everything of one row and head beside the scatters. No two of a row's codes share a byte.
void scheduleCodes(const KvStoreStages &store, Func bytes, const Halide::RVar &row,
                   const CodeStages &codes, int lanes) {
  bytes.update(0).reorder(codes.scaleByte, store.head, row).unroll(codes.scaleByte);
  bytes.update(1)
      .reorder(codes.code, store.head, row)
      .allow_race_conditions()
      .vectorize(codes.code, lanes);
  for (Func func : {codes.numbers, codes.peak, codes.scale})
    func.compute_at(bytes, store.head);
  Func(codes.numbers).vectorize(store.element, lanes);
  Func(codes.peak).update().atomic().vectorize(codes.peakElement, lanes);
}

} // namespace

void scheduleAttentionCpu(AttentionStages &stages, const TargetInfo &target) {
  AttentionSchedule(stages, target).run();
}

void scheduleKvStoreCpu(KernelStages &stages, Func rowOutput, const TargetInfo &target) {
  int width = int(target.vectorBytes) / 4;
  for (KvStoreStages &store : stages.kvStores) {
    if (store.keyCodes.numbers.defined()) {
      scheduleCodes(store, store.keys, store.keysRow, store.keyCodes,
                    lanesFor(store.headSize, width));
      scheduleCodes(store, store.values, store.valuesRow, store.valueCodes,
                    lanesFor(store.valueSize, width));
      continue;
    }
    // One store per lane for keys: a row's elements lie 16 apart.
    store.keys.update()
        .reorder(store.element, store.head, store.keysRow)
        .vectorize(store.element, lanesFor(store.headSize, width));
    store.values.update()
        .reorder(store.element, store.head, store.valuesRow)
        .vectorize(store.element, lanesFor(store.valueSize, width));
  }
  for (RotationStages &rotation : stages.rotations) {
    bool inStore = rotation.forStore && !stages.kvStores.empty();
    for (Func func : {rotation.cosine, rotation.sine}) {
      if (inStore)
        func.compute_at(stages.kvStores.front().keys, stages.kvStores.front().keysRow);
      else if (rowOutput.defined())
        func.compute_at(rowOutput, stages.row);
    }
  }
}

} // namespace tern
