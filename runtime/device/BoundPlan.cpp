// Binding relies on the checks of core/Verify: indices and extents are not looked at again.
#include "runtime/device/BoundPlan.h"

#include "runtime/core/Verify.h"

#include <cstring>
#include <ctime>

using namespace tern;
using namespace tern::runtime;

/// Distance between the scratch of two workers: whole cache lines, one to spare.
static CheckedSize scratchStrideOf(const Model &model) {
  uint64_t largest = 0;
  const fb::Variant &variant = model.variant();
  for (uint32_t i = 0; i < sizeOf(variant.kernels()); ++i)
    if (const uint64_t bytes = variant.kernels()->Get(i)->scratch_bytes(); bytes > largest)
      largest = bytes;
  return largest ? (CheckedSize(largest) + blockAlignment).alignedTo(blockAlignment) : 0;
}

/// A call is split only if its partial results fit in so much: a bound on what a session of many
/// threads and a long context takes, of which most is never touched.
static constexpr uint64_t maxPartialsSize = uint64_t(64) << 20;

static uint32_t attentionBlocksOf(uint32_t positions) {
  return positions / attentionStepPositions + (positions % attentionStepPositions != 0);
}

void RowBlocks::add(uint32_t position) {
  const uint32_t blocks = attentionBlocksOf(position + 1);
  longest = blocks > longest ? blocks : longest;
  total += blocks;
}

/// 0: it runs in one pass, also where a file does not name its window.
static uint64_t partialBytesOf(const fb::Kernel &kernel) {
  return kernel.window() ? kernel.partial_bytes() : 0;
}

/// Room for the partial results of one row, and for as many tasks as workers may be idle with.
static uint64_t partialsSizeOf(const Model &model, uint32_t workers, uint32_t context) {
  const uint32_t blocks = attentionBlocksOf(context);
  if (workers == 1 || blocks < 2)
    return 0;
  CheckedSize largest;
  const fb::Variant &variant = model.variant();
  for (uint32_t i = 0; i < sizeOf(variant.kernels()); ++i) {
    const fb::Kernel &kernel = *variant.kernels()->Get(i);
    const uint64_t ofRow = evaluate(*kernel.tasks(), 1, 1).value();
    const uint64_t tasks = ofRow > 2 * workers ? ofRow : 2 * workers;
    const CheckedSize size = CheckedSize(tasks) * uint64_t(blocks) * partialBytesOf(kernel);
    if (!size.isAtMost(largest.value()))
      largest = size;
  }
  return largest.isAtMost(maxPartialsSize) ? largest.value() : maxPartialsSize;
}

uint64_t BoundPlan::scratchBytes(const Model &model, uint32_t workers, uint32_t context) {
  return (scratchStrideOf(model) * workers + partialsSizeOf(model, workers, context)).value();
}

static uint64_t countPointers(const fb::Plan &plan) {
  uint64_t count = 0; // one per argument of at most maxTables calls: no overflow
  for (uint32_t i = 0; i < sizeOf(plan.commands()); ++i)
    if (const fb::CallCommand *call = plan.commands()->Get(i)->op_as_CallCommand())
      count += sizeOf(call->buffers());
  return count;
}

uint64_t BoundPlan::tableBytes(const fb::Plan &plan) {
  return sizeOf(plan.commands()) * sizeof(Step) + countPointers(plan) * sizeof(void *);
}

static const uint8_t *tensorData(const Model &model, uint32_t index, const MemorySpaces &spaces,
                                 uint32_t command) {
  if (!spaces.weights)
    return model.tensorData(index);
  const fb::Tensor &tensor = *model.artifact().tensors()->Get(index);
  return spaces.weights->unitData(tensor.unit(), command) + tensor.offset();
}

/// `command`: number of the one that uses the buffer.
static void *resolve(const Model &model, const fb::Buffer &buffer, const MemorySpaces &spaces,
                     uint32_t command) {
  uint8_t *base = nullptr;
  switch (buffer.space()) {
  case fb::MemorySpace::arena:
    base = spaces.arena;
    break;
  case fb::MemorySpace::tensor: // never written: core/Verify
    base = const_cast<uint8_t *>(tensorData(model, buffer.index(), spaces, command));
    break;
  case fb::MemorySpace::input:
    base = spaces.inputs[buffer.index()];
    break;
  case fb::MemorySpace::output:
    base = spaces.outputs[buffer.index()];
    break;
  case fb::MemorySpace::kv_key:
    base = spaces.kvKeys[buffer.index()];
    break;
  case fb::MemorySpace::kv_value:
    base = spaces.kvValues[buffer.index()];
    break;
  case fb::MemorySpace::block_table:
    base = spaces.blockTables[buffer.index()];
    break;
  }
  return base + buffer.offset();
}

