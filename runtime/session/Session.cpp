// Sizes, memory and the forward contract. Generation is in Generation.h.
#include "runtime/session/Session.h"

#include "runtime/core/Verify.h"

#include <cinttypes>
#include <cstring>

using namespace tern;
using namespace tern::runtime;

static constexpr uint32_t defaultContext = 4096;
static constexpr uint32_t maxSlots = 65536;
/// Below this a cache's touched part would mostly be the rest of a 2 MB page.
static constexpr uint64_t hugePageCacheSize = uint64_t(8) << 20;

static uint64_t inputEntries(const fb::Artifact &artifact, fb::InputKind kind) {
  return kind == fb::InputKind::wanted_rows ? artifact.max_wanted() : artifact.max_batch();
}

static CheckedSize inputSize(const fb::Artifact &artifact, size_t kind) {
  return (CheckedSize(inputEntries(artifact, fb::InputKind(kind))) * sizeof(int32_t))
      .alignedTo(blockAlignment);
}

/// Bytes of output `index` at the bounds of T and R.
static CheckedSize outputSize(const fb::Artifact &artifact, const fb::Plan &plan, uint32_t index) {
  for (uint32_t i = 0; i < sizeOf(plan.buffers()); ++i) {
    const fb::Buffer &buffer = *plan.buffers()->Get(i);
    if (buffer.space() == fb::MemorySpace::output && buffer.index() == index)
      return evaluate(*buffer.extent(), artifact.max_batch(), artifact.max_wanted())
          .alignedTo(blockAlignment);
  }
  return 0;
}

static uint32_t outputCount(const fb::Artifact &artifact, const fb::Plan &plan) {
  return artifact.functions()->Get(plan.function())->outputs()->size();
}

Status SessionSizes::compute(const Model &model, const SessionOptions &options,
                             SessionSizes &result) {
  const fb::Artifact &artifact = model.artifact();
  const fb::Plan *plan = model.plan("forward");
  if (!plan)
    return Status::error(StatusCode::unsupported,
                         "variant '%.64s' has no function 'forward'; sessions run language models",
                         model.variant().target()->c_str());
  if (options.slots == 0 || options.slots > maxSlots)
    return Status::error(StatusCode::invalidArgument, "%" PRIu32 " slots, expected 1 to %" PRIu32,
                         options.slots, maxSlots);
  const uint32_t length = artifact.context_length();
  SessionSizes sizes;
  sizes.context = options.context           ? options.context
                  : length < defaultContext ? length
                                            : defaultContext;
  if (sizes.context > length)
    return Status::error(StatusCode::outOfRange,
                         "a context of %" PRIu32 " positions, the model's length is %" PRIu32,
                         sizes.context, length);
  sizes.blocksPerSlot = blocksOf(sizes.context);
  sizes.blockTableStride = (sizes.blocksPerSlot + blocksPerAttentionStep - 1) /
                           blocksPerAttentionStep * blocksPerAttentionStep;

  CheckedSize kv, input, output;
  bool isAddressable =
      (CheckedSize(options.slots) * uint64_t(sizes.blocksPerSlot)).isAtMost(maxCacheBlocks);
  for (uint32_t i = 0; i < sizeOf(artifact.kv_caches()); ++i) {
    const fb::KvCache &cache = *artifact.kv_caches()->Get(i);
    const uint64_t elementSize = kvElementSize(cache);
    const CheckedSize blocks =
        CheckedSize(options.slots) *
        uint64_t(BlockTables::blocksPerSlot(artifact, cache, sizes.blocksPerSlot));
    isAddressable &=
        (blocks * (cache.key_block_bytes() / elementSize)).isAtMost(maxCacheElements) &&
        (blocks * (cache.value_block_bytes() / elementSize)).isAtMost(maxCacheElements);
    kv += (blocks * cache.key_block_bytes()).alignedTo(blockAlignment);
    kv += (blocks * cache.value_block_bytes()).alignedTo(blockAlignment);
  }
  for (size_t i = 0; i <= size_t(fb::InputKind::MAX); ++i)
    input += inputSize(artifact, i);
  for (uint32_t i = 0; i < outputCount(artifact, *plan); ++i)
    output += outputSize(artifact, *plan, i);
  const uint64_t pointers =
      2 * uint64_t(sizeOf(artifact.kv_caches())) + outputCount(artifact, *plan);
  const uint64_t slotBytes = uint64_t(sizes.context) * sizeof(int32_t) + sizeof(Session::Slot);
  const CheckedSize tables =
      CheckedSize(BoundPlan::tableBytes(*plan)) +
      BlockTables::bytes(artifact, options.slots, sizes.blockTableStride, sizes.blocksPerSlot) +
      CheckedSize(options.slots) * slotBytes + pointers * sizeof(uint8_t *) +
      ThreadPool::bytes(options.threads);
  if (!isAddressable || !kv.isValid() || !input.isValid() || !output.isValid() || !tables.isValid())
    return Status::error(StatusCode::outOfMemory,
                         "%" PRIu32 " slots of %" PRIu32 " positions are too many", options.slots,
                         sizes.context);
  sizes.kvBytes = kv.value();
  sizes.arenaBytes = plan->arena_bytes();
  sizes.scratchBytes = BoundPlan::scratchBytes(model, options.threads, sizes.context);
  sizes.inputBytes = input.value();
  sizes.outputBytes = output.value();
  sizes.weightBytes = WeightStream::bytes(model);
  sizes.tableBytes = tables.value();
  for (uint32_t i = 0; i < sizeOf(plan->buffers()); ++i) {
    const fb::Buffer &buffer = *plan->buffers()->Get(i);
    if (buffer.space() != fb::MemorySpace::output)
      continue;
    const size_t stride = buffer.extent()->per_wanted() / sizeof(float);
    if (buffer.index() == 0)
      sizes.logitsStride = stride;
    if (buffer.index() == 1)
      sizes.hiddenStride = stride;
  }
  result = sizes;
  return {};
}

