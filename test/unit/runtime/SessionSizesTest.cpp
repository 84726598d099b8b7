// What a session may be asked for: kernels address KV caches in 32 bits.
#include "runtime/core/Verify.h"
#include "runtime/session/Session.h"
#include "test/unit/runtime/ToyArtifact.h"

#include <gtest/gtest.h>

using namespace tern;
using namespace tern::runtime;
using namespace tern::test;

/// The outcome of sizing a session of a toy with a long context and one more cache; no memory is
/// taken.
static StatusCode sizesOf(uint32_t context, uint32_t slots, uint32_t kvHeads = 1) {
  ToyArtifact toy;
  toy.table.context_length = context;
  auto cache = std::make_unique<fb::KvCacheT>(*toy.table.kv_caches[0]);
  cache->kv_heads = kvHeads;
  cache->key_block_bytes *= kvHeads;
  cache->value_block_bytes *= kvHeads;
  toy.table.kv_caches.push_back(std::move(cache));
  const AlignedBytes file = toy.write();
  Model model;
  const Status loaded =
      Model::load(Source::fromMemory(file.data(), file.size()), {}, {}, {}, model);
  EXPECT_TRUE(loaded.isOk()) << loaded.message();
  SessionOptions options;
  options.context = context;
  options.slots = slots;
  SessionSizes sizes;
  return SessionSizes::compute(model, options, sizes).code();
}

TEST(SessionSizes, LimitsCacheBlocks) {
  constexpr uint32_t context = 1 << 20;
  constexpr uint32_t slots = maxCacheBlocks / (context / blockPositions);
  EXPECT_EQ(sizesOf(context, slots), StatusCode::ok);
  EXPECT_EQ(sizesOf(context, slots + 1), StatusCode::outOfMemory);
}

TEST(SessionSizes, LimitsCacheElements) {
  constexpr uint32_t context = 1 << 14, kvHeads = 4096;
  constexpr uint32_t slots = maxCacheElements / (uint64_t(context) * kvHeads * TOY_WIDTH);
  EXPECT_EQ(sizesOf(context, slots, kvHeads), StatusCode::ok);
  EXPECT_EQ(sizesOf(context, slots + 1, kvHeads), StatusCode::outOfMemory);
}
