// Slots of sequences over one model: KV caches, arena, workers, and the forward contract.
//
// A session is used by one thread at a time. All memory is taken when it is created; no later call
// allocates.
#ifndef TERN_RUNTIME_SESSION_SESSION_H
#define TERN_RUNTIME_SESSION_SESSION_H

#include "runtime/core/Model.h"
#include "runtime/device/BoundPlan.h"
#include "runtime/device/ThreadPool.h"
#include "runtime/session/BlockTables.h"

#include <atomic>

namespace tern::runtime {

struct SessionOptions {
  uint32_t slots = 1;
  uint32_t context = 0; ///< positions per slot; 0: the smaller of the model's length and 4096
  uint32_t threads = 1;
  bool pinThreads = false; ///< each to a CPU; the calling one during forward()
};

/// Rows of one call; see tern_batch in tern/tern.h.
struct Batch {
  size_t rows = 0;
  const int32_t *tokens = nullptr;
  const int32_t *positions = nullptr; ///< null: follow the slot's length
  const int32_t *slots = nullptr;     ///< null: all in `slot`
  int32_t slot = 0;
  const uint8_t *want = nullptr; ///< null: the last row, if wantLast
  bool wantLast = true;
};

/// Logits or hidden states of the wanted rows; valid until the session's next call.
struct WantedRows {
  const float *data = nullptr;
  size_t rows = 0;
  size_t stride = 0;
};

/// What forward() computes for the wanted rows. Numbers are those of the function's outputs.
enum class Output : uint8_t { logits = 0, hidden = 1 };

/// Sizes that follow from a model and options: what create() takes, and what estimates report.
struct SessionSizes {
  uint32_t context = 0;
  uint32_t blocksPerSlot = 0;
  uint32_t blockTableStride = 0; ///< entries per slot, a multiple of blocksPerAttentionStep
  uint64_t kvBytes = 0;
  uint64_t arenaBytes = 0;
  uint64_t scratchBytes = 0;
  uint64_t inputBytes = 0;
  uint64_t outputBytes = 0;
  uint64_t weightBytes = 0; ///< where weights are streamed: those in memory at a time
  uint64_t tableBytes = 0;  ///< bound plan, block table, slots with their history, workers
  size_t logitsStride = 0, hiddenStride = 0; ///< in floats; 0: there is no such output

  /// Fails if the options do not suit the model or the sizes overflow.
  static Status compute(const Model &model, const SessionOptions &options, SessionSizes &result);
};

/// Where a saved slot goes: `transfer` takes all bytes and returns 0.
struct StateWriter {
  int (*transfer)(void *context, const void *data, size_t size);
  void *context;
  static constexpr const char *failure = "cannot write the slot";
};

/// Where a saved slot comes from: `transfer` stores exactly `size` bytes and returns 0.
struct StateReader {
  int (*transfer)(void *context, void *data, size_t size);
  void *context;
  const uint64_t *size = nullptr; ///< of the state, where it is known: it must be exactly this
  static constexpr const char *failure = "the saved slot ends early, or cannot be read";
};

class Session {
public:
  Session() = default;
  Session(const Session &) = delete;
  Session &operator=(const Session &) = delete;

  /// `model` outlives the session. Called once.
  Status create(const Model &model, const SessionOptions &options);

  /// Evaluates a batch. The contract is checked in full before anything is written. With `cancel`
  /// set during the call it returns StatusCode::cancelled, and the slots concerned are truncated to
  /// where their rows began.
  /// Hidden states are the final norm's result, computed without the logits. Where weights are
  /// streamed, failing to read them has the same effect on the slots as cancelling, and so has
  /// failing to pin the calling thread.
  Status forward(const Batch &batch, WantedRows *result, const std::atomic<bool> *cancel = nullptr,
                 Output output = Output::logits);

  /// Fails where canResume() is false.
  Status truncate(uint32_t slot, uint32_t length);
  /// Whether a slot can go on at a position up to its length. Layers with a window have dropped
  /// what lies far behind: going back to within 64 of the furthest position that the slot has held
  /// since it was empty is always possible, to 0 too.
  bool canResume(uint32_t slot, uint32_t position) const {
    return firstResumable(loaded->artifact(), slotStates[slot].written, position) == position;
  }
  Status copySlot(uint32_t source, uint32_t destination);

  /// Bytes of a slot that saveSlot() writes.
  uint64_t stateBytes(uint32_t slot) const;
  Status saveSlot(uint32_t slot, const StateWriter &writer);
  /// Replaces a slot. A failure before the header is read and found right leaves the slot alone,
  /// one behind it leaves it empty. The codes are in tern/tern.h, at tern_slot_load.
  Status loadSlot(uint32_t slot, const StateReader &reader);

  /// See BoundPlan::observe.
  void observe(const PlanObserver *observer) { plan.observe(observer); }
  /// See BoundPlan::callBuffers.
  void *const *callBuffers(uint32_t command) const { return plan.callBuffers(command); }

  const Model &model() const { return *loaded; }
  uint32_t slots() const { return uint32_t(slotStates.size()); }
  uint32_t context() const { return sizes.context; }
  /// Positions a slot holds; 0 for one that does not exist.
  uint32_t length(uint32_t slot) const { return slot < slots() ? slotStates[slot].length : 0; }
  /// Grows with every call that changes what an existing slot holds, also if the call then fails.
  uint64_t changes(uint32_t slot) const { return slotStates[slot].changes; }
  /// The tokens of a slot, length(slot) of them.
  const int32_t *history(uint32_t slot) const {
    return histories.data() + size_t(slot) * sizes.context;
  }

private:
  friend struct SessionSizes;
  struct Slot {
    uint32_t length;
    uint32_t written; ///< positions below it have been written since the slot was last empty
    uint32_t next;    ///< position the next row must have, if `call` is the current one
    uint32_t start;   ///< position of the first row of that call
    uint64_t call;
    uint64_t changes;
  };
  void setLength(uint32_t slot, uint32_t length);
  Status allocateMemory();
  void clearTail(uint32_t slot);
  template <typename Stream>
  Status passSlot(uint32_t slot, uint32_t length, uint32_t written, Stream &stream);
  Status checkBatch(const Batch &batch, uint32_t &wanted);
  Status checkResumable(uint32_t slot, uint32_t position) const;

  const Model *loaded = nullptr;
  SessionSizes sizes;
  Block kv, arena, inputMemory, outputMemory;
  Array<uint8_t *> kvKeys, kvValues, outputs;
  BlockTables blockTables;
  Array<int32_t> histories;
  Array<Slot> slotStates;
  MemorySpaces spaces;
  uint64_t callNumber = 0;
  ThreadPool pool;
  WeightStream weights; ///< if the model streams them
  BoundPlan plan;
};

} // namespace tern::runtime

#endif
