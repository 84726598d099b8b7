// Which block of a KV cache holds which positions of a slot.
//
// A cache without a window has a block for every 64 positions of a slot. One with a window keeps
// window + max_batch + 64 positions at least: its blocks are a ring, and a position overwrites the
// one that lies so many blocks before it. Kernels see neither: they find blocks through the table
// of their cache.
#ifndef TERN_RUNTIME_SESSION_BLOCKTABLES_H
#define TERN_RUNTIME_SESSION_BLOCKTABLES_H

#include "runtime/core/Memory.h"
#include "runtime/core/Model.h"
#include "runtime/core/Verify.h"

namespace tern::runtime {

/// Positions by which a slot can always be rolled back from the furthest it has held.
constexpr uint32_t rollbackPositions = 64;

/// Blocks that hold `positions` positions.
constexpr uint32_t blocksOf(uint32_t positions) {
  return (positions + blockPositions - 1) / blockPositions;
}

class BlockTables {
public:
  /// Blocks of a slot in a cache; `blocksPerSlot` of them hold the slot's whole capacity.
  static uint32_t blocksPerSlot(const fb::Artifact &artifact, const fb::KvCache &cache,
                                uint32_t blocksPerSlot);
  /// Bytes that create() takes for `slots` slots whose rows have `stride` entries.
  static uint64_t bytes(const fb::Artifact &artifact, uint32_t slots, uint32_t stride,
                        uint32_t blocksPerSlot);

  /// Rows have `stride` entries, at least `blocksPerSlot`; those behind lead to valid blocks.
  Status create(const fb::Artifact &artifact, const Allocator &allocator, uint32_t slots,
                uint32_t stride, uint32_t blocksPerSlot);

  /// The tables as kernels read them, by cache.
  uint8_t *const *data() const { return byCache.data(); }
  /// The block of positions [64 number, 64 number + 64) of a slot.
  uint64_t block(uint32_t cache, uint32_t slot, uint32_t number) const {
    return uint64_t(
        reinterpret_cast<const int32_t *>(byCache[cache])[size_t(slot) * rowEntries + number]);
  }
  uint32_t blocks(uint32_t cache) const { return blockCounts[cache]; }

private:
  Array<int32_t> entries;
  Array<uint8_t *> byCache;
  Array<uint32_t> blockCounts;
  uint32_t rowEntries = 0;
};

/// The number of the first block that a cache still holds of a slot whose positions below `written`
/// have been written.
uint32_t firstBlockHeld(const fb::Artifact &artifact, const fb::KvCache &cache, uint32_t written);

/// Where a slot can go on from: `position`, if every layer holds what a row there attends to, else
/// the first position behind it where this is so.
uint32_t firstResumable(const fb::Artifact &artifact, uint32_t written, uint32_t position);

} // namespace tern::runtime

#endif
