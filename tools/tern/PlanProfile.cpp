#include "tools/tern/PlanProfile.h"
#include "tools/tern/InputError.h"

#include "runtime/session/Handles.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace tern::cli {

namespace {

using runtime::evaluate;
using runtime::sizeOf;
using runtime::textOf;

const fb::Plan &forwardPlan(const Model &model) {
  const fb::Plan *plan = model.handle()->model.plan("forward");
  if (!plan)
    throw InputError(model.path(), "has no plan for 'forward'");
  return *plan;
}

bool hasInput(const fb::Plan &plan, const fb::CallCommand &call, fb::InputKind kind) {
  for (uint32_t index : *call.buffers()) {
    const fb::Buffer &buffer = *plan.buffers()->Get(index);
    if (buffer.space() == fb::MemorySpace::input && fb::InputKind(buffer.index()) == kind)
      return true;
  }
  return false;
}

bool isMatrix(const fb::Tensor &tensor) {
  return std::string_view(textOf(tensor.layout())) != "rows";
}

/// The matrix that a call multiplies by, or null: rows picked by token ids are not multiplied.
const fb::Tensor *matrixOf(const fb::Artifact &artifact, const fb::Plan &plan,
                           const fb::CallCommand &call) {
  if (hasInput(plan, call, fb::InputKind::tokens))
    return nullptr;
  for (uint32_t index : *call.buffers()) {
    const fb::Buffer &buffer = *plan.buffers()->Get(index);
    if (buffer.space() != fb::MemorySpace::tensor)
      continue;
    const fb::Tensor &tensor = *artifact.tensors()->Get(buffer.index());
    if (isMatrix(tensor))
      return &tensor;
  }
  return nullptr;
}

/// What a call works on, for people: its first weight or its cache.
std::string subjectOf(const fb::Artifact &artifact, const fb::Plan &plan,
                      const fb::CallCommand &call) {
  for (uint32_t index : *call.buffers()) {
    const fb::Buffer &buffer = *plan.buffers()->Get(index);
    if (buffer.space() == fb::MemorySpace::tensor)
      return artifact.tensors()->Get(buffer.index())->name()->str();
    if (buffer.space() == fb::MemorySpace::kv_key)
      return textOf(artifact.kv_caches()->Get(buffer.index())->name());
  }
  return "";
}

} // namespace

PlanProfile::PlanProfile(const Model &model) : model(model) {
  const fb::Artifact &artifact = model.handle()->model.artifact();
  const fb::Variant &variant = model.handle()->model.variant();
  const fb::Plan &plan = forwardPlan(model);
  for (uint32_t i = 0; i < sizeOf(variant.kernels()); ++i) {
    const fb::Kernel &kernel = *variant.kernels()->Get(i);
    kernelList.push_back(
        {kernel.name()->str(), textOf(kernel.description()), PlanKernel::Arithmetic::other});
  }
  // Work belongs to the unit with matrices that was fetched last; tables serve all layers.
  std::set<uint32_t> unitsWithMatrices;
  for (uint32_t i = 0; i < sizeOf(artifact.tensors()); ++i)
    if (const fb::Tensor &tensor = *artifact.tensors()->Get(i); isMatrix(tensor))
      unitsWithMatrices.insert(tensor.unit());
  std::string layer;
  for (uint32_t i = 0; i < sizeOf(plan.commands()); ++i) {
    const fb::Command &command = *plan.commands()->Get(i);
    const fb::FetchCommand *fetch = command.op_as_FetchCommand();
    if (fetch && unitsWithMatrices.contains(fetch->unit()))
      layer = artifact.units()->Get(fetch->unit())->name()->str();
    if (fetch && model.handle()->model.streamLayout())
      list.push_back({i, PlanCall::fetch, layer,
                      "wait for " + artifact.units()->Get(fetch->unit())->name()->str()});
    if (command.op_as_CopyCommand())
      list.push_back({i, PlanCall::copy, layer, "copy"});
    const fb::CallCommand *call = command.op_as_CallCommand();
    if (!call || !call->buffers())
      continue;
    PlanKernel &kernel = kernelList[call->kernel()];
    if (const fb::Tensor *matrix = matrixOf(artifact, plan, *call)) {
      const std::string_view encoding = textOf(matrix->encoding());
      kernel.arithmetic = encoding == "f32" || encoding == "f16" || encoding == "bf16"
                              ? PlanKernel::Arithmetic::floating
                              : PlanKernel::Arithmetic::integer;
    }
    const std::string subject = subjectOf(artifact, plan, *call);
    list.push_back(
        {i, int32_t(call->kernel()), layer, kernel.name + (subject.empty() ? "" : " " + subject)});
  }
}

