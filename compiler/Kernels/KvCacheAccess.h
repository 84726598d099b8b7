// Where a position's key and value lie: the block table and the layout of cache blocks.
//
//   keys   [block][head][64 / 16][head_size][16]     values [block][head][64][value_size]
// Codes (i8) have an f16 scale for each position and head, [16] behind each tile of keys and [64]
// behind each head's values:
//   keys   [block][head][64 / 16]{ i8 [head_size][16], f16 [16] }
//   values [block][head]{ i8 [64][value_size], f16 [64] }
// A slot's positions 64 i .. 64 i + 63 lie in block table[slot][i] (schema/tern.fbs, KvCache).
#ifndef TERN_COMPILER_KERNELS_KVCACHEACCESS_H
#define TERN_COMPILER_KERNELS_KVCACHEACCESS_H

#include "compiler/Kernels/KernelBuilder.h"

namespace tern {

/// Bounds that the runtime keeps; Halide needs some.
constexpr int maxPositions = TERN_MAX_POSITIONS, maxSlots = 1 << 20,
              maxCacheBlocks = TERN_MAX_CACHE_BLOCKS;

/// Dimensions (position in tile, element, tile, head, block).
llvm::SmallVector<DimensionBinding, 5> keyDimensions(KvType type);
/// Dimensions (element, position, head, block).
llvm::SmallVector<DimensionBinding, 4> valueDimensions(KvType type);

Halide::Type cacheElementType(KvType type);

/// The scales of codes as an input: (position in tile, tile, head, block).
Halide::ImageParam addKeyScales(KernelBuilder &builder, const KvValue &cache);
/// (position, head, block).
Halide::ImageParam addValueScales(KernelBuilder &builder, const KvValue &cache);

/// The block table as (cache block of the slot, slot) -> block.
class BlockTable {
public:
  BlockTable(KernelBuilder &builder, const KvValue &cache);
  Halide::Expr block(const Halide::Expr &cacheBlock, const Halide::Expr &slot) const;

private:
  Halide::ImageParam table;
};

inline Halide::Expr boundedPosition(const IntValue &positions, const Halide::Expr &row) {
  return Halide::unsafe_promise_clamped(positions.at(row), 0, maxPositions - 1);
}
inline Halide::Expr boundedSlot(const IntValue &slots, const Halide::Expr &row) {
  return Halide::unsafe_promise_clamped(slots.at(row), 0, maxSlots - 1);
}

} // namespace tern
#endif