/// What a run for the hidden states alone must have written.
static bool isKvOrHidden(const fb::Buffer &buffer) {
  return buffer.space() == fb::MemorySpace::kv_key || buffer.space() == fb::MemorySpace::kv_value ||
         (buffer.space() == fb::MemorySpace::output && buffer.index() == 1);
}

Status BoundPlan::bind(const Model &boundModel, const fb::Plan &plan, const MemorySpaces &spaces,
                       uint32_t context, const Allocator &allocator, ThreadPool &workers) {
  model = &boundModel;
  pool = &workers;
  stream = spaces.weights;
  TERN_RETURN_IF_ERROR(steps.allocate(allocator, sizeOf(plan.commands()), "the plan"));
  TERN_RETURN_IF_ERROR(pointers.allocate(allocator, countPointers(plan), "the plan's pointers"));
  scratchStride = scratchStrideOf(*model).value();
  TERN_RETURN_IF_ERROR(scratch.allocate(allocator,
                                        (CheckedSize(scratchStride) * pool->workers()).value(),
                                        "the kernels' scratch memory"));
  if (const uint64_t size = partialsSizeOf(*model, pool->workers(), context))
    TERN_RETURN_IF_ERROR(partials.allocate(allocator, size, "attention's partial results"));

  void **next = pointers.data();
  for (uint32_t i = 0; i < steps.size(); ++i) {
    const fb::Command &command = *plan.commands()->Get(i);
    Step &step = steps[i];
    const auto pointerTo = [&](uint32_t buffer) {
      return resolve(*model, *plan.buffers()->Get(buffer), spaces, i);
    };
    const auto countOf = [](const fb::Extent &extent) {
      return Count{extent.constant(), extent.per_token(), extent.per_wanted()};
    };
    if (const fb::CallCommand *call = command.op_as_CallCommand()) {
      const fb::Kernel &kernel = *model->variant().kernels()->Get(call->kernel());
      step.kind = Kind::call;
      step.count = countOf(*kernel.tasks());
      step.partialBytes = partialBytesOf(kernel);
      step.window = kernel.window().value_or(0);
      step.kernel = model->kernel(call->kernel());
      step.buffers = next;
      for (uint32_t b = 0; b < sizeOf(call->buffers()); ++b) {
        const fb::Buffer &buffer = *plan.buffers()->Get(call->buffers()->Get(b));
        if (kernel.arguments()->Get(b)->access() != fb::AccessKind::read && isKvOrHidden(buffer))
          hiddenSteps = i + 1;
        *next++ = resolve(*model, buffer, spaces, i);
      }
    } else if (const fb::CopyCommand *copy = command.op_as_CopyCommand()) {
      step.kind = Kind::copy;
      if (isKvOrHidden(*plan.buffers()->Get(copy->destination())))
        hiddenSteps = i + 1;
      step.count = countOf(*copy->bytes());
      step.source = pointerTo(copy->source());
      step.destination = pointerTo(copy->destination());
    } else if (const fb::FetchCommand *fetch = command.op_as_FetchCommand()) {
      step.kind = Kind::fetch;
      step.unit = fetch->unit();
    } else {
      step.kind = Kind::release;
      step.unit = command.op_as_ReleaseCommand()->unit();
    }
  }
  return {};
}

static uint64_t now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return uint64_t(time.tv_sec) * 1000000000u + uint64_t(time.tv_nsec);
}

#if defined(__clang__)
// The check would read what lies before a kernel's entry, which need not be mapped.
__attribute__((no_sanitize("function")))
#endif
void BoundPlan::runKernel(const Call &call, uint32_t worker, int32_t first, int32_t last) {
  const TernArgs arguments = {call.step->buffers, call.integers,
                              call.scratch + worker * call.scratchStride};
  call.step->kernel(&arguments, first, last);
}

void BoundPlan::runRange(void *context, uint32_t worker, int32_t first, int32_t last) {
  runKernel(*static_cast<const Call *>(context), worker, first, last);
}

void BoundPlan::runObservedRange(void *context, uint32_t worker, int32_t first, int32_t last) {
  const Call &call = *static_cast<const Call *>(context);
  const uint64_t begin = now();
  runKernel(call, worker, first, last);
  call.observer->ranTasks(call.observer->context, call.command, worker, begin, now());
}

