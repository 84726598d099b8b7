// Writing a call's keys and values into a cache: a scatter, one row after the other.
#include "compiler/Kernels/KvCacheAccess.h"

using namespace mlir;
using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Var;

namespace tern {

llvm::SmallVector<DimensionBinding, 5> keyDimensions(KvType type) {
  int64_t tile = KvType::keyTile, tiles = KvType::blockPositions / tile;
  int64_t size = type.getHeadSize(), head = size * KvType::blockPositions;
  return {dimension(tile, 1), dimension(size, tile), dimension(tiles, size * tile),
          dimension(type.getHeads(), head), dimension(maxCacheBlocks, head * type.getHeads())};
}

llvm::SmallVector<DimensionBinding, 4> valueDimensions(KvType type) {
  int64_t size = type.getValueSize(), head = size * KvType::blockPositions;
  return {dimension(size, 1), dimension(KvType::blockPositions, size),
          dimension(type.getHeads(), head), dimension(maxCacheBlocks, head * type.getHeads())};
}

Halide::Type cacheElementType(KvType type) {
  return Halide::Float(type.getElement().getIntOrFloatBitWidth());
}

BlockTable::BlockTable(KernelBuilder &builder, const KvValue &cache) {
  Affine blocksPerSlot;
  blocksPerSlot.perBlocksPerSlot = 1;
  table = builder.addInput(
      cache.blockTable, Halide::Int(32),
      {{fixed(0), blocksPerSlot, fixed(1)}, {fixed(0), fixed(maxSlots), blocksPerSlot}});
}

Expr BlockTable::block(const Expr &cacheBlock, const Expr &slot) const {
  return Halide::unsafe_promise_clamped(table(cacheBlock, slot), 0, maxCacheBlocks - 1);
}

bool feedsKvStore(Value value) {
  return llvm::any_of(value.getUsers(), [](Operation *user) {
    return isa<KvStoreOp>(user) ||
           (isa<RmsNormOp, LayerNormOp, RopeOp>(user) && feedsKvStore(user->getResult(0)));
  });
}

llvm::Error buildKvStore(KernelBuilder &builder, KvStoreOp op) {
  const KvValue &cache = builder.get<KvValue>(op.getCache());
  const FloatValue &key = builder.get<FloatValue>(op.getKey());
  const FloatValue &value = builder.get<FloatValue>(op.getValue());
  const IntValue &positions = builder.get<IntValue>(op.getPositions());
  const IntValue &slots = builder.get<IntValue>(op.getSlots());
  KvType type = cache.type;
  Halide::Type elementType = cacheElementType(type);
  BlockTable table(builder, cache);
  int tile = int(KvType::keyTile), blockPositions = int(KvType::blockPositions);
  int headSize = int(type.getHeadSize()), valueSize = int(type.getValueSize());

  KvStoreStages stages;
  stages.element = Var("element");
  stages.head = Var("head");
  stages.headSize = headSize;
  stages.valueSize = valueSize;
  stages.heads = int(type.getHeads());
  Var element = stages.element, head = stages.head, lane("lane"), position("position"),
      block("block");
  auto blockOf = [&](const Expr &row) {
    return table.block(boundedPosition(positions, row) / blockPositions, boundedSlot(slots, row));
  };
  auto bounds = [](llvm::ArrayRef<DimensionBinding> dimensions) {
    llvm::SmallVector<KernelBuilder::OutputBounds> result;
    for (const DimensionBinding &d : dimensions)
      result.push_back({0, int(d.extent.constant)});
    return result;
  };

  stages.keys = Func("keys");
  RDom keyRows(builder.first(), builder.count(), "keyRows");
  Expr at = boundedPosition(positions, keyRows);
  Var keyTile("keyTile");
  stages.keys(lane, element, keyTile, head, block) = Halide::undef(elementType);
  stages.keys(at % tile, element, at % blockPositions / tile, head, blockOf(keyRows)) =
      Halide::cast(elementType, key.element(head * headSize + element, keyRows));
  stages.keysRow = keyRows.x;
  builder.addOutput(stages.keys, cache.keys, keyDimensions(type), bounds(keyDimensions(type)));

  stages.values = Func("values");
  RDom valueRows(builder.first(), builder.count(), "valueRows");
  stages.values(element, position, head, block) = Halide::undef(elementType);
  stages.values(element, boundedPosition(positions, valueRows) % blockPositions, head,
                blockOf(valueRows)) =
      Halide::cast(elementType, value.element(head * valueSize + element, valueRows));
  stages.valuesRow = valueRows.x;
  builder.addOutput(stages.values, cache.values, valueDimensions(type),
                    bounds(valueDimensions(type)));

  builder.stages().kvStores.push_back(stages);
  builder.set(op.getResult(), cache);
  return llvm::Error::success();
}

} // namespace tern