Status Session::allocateMemory() {
  const fb::Artifact &artifact = loaded->artifact();
  const fb::Plan &forwardPlan = *loaded->plan("forward");
  const Allocator &memory = loaded->allocator();
  const uint32_t caches = sizeOf(artifact.kv_caches());

  TERN_RETURN_IF_ERROR(kv.allocate(memory, sizes.kvBytes, "the KV caches"));
  if (caches && sizes.kvBytes / (2 * caches) >= hugePageCacheSize)
    kv.adviseHugePages();
  TERN_RETURN_IF_ERROR(kvKeys.allocate(memory, caches, "the table of KV caches"));
  TERN_RETURN_IF_ERROR(kvValues.allocate(memory, caches, "the table of KV caches"));
  CheckedSize offset;
  for (uint32_t i = 0; i < caches; ++i) {
    const fb::KvCache &cache = *artifact.kv_caches()->Get(i);
    const uint64_t blocks = uint64_t(slots()) * blockTables.blocks(i);
    kvKeys[i] = kv.data() + offset.value();
    offset += (CheckedSize(blocks) * cache.key_block_bytes()).alignedTo(blockAlignment);
    kvValues[i] = kv.data() + offset.value();
    offset += (CheckedSize(blocks) * cache.value_block_bytes()).alignedTo(blockAlignment);
  }

  TERN_RETURN_IF_ERROR(arena.allocate(memory, sizes.arenaBytes, "the arena"));
  TERN_RETURN_IF_ERROR(inputMemory.allocate(memory, sizes.inputBytes, "a batch"));
  TERN_RETURN_IF_ERROR(outputMemory.allocate(memory, sizes.outputBytes, "the logits"));
  offset = 0;
  for (size_t i = 0; i <= size_t(fb::InputKind::MAX); ++i) {
    spaces.inputs[i] = inputMemory.data() + offset.value();
    offset += inputSize(artifact, i);
  }
  TERN_RETURN_IF_ERROR(
      outputs.allocate(memory, outputCount(artifact, forwardPlan), "the table of outputs"));
  offset = 0;
  for (uint32_t i = 0; i < outputs.size(); ++i) {
    outputs[i] = outputMemory.data() + offset.value();
    offset += outputSize(artifact, forwardPlan, i);
  }
  return {};
}

