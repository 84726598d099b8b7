// One variant: its kernels against its image, its plans against kernels, buffers and memory spaces.
#include "runtime/core/Image.h"
#include "runtime/core/Verify.h"

#include <cinttypes>
#include <cstring>

using namespace tern;
using namespace tern::runtime;

static constexpr uint64_t inputEntrySize = sizeof(int32_t);

static bool isKvOrTable(fb::MemorySpace space) {
  return space == fb::MemorySpace::kv_key || space == fb::MemorySpace::kv_value ||
         space == fb::MemorySpace::block_table;
}

static bool isWritable(fb::MemorySpace space) {
  return space != fb::MemorySpace::tensor && space != fb::MemorySpace::input &&
         space != fb::MemorySpace::block_table;
}

/// Value of an extent at the bounds of T and R; extents grow with both.
static CheckedSize atBounds(const fb::Artifact &artifact, const fb::Extent &extent) {
  return evaluate(extent, artifact.max_batch(), artifact.max_wanted());
}

static bool isConstant(const fb::Extent &extent, uint64_t value) {
  return extent.constant() == value && extent.per_token() == 0 && extent.per_wanted() == 0;
}

static Status verifyKernel(const fb::Artifact &artifact, const fb::Kernel &kernel,
                           const uint8_t *code) {
  const char *name = kernel.name()->c_str();
  if (!Image::isCode(code, kernel.entry()))
    return Status::error(StatusCode::invalidArtifact,
                         "kernel '%.64s': entry 0x%" PRIx64 " is not in executable memory", name,
                         kernel.entry());
  if (sizeOf(kernel.arguments()) > maxArguments)
    return Status::error(StatusCode::invalidArtifact,
                         "kernel '%.64s': %" PRIu32 " arguments, at most %" PRIu32, name,
                         sizeOf(kernel.arguments()), maxArguments);
  if (!kernel.tasks() || !atBounds(artifact, *kernel.tasks()).isAtMost(INT32_MAX))
    return Status::error(StatusCode::invalidArtifact,
                         "kernel '%.64s': its number of tasks is missing or exceeds 2^31 - 1",
                         name);
  bool hasKeys = false, writesCache = false;
  for (uint32_t i = 0; i < sizeOf(kernel.arguments()); ++i) {
    const fb::KernelArgument &argument = *kernel.arguments()->Get(i);
    const bool isKey = argument.space_hint() == fb::MemorySpace::kv_key;
    hasKeys |= isKey;
    writesCache |= (isKey || argument.space_hint() == fb::MemorySpace::kv_value) &&
                   argument.access() != fb::AccessKind::read;
    if (!argument.extent() || !atBounds(artifact, *argument.extent()).isValid() ||
        argument.access() > fb::AccessKind::MAX)
      return Status::error(StatusCode::invalidArtifact,
                           "kernel '%.64s': argument %" PRIu32
                           " has no extent, one that overflows, or an unknown access",
                           name, i);
  }
  // Its blocks run in any order and at once, so that none may write what another reads.
  if (kernel.partial_bytes() % blockAlignment != 0 ||
      (kernel.partial_bytes() != 0 && (!hasKeys || writesCache || kernel.scratch_bytes() != 0)))
    return Status::error(StatusCode::invalidArtifact,
                         "kernel '%.64s': partial results of %" PRIu64
                         " bytes, expected a multiple of 64, keys, a KV cache that is only read, "
                         "and no scratch memory",
                         name, kernel.partial_bytes());
  return {};
}

namespace {
/// What a memory space offers to a buffer's index.
struct Offer {
  uint64_t indices = 1; ///< how many there are
  uint64_t bytes = 0;   ///< behind this one, if it exists
};
} // namespace

static Status offerOf(const fb::Artifact &artifact, const fb::Plan &plan, const fb::Buffer &buffer,
                      uint32_t number, Offer &offer) {
  const uint32_t index = buffer.index();
  switch (buffer.space()) {
  case fb::MemorySpace::arena:
    offer.bytes = plan.arena_bytes();
    return {};
  case fb::MemorySpace::tensor:
    offer.indices = sizeOf(artifact.tensors());
    offer.bytes = index < offer.indices ? artifact.tensors()->Get(index)->size() : 0;
    return {};
  case fb::MemorySpace::input: {
    const bool perWanted = fb::InputKind(index) == fb::InputKind::wanted_rows;
    offer.indices = uint64_t(fb::InputKind::MAX) + 1;
    offer.bytes = inputEntrySize * (perWanted ? artifact.max_wanted() : artifact.max_batch());
    return {};
  }
  case fb::MemorySpace::output:
    offer.indices = artifact.functions()->Get(plan.function())->outputs()->size();
    offer.bytes = UINT64_MAX; // allocated to fit
    return {};
  case fb::MemorySpace::kv_key:
  case fb::MemorySpace::kv_value: {
    offer.indices = sizeOf(artifact.kv_caches());
    if (index >= offer.indices)
      return {};
    const fb::KvCache &cache = *artifact.kv_caches()->Get(index);
    offer.bytes = buffer.space() == fb::MemorySpace::kv_key ? cache.key_block_bytes()
                                                            : cache.value_block_bytes();
    return {};
  }
  case fb::MemorySpace::block_table:
    offer.indices = artifact.block_table_by_cache() ? sizeOf(artifact.kv_caches()) : 1;
    offer.bytes = sizeof(int32_t);
    return {};
  }
  return Status::error(StatusCode::unsupported,
                       "buffer %" PRIu32 ": memory space %u is not known to this runtime", number,
                       unsigned(buffer.space()));
}

