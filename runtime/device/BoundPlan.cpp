// Binding relies on the checks of core/Verify: indices and extents are not looked at again.
#include "runtime/device/BoundPlan.h"

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

uint64_t BoundPlan::scratchBytes(const Model &model, uint32_t workers) {
  return (scratchStrideOf(model) * workers).value();
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
                       const Allocator &allocator, ThreadPool &workers) {
  model = &boundModel;
  pool = &workers;
  stream = spaces.weights;
  TERN_RETURN_IF_ERROR(steps.allocate(allocator, sizeOf(plan.commands()), "the plan"));
  TERN_RETURN_IF_ERROR(pointers.allocate(allocator, countPointers(plan), "the plan's pointers"));
  scratchStride = scratchStrideOf(*model).value();
  TERN_RETURN_IF_ERROR(scratch.allocate(allocator, scratchBytes(*model, pool->workers()),
                                        "the kernels' scratch memory"));

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
      step.kind = Kind::call;
      step.count = countOf(*model->variant().kernels()->Get(call->kernel())->tasks());
      step.kernel = model->kernel(call->kernel());
      step.buffers = next;
      for (uint32_t b = 0; b < sizeOf(call->buffers()); ++b) {
        const fb::Buffer &buffer = *plan.buffers()->Get(call->buffers()->Get(b));
        const fb::Kernel &kernel = *model->variant().kernels()->Get(call->kernel());
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

/// Two copies of the loop, so that nothing is asked or timed where nobody watches.
template <bool observed>
Status BoundPlan::runCommands(const int32_t *integers, const std::atomic<bool> *cancel,
                              bool hiddenOnly) {
  const size_t count = hiddenOnly ? hiddenSteps : steps.size();
  for (uint32_t i = 0; i < count; ++i) {
    const Step &step = steps[i];
    if (cancel && cancel->load(std::memory_order_relaxed))
      return Status::error(StatusCode::cancelled, "cancelled");
    const uint64_t begin = observed ? now() : 0;
    switch (step.kind) {
    case Kind::call: {
      Call call = {&step, integers, scratch.data(), scratchStride, observer, i};
      pool->run(int32_t(step.count.at(integers)), observed ? runObservedRange : runRange, &call);
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

Status BoundPlan::run(const int32_t integers[TERN_INT_COUNT], const std::atomic<bool> *cancel,
                      bool hiddenOnly) {
  ScopedPin callerPin;
  TERN_RETURN_IF_ERROR(pool->pinCaller(callerPin));
  const Status status = observer ? runCommands<true>(integers, cancel, hiddenOnly)
                                 : runCommands<false>(integers, cancel, hiddenOnly);
  if (stream)
    stream->finish();
  return status;
}