Status Session::create(const Model &model, const SessionOptions &options) {
  loaded = &model;
  const Allocator &memory = model.allocator();
  TERN_RETURN_IF_ERROR(SessionSizes::compute(model, options, sizes));
  TERN_RETURN_IF_ERROR(slotStates.allocate(memory, options.slots, "the slots"));
  TERN_RETURN_IF_ERROR(blockTables.create(model.artifact(), memory, options.slots,
                                          sizes.blockTableStride, sizes.blocksPerSlot));
  TERN_RETURN_IF_ERROR(allocateMemory());
  TERN_RETURN_IF_ERROR(histories.allocate(memory, uint64_t(options.slots) * sizes.context,
                                          "the history of the slots"));
  TERN_RETURN_IF_ERROR(pool.start(memory, options.threads, options.pinThreads));
  spaces.arena = arena.data();
  spaces.outputs = outputs.data();
  spaces.kvKeys = kvKeys.data();
  spaces.kvValues = kvValues.data();
  spaces.blockTables = blockTables.data();
  if (model.streamLayout()) {
    TERN_RETURN_IF_ERROR(weights.create(model, memory));
    spaces.weights = &weights;
  }
  TERN_RETURN_IF_ERROR(
      plan.bind(model, *model.plan("forward"), spaces, sizes.context, memory, pool));
  model.log().info("session: %" PRIu32 " slots of %" PRIu32 " positions, %" PRIu32
                   " threads, KV %" PRIu64 " bytes, arena %" PRIu64 " bytes",
                   options.slots, sizes.context, options.threads, sizes.kvBytes, sizes.arenaBytes);
  return {};
}

/// Fills the input arrays while it checks; slots are not touched beyond their bookkeeping of the
/// call.
Status Session::checkBatch(const Batch &batch, uint32_t &wanted) {
  const fb::Artifact &artifact = loaded->artifact();
  if (batch.rows == 0 || batch.rows > artifact.max_batch() || !batch.tokens)
    return Status::error(StatusCode::outOfRange,
                         "a batch of %zu rows, expected 1 to %" PRIu32
                         " with tokens; split longer prompts",
                         batch.rows, artifact.max_batch());
  ++callNumber;
  wanted = 0;
  const auto inputOf = [&](fb::InputKind kind) {
    return reinterpret_cast<int32_t *>(spaces.inputs[size_t(kind)]);
  };
  for (uint32_t row = 0; row < batch.rows; ++row) {
    const int32_t token = batch.tokens[row];
    const int32_t slotIndex = batch.slots ? batch.slots[row] : batch.slot;
    if (token < 0 || uint32_t(token) >= artifact.vocabulary_size())
      return Status::error(StatusCode::outOfRange,
                           "row %" PRIu32 ": token %" PRId32 ", the vocabulary has %" PRIu32, row,
                           token, artifact.vocabulary_size());
    if (slotIndex < 0 || uint32_t(slotIndex) >= slots())
      return Status::error(StatusCode::outOfRange,
                           "row %" PRIu32 ": slot %" PRId32 ", the session has %" PRIu32, row,
                           slotIndex, slots());
    Slot &slot = slotStates[size_t(slotIndex)];
    const bool first = slot.call != callNumber;
    const uint32_t expected = first ? slot.length : slot.next;
    const int64_t position = batch.positions ? batch.positions[row] : int64_t(expected);
    if (position < 0 || (first ? position > expected : position != expected))
      return Status::error(StatusCode::outOfRange,
                           "row %" PRIu32 ": position %" PRId64 " in slot %" PRId32
                           ", expected %s%" PRIu32 "; positions of a slot have no gaps",
                           row, position, slotIndex, first ? "at most " : "", expected);
    if (position >= sizes.context)
      return Status::error(StatusCode::outOfRange,
                           "row %" PRIu32 ": position %" PRId64 " in slot %" PRId32
                           " is past the capacity of %" PRIu32
                           "; create the session with a longer context",
                           row, position, slotIndex, sizes.context);
    if (first && position < expected)
      TERN_RETURN_IF_ERROR(checkResumable(uint32_t(slotIndex), uint32_t(position)));
    if (first) {
      slot.call = callNumber;
      slot.start = uint32_t(position);
    }
    slot.next = uint32_t(position) + 1;

    inputOf(fb::InputKind::tokens)[row] = token;
    inputOf(fb::InputKind::positions)[row] = int32_t(position);
    inputOf(fb::InputKind::slots)[row] = slotIndex;
    if (batch.want ? batch.want[row] != 0 : batch.wantLast && row + 1 == batch.rows) {
      if (wanted == artifact.max_wanted())
        return Status::error(StatusCode::outOfRange,
                             "more than %" PRIu32
                             " rows want logits; ask for them in several calls",
                             artifact.max_wanted());
      inputOf(fb::InputKind::wanted_rows)[wanted++] = int32_t(row);
    }
  }
  return {};
}