static Status verifyBuffer(const fb::Artifact &artifact, const fb::Plan &plan,
                           const fb::Buffer &buffer, uint32_t number, uint32_t &outputsSeen) {
  if (!buffer.extent() || !atBounds(artifact, *buffer.extent()).isValid())
    return Status::error(StatusCode::invalidArtifact,
                         "buffer %" PRIu32 ": no extent, or one that overflows", number);
  Offer offer;
  TERN_RETURN_IF_ERROR(offerOf(artifact, plan, buffer, number, offer));
  if (buffer.index() >= offer.indices)
    return Status::error(StatusCode::invalidArtifact,
                         "buffer %" PRIu32 ": index %" PRIu32 " of %" PRIu64 " in its space",
                         number, buffer.index(), offer.indices);
  const bool hasOffset =
      buffer.space() == fb::MemorySpace::arena || buffer.space() == fb::MemorySpace::tensor;
  const CheckedSize extent = atBounds(artifact, *buffer.extent());
  if (buffer.offset() % blockAlignment != 0 || (!hasOffset && buffer.offset() != 0) ||
      !(CheckedSize(buffer.offset()) + extent).isAtMost(offer.bytes))
    return Status::error(StatusCode::invalidArtifact,
                         "buffer %" PRIu32 ": bytes [%" PRIu64 ", +%" PRIu64
                         ") are misaligned or outside of the %" PRIu64 " there",
                         number, buffer.offset(), extent.value(), offer.bytes);
  if (isKvOrTable(buffer.space()) && !isConstant(*buffer.extent(), offer.bytes))
    return Status::error(StatusCode::invalidArtifact,
                         "buffer %" PRIu32 ": expected the extent of one KV block or one block "
                         "table entry, %" PRIu64 " bytes",
                         number, offer.bytes);
  if (buffer.space() == fb::MemorySpace::output) {
    const uint32_t bit = uint32_t(1) << buffer.index();
    if (outputsSeen & bit)
      return Status::error(StatusCode::invalidArtifact,
                           "buffer %" PRIu32 ": output %" PRIu32 " has two buffers", number,
                           buffer.index());
    outputsSeen |= bit;
  }
  return {};
}

