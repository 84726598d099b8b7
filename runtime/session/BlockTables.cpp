#include "runtime/session/BlockTables.h"

using namespace tern;
using namespace tern::runtime;

/// Whether a cache may drop positions far behind its window.
static bool isRing(const fb::Artifact &artifact, const fb::KvCache &cache) {
  return cache.window() != 0 && artifact.block_table_by_cache();
}

/// Blocks of the ring of such a cache. The positions to keep begin and end anywhere in a
/// block.
static uint64_t ringBlocks(const fb::Artifact &artifact, const fb::KvCache &cache) {
  const uint64_t positions = uint64_t(cache.window()) + artifact.max_batch() + rollbackPositions;
  return (positions + blockPositions - 2) / blockPositions + 1;
}

uint32_t BlockTables::blocksPerSlot(const fb::Artifact &artifact, const fb::KvCache &cache,
                                    uint32_t blocksPerSlot) {
  if (!isRing(artifact, cache) || ringBlocks(artifact, cache) >= blocksPerSlot)
    return blocksPerSlot;
  return uint32_t(ringBlocks(artifact, cache));
}

/// The first cache whose table serves `cache` too: that with as many blocks.
static uint32_t tableOwner(const fb::Artifact &artifact, uint32_t cache, uint32_t blocksPerSlot) {
  const auto blocks = [&](uint32_t index) {
    return BlockTables::blocksPerSlot(artifact, *artifact.kv_caches()->Get(index), blocksPerSlot);
  };
  uint32_t owner = 0;
  while (blocks(owner) != blocks(cache))
    ++owner;
  return owner;
}

static uint32_t tableCount(const fb::Artifact &artifact, uint32_t blocksPerSlot) {
  uint32_t count = 0;
  for (uint32_t cache = 0; cache < sizeOf(artifact.kv_caches()); ++cache)
    count += tableOwner(artifact, cache, blocksPerSlot) == cache;
  return count;
}

uint64_t BlockTables::bytes(const fb::Artifact &artifact, uint32_t slots, uint32_t stride,
                            uint32_t blocksPerSlot) {
  return uint64_t(tableCount(artifact, blocksPerSlot)) * slots * stride * sizeof(int32_t) +
         sizeOf(artifact.kv_caches()) * (sizeof(uint8_t *) + sizeof(uint32_t));
}

Status BlockTables::create(const fb::Artifact &artifact, const Allocator &allocator, uint32_t slots,
                           uint32_t stride, uint32_t perSlot) {
  const uint32_t caches = sizeOf(artifact.kv_caches());
  const uint64_t tableEntries = uint64_t(slots) * stride;
  rowEntries = stride;
  TERN_RETURN_IF_ERROR(entries.allocate(allocator, tableCount(artifact, perSlot) * tableEntries,
                                        "the block tables"));
  TERN_RETURN_IF_ERROR(byCache.allocate(allocator, caches, "the list of block tables"));
  TERN_RETURN_IF_ERROR(blockCounts.allocate(allocator, caches, "the list of block tables"));
  int32_t *next = entries.data();
  for (uint32_t cache = 0; cache < caches; ++cache) {
    const uint32_t blocks = blocksPerSlot(artifact, *artifact.kv_caches()->Get(cache), perSlot);
    blockCounts[cache] = blocks;
    if (const uint32_t owner = tableOwner(artifact, cache, perSlot); owner != cache) {
      byCache[cache] = byCache[owner];
      continue;
    }
    byCache[cache] = reinterpret_cast<uint8_t *>(next);
    // An attention step that covers several blocks may look past a slot's last one.
    for (uint32_t slot = 0; slot < slots; ++slot)
      for (uint32_t b = 0; b < stride; ++b)
        *next++ = int32_t(slot * blocks + (b < perSlot ? b : perSlot - 1) % blocks);
  }
  return {};
}

uint32_t tern::runtime::firstBlockHeld(const fb::Artifact &artifact, const fb::KvCache &cache,
                                       uint32_t written) {
  if (!isRing(artifact, cache))
    return 0;
  const uint64_t used = blocksOf(written), ring = ringBlocks(artifact, cache);
  return uint32_t(used > ring ? used - ring : 0);
}

uint32_t tern::runtime::firstResumable(const fb::Artifact &artifact, uint32_t written,
                                       uint32_t position) {
  if (position == 0)
    return 0;
  uint64_t first = position;
  for (uint32_t i = 0; i < sizeOf(artifact.kv_caches()); ++i) {
    const fb::KvCache &cache = *artifact.kv_caches()->Get(i);
    // A row at `first` attends to first - window + 1 and up.
    const uint64_t held = uint64_t(firstBlockHeld(artifact, cache, written)) * blockPositions;
    if (held > 0 && held + cache.window() - 1 > first)
      first = held + cache.window() - 1;
  }
  return uint32_t(first);
}