Status Session::forward(const Batch &batch, WantedRows *result, const std::atomic<bool> *cancel,
                        Output output) {
  uint32_t wanted;
  if (output == Output::hidden && sizes.hiddenStride == 0)
    return Status::error(StatusCode::unsupported,
                         "the artifact gives no hidden states; compile it again");
  TERN_RETURN_IF_ERROR(checkBatch(batch, wanted));
  const auto rowInput = [&](fb::InputKind kind, uint32_t row) {
    return reinterpret_cast<const int32_t *>(spaces.inputs[size_t(kind)])[row];
  };
  RowBlocks blocks;
  // From here on what the slots held beyond their first row is gone, even if the call is cancelled.
  for (uint32_t row = 0; row < batch.rows; ++row) {
    const uint32_t slot = uint32_t(rowInput(fb::InputKind::slots, row));
    const uint32_t position = uint32_t(rowInput(fb::InputKind::positions, row));
    setLength(slot, slotStates[slot].start);
    if (position >= slotStates[slot].written)
      slotStates[slot].written = position + 1;
    blocks.add(position);
    histories[size_t(slot) * sizes.context + position] = batch.tokens[row];
  }
  int32_t integers[TERN_INT_COUNT] = {};
  integers[TERN_INT_TOKENS] = int32_t(batch.rows);
  integers[TERN_INT_WANTED] = int32_t(wanted);
  integers[TERN_INT_BLOCKS_PER_SLOT] = int32_t(sizes.blockTableStride);
  TERN_RETURN_IF_ERROR(plan.run(integers, blocks, cancel, output == Output::hidden));
  for (uint32_t row = 0; row < batch.rows; ++row) {
    Slot &slot = slotStates[size_t(rowInput(fb::InputKind::slots, row))];
    slot.length = slot.next;
  }
  if (result)
    *result = {reinterpret_cast<const float *>(outputs[size_t(output)]), wanted,
               output == Output::hidden ? sizes.hiddenStride : sizes.logitsStride};
  return {};
}

Status Session::truncate(uint32_t slot, uint32_t length) {
  if (slot >= slots() || length > slotStates[slot].length)
    return Status::error(StatusCode::outOfRange,
                         "truncating slot %" PRIu32 " of %" PRIu32 " to %" PRIu32
                         " positions, it holds %" PRIu32,
                         slot, slots(), length, this->length(slot));
  if (length == slotStates[slot].length)
    return {};
  TERN_RETURN_IF_ERROR(checkResumable(slot, length));
  setLength(slot, length);
  return {};
}

Status Session::checkResumable(uint32_t slot, uint32_t position) const {
  const uint32_t first = firstResumable(loaded->artifact(), slotStates[slot].written, position);
  if (first == position)
    return {};
  return Status::error(StatusCode::outOfRange,
                       "going back to position %" PRIu32 " in slot %" PRIu32
                       ": layers with a window have dropped what it attends to; go back to 0, or "
                       "to %" PRIu32 " and up",
                       position, slot, first);
}

/// Every change of a slot begins or ends here.
void Session::setLength(uint32_t slot, uint32_t length) {
  slotStates[slot].length = length;
  if (length == 0)
    slotStates[slot].written = 0;
  ++slotStates[slot].changes;
}

Status Session::copySlot(uint32_t source, uint32_t destination) {
  if (source >= slots() || destination >= slots())
    return Status::error(StatusCode::outOfRange,
                         "copying slot %" PRIu32 " to %" PRIu32 ", the session has %" PRIu32,
                         source, destination, slots());
  if (source == destination)
    return {};
  const fb::Artifact &artifact = loaded->artifact();
  const uint32_t length = slotStates[source].length;
  const uint32_t written = slotStates[source].written;
  for (uint32_t c = 0; c < kvKeys.size(); ++c) {
    const fb::KvCache &cache = *artifact.kv_caches()->Get(c);
    const uint64_t keyBytes = cache.key_block_bytes(), valueBytes = cache.value_block_bytes();
    for (uint32_t b = firstBlockHeld(artifact, cache, written); b < blocksOf(length); ++b) {
      const uint64_t from = blockTables.block(c, source, b);
      const uint64_t to = blockTables.block(c, destination, b);
      memcpy(kvKeys[c] + keyBytes * to, kvKeys[c] + keyBytes * from, keyBytes);
      memcpy(kvValues[c] + valueBytes * to, kvValues[c] + valueBytes * from, valueBytes);
    }
  }
  memcpy(&histories[size_t(destination) * sizes.context],
         &histories[size_t(source) * sizes.context], length * sizeof(int32_t));
  setLength(destination, length);
  slotStates[destination].written = length ? written : 0;
  return {};
}