static Status verifyCall(const fb::Artifact &artifact, const fb::Variant &variant,
                         const fb::Plan &plan, const fb::CallCommand &call, uint32_t number) {
  if (call.kernel() >= sizeOf(variant.kernels()))
    return Status::error(StatusCode::invalidArtifact,
                         "command %" PRIu32 ": kernel %" PRIu32 " of %" PRIu32, number,
                         call.kernel(), sizeOf(variant.kernels()));
  const fb::Kernel &kernel = *variant.kernels()->Get(call.kernel());
  const uint32_t count = sizeOf(kernel.arguments());
  if (sizeOf(call.buffers()) != count)
    return Status::error(StatusCode::invalidArtifact,
                         "command %" PRIu32 ": %" PRIu32 " buffers for the %" PRIu32
                         " arguments of kernel '%.64s'",
                         number, sizeOf(call.buffers()), count, kernel.name()->c_str());
  const fb::Buffer *ofCache = nullptr; // the first of a KV cache or its table
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t index = call.buffers()->Get(i);
    if (index >= sizeOf(plan.buffers()))
      return Status::error(StatusCode::invalidArtifact,
                           "command %" PRIu32 ": buffer %" PRIu32 " of %" PRIu32, number, index,
                           sizeOf(plan.buffers()));
    const fb::KernelArgument &argument = *kernel.arguments()->Get(i);
    const fb::Buffer &buffer = *plan.buffers()->Get(index);
    const uint64_t offered = atBounds(artifact, *buffer.extent()).value();
    // In KV and block table space extents are per block: a kernel made for one cache shape must not
    // meet another, nor plain memory.
    const bool spacesAgree =
        isKvOrTable(argument.space_hint()) || isKvOrTable(buffer.space())
            ? argument.space_hint() == buffer.space() && isConstant(*argument.extent(), offered)
            : atBounds(artifact, *argument.extent()).isAtMost(offered);
    if (!spacesAgree)
      return Status::error(StatusCode::invalidArtifact,
                           "command %" PRIu32 ": argument %" PRIu32
                           " of kernel '%.64s' takes %" PRIu64 " bytes, buffer %" PRIu32
                           " offers %" PRIu64 ", or their memory spaces differ",
                           number, i, kernel.name()->c_str(),
                           atBounds(artifact, *argument.extent()).value(), index, offered);
    // It goes where this input's numbers say, of which the session keeps the bounds.
    if (argument.input() &&
        (buffer.space() != fb::MemorySpace::input || buffer.index() != uint32_t(*argument.input())))
      return Status::error(StatusCode::invalidArtifact,
                           "command %" PRIu32 ": argument %" PRIu32
                           " of kernel '%.64s' must be input %u, buffer %" PRIu32
                           " is number %" PRIu32 " of memory space %u",
                           number, i, kernel.name()->c_str(), unsigned(*argument.input()), index,
                           buffer.index(), unsigned(buffer.space()));
    // What lies behind its window a cache does not keep.
    if (buffer.space() == fb::MemorySpace::kv_key && kernel.partial_bytes() != 0 &&
        kernel.window() && *kernel.window() != artifact.kv_caches()->Get(buffer.index())->window())
      return Status::error(StatusCode::invalidArtifact,
                           "command %" PRIu32 ": kernel '%.64s' attends to a window of %" PRIu32
                           " positions, its KV cache has %" PRIu32,
                           number, kernel.name()->c_str(), *kernel.window(),
                           artifact.kv_caches()->Get(buffer.index())->window());
    // A table of one cache leads to blocks that it has.
    if (isKvOrTable(buffer.space()) && artifact.block_table_by_cache()) {
      ofCache = ofCache ? ofCache : &buffer;
      if (buffer.index() != ofCache->index())
        return Status::error(StatusCode::invalidArtifact,
                             "command %" PRIu32 ": kernel '%.64s' takes parts of KV caches %" PRIu32
                             " and %" PRIu32,
                             number, kernel.name()->c_str(), ofCache->index(), buffer.index());
    }
    if (argument.access() != fb::AccessKind::read && !isWritable(buffer.space()))
      return Status::error(StatusCode::invalidArtifact,
                           "command %" PRIu32 ": kernel '%.64s' would write buffer %" PRIu32
                           ", which is read-only",
                           number, kernel.name()->c_str(), index);
  }
  return {};
}

static Status verifyCopy(const fb::Artifact &artifact, const fb::Plan &plan,
                         const fb::CopyCommand &copy, uint32_t number) {
  const uint32_t buffers = sizeOf(plan.buffers());
  if (copy.source() >= buffers || copy.destination() >= buffers || !copy.bytes())
    return Status::error(StatusCode::invalidArtifact,
                         "command %" PRIu32 ": copy of an unknown buffer or size", number);
  const fb::Buffer &source = *plan.buffers()->Get(copy.source());
  const fb::Buffer &destination = *plan.buffers()->Get(copy.destination());
  const CheckedSize bytes = atBounds(artifact, *copy.bytes());
  if (isKvOrTable(source.space()) || isKvOrTable(destination.space()) ||
      !isWritable(destination.space()))
    return Status::error(StatusCode::invalidArtifact,
                         "command %" PRIu32 ": copy from or to a space that has none", number);
  if (!bytes.isAtMost(atBounds(artifact, *source.extent()).value()) ||
      !bytes.isAtMost(atBounds(artifact, *destination.extent()).value()))
    return Status::error(StatusCode::invalidArtifact,
                         "command %" PRIu32 ": copy of %" PRIu64
                         " bytes is larger than a buffer of it",
                         number, bytes.value());
  return {};
}