/// How many blocks the tasks of a call are split into; 1: a single pass, which costs a barrier less
/// and is taken unless blocks apart would be done an eighth sooner. In units of a block's time, a
/// pass takes as long as one worker's share of equal tasks, and no less than the longest of them.
uint32_t BoundPlan::taskBlocks(const Step &step, uint64_t tasks, uint64_t rows,
                               const RowBlocks &blocks) const {
  if (!step.partialBytes || !tasks || !rows)
    return 1;
  const auto atMost = [](uint64_t count, uint64_t limit) { return count < limit ? count : limit; };
  // A window of so many blocks' positions may begin within one and meet one more.
  const uint64_t windowBlocks = step.window ? attentionBlocksOf(step.window) : UINT32_MAX;
  const uint64_t longest = atMost(blocks.longest, windowBlocks);
  const uint64_t parts =
      atMost(blocks.longest, step.window ? attentionBlocksOf(step.window - 1) + 1 : UINT32_MAX);
  if (tasks * parts > partials.size() / step.partialBytes)
    return 1;
  const uint64_t total = atMost(blocks.total, rows * longest) * tasks / rows;
  const uint64_t workers = pool->workers();
  const auto shareOf = [&](uint64_t count) { return (count + workers - 1) / workers; };
  const uint64_t share = shareOf(tasks) * total / tasks;
  return shareOf(total) * 8 <= (share > longest ? share : longest) * 7 ? uint32_t(parts) : 1;
}

void BoundPlan::runSplit(Call call, int32_t tasks, uint32_t blocks, ThreadPool::Range range) {
  int32_t integers[TERN_INT_COUNT];
  memcpy(integers, call.integers, sizeof integers);
  integers[TERN_INT_TASK_BLOCKS] = int32_t(blocks);
  call.integers = integers;
  call.scratch = partials.data();
  call.scratchStride = 0; // the same for all workers
  integers[TERN_INT_PHASE] = TERN_PHASE_BLOCKS;
  pool->run(tasks * int32_t(blocks), range, &call);
  integers[TERN_INT_PHASE] = TERN_PHASE_MERGE;
  pool->run(tasks, range, &call);
}

/// Two copies of the loop, so that nothing is asked or timed where nobody watches.
template <bool observed>
Status BoundPlan::runCommands(const int32_t *integers, const RowBlocks &blocks,
                              const std::atomic<bool> *cancel, bool hiddenOnly) {
  const size_t count = hiddenOnly ? hiddenSteps : steps.size();
  for (uint32_t i = 0; i < count; ++i) {
    const Step &step = steps[i];
    if (cancel && cancel->load(std::memory_order_relaxed))
      return Status::error(StatusCode::cancelled, "cancelled");
    const uint64_t begin = observed ? now() : 0;
    switch (step.kind) {
    case Kind::call: {
      Call call = {&step, integers, scratch.data(), scratchStride, observer, i};
      const ThreadPool::Range range = observed ? runObservedRange : runRange;
      const uint64_t tasks = step.count.at(integers);
      const uint64_t rows = uint64_t(integers[TERN_INT_TOKENS]);
      if (const uint32_t parts = taskBlocks(step, tasks, rows, blocks); parts > 1)
        runSplit(call, int32_t(tasks), parts, range);
      else
        pool->run(int32_t(tasks), range, &call);
      break;
    }
    case Kind::copy:
      if (const uint64_t bytes = step.count.at(integers))
        memmove(step.destination, step.source, bytes);
      break;
    case Kind::fetch:
      if (stream)
        TERN_RETURN_IF_ERROR(stream->fetch(step.unit));
      else if (!fetched)
        model->prefetchUnit(step.unit);
      break;
    case Kind::release: // weights in place stay
      if (stream)
        stream->release(step.unit, i);
      break;
    }
    if (observed && (step.kind == Kind::call || step.kind == Kind::copy ||
                     (stream && step.kind == Kind::fetch)))
      observer->ranCommand(observer->context, i, begin, now());
  }
  fetched |= !hiddenOnly;
  return {};
}

Status BoundPlan::run(const int32_t integers[TERN_INT_COUNT], const RowBlocks &blocks,
                      const std::atomic<bool> *cancel, bool hiddenOnly) {
  ScopedPin callerPin;
  TERN_RETURN_IF_ERROR(pool->pinCaller(callerPin));
  const Status status = observer ? runCommands<true>(integers, blocks, cancel, hiddenOnly)
                                 : runCommands<false>(integers, blocks, cancel, hiddenOnly);
  if (stream)
    stream->finish();
  return status;
}