CallCost PlanProfile::cost(const PlanCall &call, uint32_t rows, uint32_t position) const {
  constexpr uint32_t wanted = 1;
  const fb::Plan &plan = forwardPlan(model);
  const fb::Command &command = *plan.commands()->Get(call.command);
  CallCost cost;
  if (const fb::CopyCommand *copy = command.op_as_CopyCommand()) {
    cost.activationBytes = evaluate(*copy->bytes(), rows, wanted).value();
    return cost;
  }
  const fb::Artifact &artifact = model.handle()->model.artifact();
  const fb::Kernel &kernel = *model.handle()->model.variant().kernels()->Get(uint32_t(call.kernel));
  if (!kernel.weight_bytes() || !kernel.flops())
    throw InputError(model.path(), "does not say what its kernels cost: it was compiled by an "
                                   "older ternc; compile it again");
  cost.operations = evaluate(*kernel.flops(), rows, wanted).value();
  const auto &buffers = *command.op_as_CallCommand()->buffers();
  uint64_t wholeWeights = 0;   // tokens may share rows of a table, or experts
  uint64_t reach = UINT64_MAX; // positions that a row can attend to
  for (uint32_t i = 0; i < buffers.size(); ++i) {
    const fb::Buffer &buffer = *plan.buffers()->Get(buffers.Get(i));
    const fb::KernelArgument &argument = *kernel.arguments()->Get(i);
    if (buffer.space() == fb::MemorySpace::arena && argument.access() != fb::AccessKind::write)
      cost.activationBytes += evaluate(*argument.extent(), rows, wanted).value();
    if (buffer.space() == fb::MemorySpace::tensor)
      wholeWeights += evaluate(*argument.extent(), rows, wanted).value();
    if (buffer.space() == fb::MemorySpace::kv_key)
      if (const uint32_t window = artifact.kv_caches()->Get(buffer.index())->window())
        reach = window;
  }
  cost.weightBytes = std::min(evaluate(*kernel.weight_bytes(), rows, wanted).value(), wholeWeights);
  if (kernel.position_bytes() == 0)
    return cost;
  // Each cached position counts once however many rows attend to it, each row's operations do.
  const uint64_t last = uint64_t(position) + rows;
  cost.cacheBytes =
      kernel.position_bytes() * std::min(last, reach == UINT64_MAX ? last : reach + rows - 1);
  for (uint32_t row = 0; row < rows; ++row)
    cost.operations += kernel.position_flops() * std::min<uint64_t>(position + row + 1, reach);
  return cost;
}

std::vector<MemoryRange> PlanProfile::weights() const {
  const runtime::Model &loaded = model.handle()->model;
  const fb::Plan &plan = forwardPlan(model);
  std::set<uint32_t> tensors;
  for (const fb::Buffer *buffer : *plan.buffers())
    if (buffer->space() == fb::MemorySpace::tensor)
      tensors.insert(buffer->index());
  std::vector<MemoryRange> ranges;
  for (const uint32_t tensor : tensors)
    ranges.push_back(
        {loaded.tensorData(tensor), size_t(loaded.artifact().tensors()->Get(tensor)->size())});
  return ranges;
}

struct PlanRecorder::Observer : runtime::PlanObserver {};

PlanRecorder::PlanRecorder(tern_session *session, uint32_t threads)
    : session(session), observer(std::make_unique<Observer>()), workerWork(threads) {
  observer->context = this;
  observer->ranCommand = [](void *context, uint32_t command, uint64_t begin, uint64_t end) {
    static_cast<PlanRecorder *>(context)->commandWork.push_back({command, begin, end});
  };
  observer->ranTasks = [](void *context, uint32_t command, uint32_t worker, uint64_t begin,
                          uint64_t end) {
    static_cast<PlanRecorder *>(context)->workerWork[worker].push_back({command, begin, end});
  };
  session->session.observe(observer.get());
}

PlanRecorder::~PlanRecorder() { session->session.observe(nullptr); }

void PlanRecorder::clear() {
  commandWork.clear();
  for (std::vector<TimedWork> &work : workerWork)
    work.clear();
}

} // namespace tern::cli