static Status verifyCommand(const fb::Artifact &artifact, const fb::Variant &variant,
                            const fb::Plan &plan, const fb::Command &command, uint32_t number) {
  const fb::CommandUnion kind = command.op_type();
  if (kind == fb::CommandUnion::NONE || !command.op())
    return Status::error(StatusCode::invalidArtifact, "command %" PRIu32 " is empty", number);
  uint32_t unit = 0;
  switch (kind) {
  case fb::CommandUnion::CallCommand:
    return verifyCall(artifact, variant, plan, *command.op_as_CallCommand(), number);
  case fb::CommandUnion::CopyCommand:
    return verifyCopy(artifact, plan, *command.op_as_CopyCommand(), number);
  case fb::CommandUnion::FetchCommand:
    unit = command.op_as_FetchCommand()->unit();
    break;
  case fb::CommandUnion::ReleaseCommand:
    unit = command.op_as_ReleaseCommand()->unit();
    break;
  default: {
    const char *name = kind <= fb::CommandUnion::MAX ? fb::EnumNameCommandUnion(kind) : "unknown";
    return Status::error(StatusCode::unsupported,
                         "command %" PRIu32 ": '%s' (%u) is not implemented by this runtime",
                         number, name, unsigned(kind));
  }
  }
  if (unit >= sizeOf(artifact.units()))
    return Status::error(StatusCode::invalidArtifact,
                         "command %" PRIu32 ": weight unit %" PRIu32 " of %" PRIu32, number, unit,
                         sizeOf(artifact.units()));
  return {};
}

/// The buffer that `forward` leaves an output in: wanted rows of a whole number of floats.
static Status verifyWantedRows(const fb::Plan &plan, uint32_t output, uint64_t size,
                               const char *name) {
  for (uint32_t i = 0; i < sizeOf(plan.buffers()); ++i) {
    const fb::Buffer &buffer = *plan.buffers()->Get(i);
    if (buffer.space() != fb::MemorySpace::output || buffer.index() != output)
      continue;
    const fb::Extent &extent = *buffer.extent();
    if (extent.constant() != 0 || extent.per_token() != 0 ||
        extent.per_wanted() % sizeof(float) != 0 || extent.per_wanted() / sizeof(float) < size)
      return Status::error(StatusCode::invalidArtifact,
                           "buffer %" PRIu32 ": %s of %" PRIu64 " bytes a row do not hold %" PRIu64
                           " floats",
                           i, name, extent.per_wanted(), size);
    return {};
  }
  return Status::error(StatusCode::invalidArtifact, "'forward' has no buffer for its %s", name);
}

static Status verifyForwardOutputs(const fb::Artifact &artifact, const fb::Plan &plan) {
  TERN_RETURN_IF_ERROR(verifyWantedRows(plan, 0, artifact.vocabulary_size(), "logits"));
  const uint64_t hidden = hiddenSize(*artifact.functions()->Get(plan.function()));
  return hidden ? verifyWantedRows(plan, 1, hidden, "hidden states") : Status();
}

static Status verifyPlan(const fb::Artifact &artifact, const fb::Variant &variant,
                         const fb::Plan &plan) {
  if (plan.function() >= artifact.functions()->size())
    return Status::error(StatusCode::invalidArtifact, "a plan of function %" PRIu32 " of %" PRIu32,
                         plan.function(), artifact.functions()->size());
  uint32_t outputsSeen = 0;
  for (uint32_t i = 0; i < sizeOf(plan.buffers()); ++i)
    TERN_RETURN_IF_ERROR(verifyBuffer(artifact, plan, *plan.buffers()->Get(i), i, outputsSeen));
  for (uint32_t i = 0; i < sizeOf(plan.commands()); ++i)
    TERN_RETURN_IF_ERROR(verifyCommand(artifact, variant, plan, *plan.commands()->Get(i), i));
  if (strcmp(artifact.functions()->Get(plan.function())->name()->c_str(), "forward") == 0)
    return verifyForwardOutputs(artifact, plan);
  return {};
}

Status tern::runtime::verifyVariant(const ArtifactTable &table, const fb::Variant &variant,
                                    const uint8_t *code) {
  const fb::Artifact &artifact = *table;
  TERN_RETURN_IF_ERROR(
      checkDigest(code, variant.code()->size(), *variant.code_digest(), "the kernel image"));
  TERN_RETURN_IF_ERROR(Image::verify(code, variant.code()->size()));
  for (uint32_t i = 0; i < sizeOf(variant.kernels()); ++i)
    TERN_RETURN_IF_ERROR(verifyKernel(artifact, *variant.kernels()->Get(i), code));
  for (uint32_t i = 0; i < sizeOf(variant.plans()); ++i)
    TERN_RETURN_IF_ERROR(verifyPlan(artifact, variant, *variant.plans()->Get(i)));
  return {};
}

const fb::Plan *tern::runtime::findPlan(const fb::Artifact &artifact, const fb::Variant &variant,
                                        const char *function) {
  for (uint32_t i = 0; i < sizeOf(variant.plans()); ++i) {
    const fb::Plan *plan = variant.plans()->Get(i);
    if (strcmp(artifact.functions()->Get(plan->function())->name()->c_str(), function) == 0)
      return plan;
  }
  return nullptr;
}
