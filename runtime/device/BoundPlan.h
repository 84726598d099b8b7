// A plan with every pointer resolved: running it is a loop over commands.
//
// Binding happens once, when a session is made. After it, run() touches no table of the artifact,
// allocates nothing and takes no decision but how many tasks a call has.
//
// Attention has a task for each row and key head. Where these keep fewer workers busy than there
// are, each is split into its blocks of 512 positions, and a second loop merges the blocks' partial
// results: one more barrier, and the same bits (TernPhase).
#ifndef TERN_RUNTIME_DEVICE_BOUNDPLAN_H
#define TERN_RUNTIME_DEVICE_BOUNDPLAN_H

#include "runtime/core/Model.h"
#include "runtime/device/ThreadPool.h"
#include "runtime/device/WeightStream.h"

#include <atomic>

namespace tern::runtime {

/// Where the memory spaces of a session begin. All pointers are aligned to 64 bytes.
struct MemorySpaces {
  uint8_t *arena = nullptr;
  uint8_t *inputs[size_t(fb::InputKind::MAX) + 1] = {};
  uint8_t *const *outputs = nullptr;     ///< by output of the function
  uint8_t *const *kvKeys = nullptr;      ///< by KV cache
  uint8_t *const *kvValues = nullptr;    ///< by KV cache
  uint8_t *const *blockTables = nullptr; ///< by KV cache
  WeightStream *weights = nullptr;       ///< null: the model's own
};

/// Watches a plan run, for profiles. Commands are numbered as in Plan.commands, times are
/// nanoseconds of CLOCK_MONOTONIC.
struct PlanObserver {
  void *context = nullptr;
  /// After each call and copy, and each fetch of streamed weights, on the thread that runs the
  /// plan.
  void (*ranCommand)(void *context, uint32_t command, uint64_t begin, uint64_t end) = nullptr;
  /// After each piece of a call's tasks, on the thread that ran it; one at a time for a worker.
  void (*ranTasks)(void *context, uint32_t command, uint32_t worker, uint64_t begin,
                   uint64_t end) = nullptr;
};

/// Blocks of 512 positions (attentionStepPositions) up to those of a call's rows.
struct RowBlocks {
  uint32_t longest = 0; ///< up to the furthest row's
  uint64_t total = 0;   ///< of all rows

  void add(uint32_t position);
};

class BoundPlan {
public:
  /// Resolves `plan`, which belongs to the model's chosen variant. The model, the memory and `pool`
  /// outlive the bound plan.
  /// Slots hold up to `context` positions.
  Status bind(const Model &model, const fb::Plan &plan, const MemorySpaces &spaces,
              uint32_t context, const Allocator &allocator, ThreadPool &pool);

  /// Runs all commands for integers[TERN_INT_TOKENS] rows, integers[TERN_INT_WANTED] of them
  /// wanted, that look back over `blocks`. The counts are within the artifact's bounds. `cancel` is
  /// looked at between commands and may be null; StatusCode::cancelled if it ended the run early.
  /// With `hiddenOnly` the commands end behind the last that writes a KV cache or output 1. Fails
  /// only where weights are streamed and cannot be read, or threads are pinned and the calling one
  /// cannot be.
  Status run(const int32_t integers[TERN_INT_COUNT], const RowBlocks &blocks,
             const std::atomic<bool> *cancel, bool hiddenOnly = false);

  /// From now on run() tells `observer` what it does, which costs it some clock readings; null ends
  /// that. Both functions are set; it outlives the runs it watches.
  void observe(const PlanObserver *newObserver) { observer = newObserver; }

  /// Where the buffers of a call command lie, in the order of its arguments.
  void *const *callBuffers(uint32_t command) const { return steps[command].buffers; }

  /// Bytes bind() takes for all workers' scratch and for partial results of attention.
  static uint64_t scratchBytes(const Model &model, uint32_t workers, uint32_t context);
  /// Bytes bind() takes for `plan` beside these.
  static uint64_t tableBytes(const fb::Plan &plan);

private:
  enum class Kind : uint8_t { call, copy, fetch, release };

  /// constant + perToken * T + perWanted * R; verified not to overflow.
  struct Count {
    uint64_t constant, perToken, perWanted;
    uint64_t at(const int32_t *integers) const {
      return constant + perToken * uint64_t(integers[TERN_INT_TOKENS]) +
             perWanted * uint64_t(integers[TERN_INT_WANTED]);
    }
  };
  struct Step {
    Count count; ///< tasks of a call, bytes of a copy
    TernKernelFunction kernel;
    void **buffers; ///< of a call
    void *source;
    void *destination;
    uint64_t partialBytes; ///< of a task and a block of positions; 0: the call is not split
    uint32_t window;       ///< positions that a row attends to at most; 0: all
    uint32_t unit;
    Kind kind;
  };
  struct Call {
    const Step *step;
    const int32_t *integers;
    uint8_t *scratch;
    uint64_t scratchStride;
    const PlanObserver *observer;
    uint32_t command;
  };
  static void runKernel(const Call &call, uint32_t worker, int32_t first, int32_t last);
  static void runRange(void *call, uint32_t worker, int32_t first, int32_t last);
  static void runObservedRange(void *call, uint32_t worker, int32_t first, int32_t last);
  uint32_t taskBlocks(const Step &step, uint64_t tasks, uint64_t rows,
                      const RowBlocks &blocks) const;
  void runSplit(Call call, int32_t tasks, uint32_t blocks, ThreadPool::Range range);
  template <bool observed>
  Status runCommands(const int32_t *integers, const RowBlocks &blocks,
                     const std::atomic<bool> *cancel, bool hiddenOnly);

  const Model *model = nullptr;
  ThreadPool *pool = nullptr;
  WeightStream *stream = nullptr; ///< null: weights are in place
  const PlanObserver *observer = nullptr;
  Array<Step> steps;
  Array<void *> pointers;
  Block scratch;
  Block partials; ///< of a call whose tasks are split by blocks of positions
  uint64_t scratchStride = 0;
  bool fetched = false;   ///< fetch commands of weights in place are hints: given once
  size_t hiddenSteps = 0; ///< what a run for output 1 alone takes
};

} // namespace tern::runtime

#endif
