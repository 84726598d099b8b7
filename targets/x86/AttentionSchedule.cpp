// Attention on x86-64: everything of one task lies on the stack; the two inner loops keep their
// sums in registers.
//
//   scores   for each tile of 16 keys: [query heads] x 16 sums over the head's elements
//   values   for each cache block of 64 positions: [query heads] x [elements] sums over positions
// How many query heads and elements one pass takes follows from the number of vector registers.
#include "targets/x86/AttentionSchedule.h"

#include <algorithm>

using Halide::Func;
using Halide::MemoryType;
using Halide::TailStrategy;
using Halide::Var;

namespace tern {
namespace {

constexpr int keyTile = 16, tilesPerBlock = 32;

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
        // Sums that fit in the registers beside operands: 16 ymm, 32 zmm.
        sumVectors(target.vectorBytes >= 64 ? 20 : 10) {}

  void run() {
    outer();
    scores();
    weights();
    values();
  }

private:
  void outer();
  void scores();
  void weights();
  void values();

  AttentionStages &s;
  int width, sumVectors;
  Var vector{"vector"}, unrolled{"unrolled"}, inner{"inner"}, gInner{"gInner"};
};

void AttentionSchedule::outer() {
  int lanes = lanesFor(s.valueSize, width);
  s.out.update().reorder(s.element, s.g, s.task).vectorize(s.element, lanes);
  s.rowPosition.compute_at(s.out, s.task);
  s.rowSlot.compute_at(s.out, s.task);
  s.query.compute_at(s.out, s.task)
      .store_in(MemoryType::Register)
      .vectorize(s.d0, lanesFor(s.headSize, width));
  s.state.compute_at(s.out, s.task).store_in(MemoryType::Register).vectorize(s.element, lanes);
  s.state.update().reorder(s.element, s.g, s.block).vectorize(s.element, lanes);
}

void AttentionSchedule::scores() {
  int vectorsPerTile = keyTile / width;
  int heads = std::min(s.groupHeads, std::max(1, sumVectors / vectorsPerTile));
  // Few heads leave registers for several tiles.
  int tiles = heads * vectorsPerTile * 4 <= sumVectors   ? 4
              : heads * vectorsPerTile * 2 <= sumVectors ? 2
                                                         : 1;
  // A group that is no multiple of `heads` computes some scores twice.
  s.scores.compute_at(s.state, s.block)
      .store_in(MemoryType::Register)
      .bound_storage(s.tile, tilesPerBlock)
      .split(s.g, s.g, gInner, heads, TailStrategy::ShiftInwards)
      .split(s.tile, s.tile, inner, tiles, TailStrategy::RoundUp)
      .reorder(s.lane, inner, gInner, s.g, s.tile)
      .vectorize(s.lane, width)
      .unroll(inner)
      .unroll(gInner);
  s.dot.compute_at(s.scores, s.g)
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
  auto overLanes = [&](Func &func, Halide::RVar tile) {
    func.compute_at(s.state, s.block).store_in(MemoryType::Register).vectorize(s.lane, width);
    func.update().reorder(s.lane, tile, s.g).vectorize(s.lane, width).unroll(s.lane);
  };
  overLanes(s.laneMaximum, s.maximumTile);
  overLanes(s.laneSum, s.sumTile);
  s.maximum.compute_at(s.state, s.block).store_in(MemoryType::Register);
  s.sum.compute_at(s.state, s.block).store_in(MemoryType::Register);
  s.weights.compute_at(s.state, s.block)
      .store_in(MemoryType::Register)
      .bound_storage(s.tile, tilesPerBlock)
      .reorder(s.lane, s.tile, s.g)
      .vectorize(s.lane, width);
}

void AttentionSchedule::values() {
  int lanes = lanesFor(s.valueSize, width);
  int heads = s.groupHeads <= sumVectors ? s.groupHeads : divisorUpTo(s.groupHeads, sumVectors);
  int vectors = divisorUpTo(s.valueSize / lanes, std::max(1, sumVectors / heads));
  int elements = vectors * lanes;
  s.blockValues.compute_at(s.state, s.block)
      .store_in(MemoryType::Register)
      .vectorize(s.element, lanes);
  s.blockValues.update()
      .split(s.element, s.element, inner, elements)
      .split(s.g, s.g, gInner, heads)
      .reorder(inner, gInner, s.element, s.g, s.cacheBlock)
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

} // namespace

void scheduleAttentionX86(AttentionStages &stages, const TargetInfo &target) {
  AttentionSchedule(stages, target).run();
}

void scheduleKvStoreX86(KernelStages &stages, Func rowOutput, const TargetInfo &target) {
  int width = int(target.vectorBytes) / 4;
  for (KvStoreStages &store : stages.kvStores) {
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
