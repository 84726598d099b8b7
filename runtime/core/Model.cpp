// Loading in the order of trust: table, variant, code, weights.
#include "runtime/core/Model.h"

#include "runtime/core/Sha256.h"
#include "runtime/core/Verify.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

using namespace tern;
using namespace tern::runtime;

/// Small enough to be hashed out of a CPU's cache.
static constexpr uint64_t readPiece = uint64_t(1) << 18;

void Log::info(const char *format, ...) const {
  if (!write)
    return;
  char line[Status::messageCapacity];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  write(context, 0, line);
}

/// A variant's target begins with its architecture: "x86_64-avx2" runs on "x86_64".
static bool isForHost(const fb::Variant &variant) {
  const std::string_view host = hostArchitecture();
  const std::string_view target(variant.target()->c_str(), variant.target()->size());
  return target.starts_with(host) && (target.size() == host.size() || target[host.size()] == '-');
}

/// Appends to a bounded message; what does not fit is cut.
static void append(char (&text)[160], const char *part) {
  const size_t used = strlen(text);
  snprintf(text + used, sizeof(text) - used, "%s", part);
}

/// Appends the features that the CPU lacks, or why the variant cannot run otherwise. False if it
/// runs.
static bool describeMissing(const fb::Variant &variant, const CpuFeatures &cpu, char (&text)[160]) {
  bool missing = false;
  if (!isForHost(variant)) {
    append(text, " is for another architecture");
    return true;
  }
  for (uint32_t i = 0; i < sizeOf(variant.features()); ++i) {
    const flatbuffers::String *name = variant.features()->Get(i);
    if (cpu.has({name->c_str(), name->size()}))
      continue;
    append(text, missing ? ", " : " needs ");
    append(text, name->c_str());
    missing = true;
  }
  return missing;
}

Status Model::chooseVariant(const char *target) {
  const CpuFeatures cpu = CpuFeatures::detect();
  char reasons[160] = "";
  bool named = false;
  for (const fb::Variant *variant : *table->variants()) {
    const char *name = variant->target()->c_str();
    if (target && strcmp(target, name) != 0)
      continue;
    named = true;
    char reason[160] = "";
    if (!describeMissing(*variant, cpu, reason)) {
      chosen = variant;
      return {};
    }
    append(reasons, *reasons ? "; " : "");
    append(reasons, name);
    append(reasons, reason);
  }
  if (!named)
    return Status::error(StatusCode::notFound, "the artifact has no variant '%.64s'", target);
  return Status::error(StatusCode::wrongCpu,
                       "this CPU cannot run the artifact: %s; compile it for "
                       "this CPU",
                       reasons);
}

/// The bytes of a variant's code segment, in place or in `copy`.
static Status codeBytes(const Source &source, const fb::Variant &variant,
                        const Allocator &allocator, Block &copy, const uint8_t *&bytes) {
  const fb::Segment &segment = *variant.code();
  if (source.inPlace()) {
    bytes = source.inPlace() + segment.offset();
    return {};
  }
  TERN_RETURN_IF_ERROR(copy.allocate(allocator, segment.size(), "kernel code"));
  TERN_RETURN_IF_ERROR(source.read(segment.offset(), copy.data(), segment.size()));
  bytes = copy.data();
  return {};
}

Status Model::loadCode(const LinkedCode &linked) {
  Block copy;
  const uint8_t *code = nullptr;
  TERN_RETURN_IF_ERROR(verifyCodeSegment(table, *chosen));
  TERN_RETURN_IF_ERROR(codeBytes(source, *chosen, memory, copy, code));
  TERN_RETURN_IF_ERROR(verifyVariant(table, *chosen, code));
  if (!linked.kernels)
    return Image::load(code, chosen->code()->size(), image);
  if (memcmp(linked.digest, chosen->code_digest()->bytes()->data(), Sha256::digestSize) != 0 ||
      linked.kernelCount != sizeOf(chosen->kernels()))
    return Status::error(StatusCode::invalidArgument,
                         "the linked kernels are not those of this artifact's variant '%.64s': "
                         "link the library that was compiled together with it",
                         chosen->target()->c_str());
  linkedKernels = linked.kernels;
  return {};
}

Status Model::markUsedUnits(Array<uint8_t> &used) const {
  TERN_RETURN_IF_ERROR(used.allocate(memory, sizeOf(table->units()), "the list of weight units"));
  for (uint32_t p = 0; p < sizeOf(chosen->plans()); ++p) {
    const fb::Plan &plan = *chosen->plans()->Get(p);
    for (uint32_t b = 0; b < sizeOf(plan.buffers()); ++b) {
      const fb::Buffer &buffer = *plan.buffers()->Get(b);
      if (buffer.space() == fb::MemorySpace::tensor)
        used[table->tensors()->Get(buffer.index())->unit()] = 1;
    }
  }
  return {};
}

Status Model::loadWeights(WeightsMode mode) {
  const uint32_t units = sizeOf(table->units());
  if (mode == WeightsMode::map && !source.inPlace())
    return Status::error(
        StatusCode::invalidArgument,
        "weights mode 'map' needs a file, or memory aligned to %zu bytes; use copy",
        blockAlignment);
  const bool copy =
      mode == WeightsMode::copy || (mode == WeightsMode::automatic && !source.inPlace());
  Array<uint8_t> used;
  TERN_RETURN_IF_ERROR(markUsedUnits(used));
  TERN_RETURN_IF_ERROR(unitData.allocate(memory, units, "the table of weight units"));

  CheckedSize copiedBytes;
  for (uint32_t i = 0; i < units; ++i) {
    const fb::Segment &segment = *table->units()->Get(i)->segment();
    measured.weightBytes += segment.size();
    if (!used[i])
      continue;
    if (copy) {
      copiedBytes = (copiedBytes + segment.size()).alignedTo(blockAlignment);
      measured.copiedWeightBytes += segment.size();
    } else if (source.inPlace()) {
      unitData[i] = source.inPlace() + segment.offset();
      measured.mappedWeightBytes += segment.size();
    }
  }
  if (!copy) {
    if (mode != WeightsMode::stream)
      source.adviseHugePages();
    return {};
  }
  TERN_RETURN_IF_ERROR(
      copiedWeights.allocate(memory, copiedBytes.value(), "a copy of the weights"));
  copiedWeights.adviseHugePages();
  uint8_t *destination = copiedWeights.data();
  for (uint32_t i = 0; i < units; ++i) {
    if (!used[i])
      continue;
    const fb::Segment &segment = *table->units()->Get(i)->segment();
    TERN_RETURN_IF_ERROR(source.read(segment.offset(), destination, segment.size()));
    unitData[i] = destination;
    destination += (segment.size() + blockAlignment - 1) & ~uint64_t(blockAlignment - 1);
  }
  return {};
}

Status Model::prepareStream(uint64_t budget) {
  const fb::Plan *forward = plan("forward");
  if (!forward)
    return Status::error(StatusCode::unsupported,
                         "weights mode 'stream' is for language models; use auto, map or copy");
  TERN_RETURN_IF_ERROR(
      layout.compute(*table, *forward, source.inPlace() != nullptr, budget, memory));
  TERN_RETURN_IF_ERROR(source.keepDescriptor());
  streams = true;
  measured.mappedWeightBytes = 0;
  uint64_t streamed = 0;
  for (uint32_t i = 0; i < layout.unitCount(); ++i) {
    const StreamLayout::Unit &unit = layout.unit(i);
    const uint64_t size = table->units()->Get(i)->segment()->size();
    if (unit.usedInPlace && unit.place != StreamLayout::Place::kept)
      measured.mappedWeightBytes += size;
    if (unit.place == StreamLayout::Place::streamed)
      streamed += size;
  }
  logger.info("weights: %" PRIu64 " bytes kept in a session, %" PRIu64
              " pass through %u buffers of %" PRIu64,
              layout.keptBytes(), streamed, StreamLayout::buffers, layout.bufferBytes());
  return {};
}

void Model::measure() {
  for (uint32_t i = 0; i < sizeOf(table->kv_caches()); ++i) {
    const fb::KvCache &cache = *table->kv_caches()->Get(i);
    measured.kvBytesPerToken +=
        (cache.key_block_bytes() + cache.value_block_bytes()) / blockPositions;
  }
  const fb::Plan *forward = plan("forward");
  for (uint32_t c = 0; forward && c < sizeOf(forward->commands()); ++c) {
    const fb::CallCommand *call = forward->commands()->Get(c)->op_as_CallCommand();
    if (!call || !call->buffers())
      continue;
    if (const fb::Extent *read = chosen->kernels()->Get(call->kernel())->weight_bytes()) {
      measured.weightBytesPerToken += evaluate(*read, 1, 1).value();
      continue;
    }
    for (uint32_t index : *call->buffers())
      if (const fb::Buffer &buffer = *forward->buffers()->Get(index);
          buffer.space() == fb::MemorySpace::tensor)
        measured.weightBytesPerToken += evaluate(*buffer.extent(), 1, 1).value();
  }
}

Status Model::load(Source source, const ModelOptions &options, const Allocator &allocator,
                   const Log &log, Model &result) {
  result.memory = allocator;
  result.logger = log;
  result.source = std::move(source);
  TERN_RETURN_IF_ERROR(ArtifactTable::open(result.source, allocator, result.table));
  TERN_RETURN_IF_ERROR(verifyShared(result.table));
  TERN_RETURN_IF_ERROR(
      result.chooseVariant(options.linked.kernels ? options.linked.target : options.target));
  TERN_RETURN_IF_ERROR(result.loadCode(options.linked));
  TERN_RETURN_IF_ERROR(result.loadWeights(options.weights));
  if (options.weights == WeightsMode::stream)
    TERN_RETURN_IF_ERROR(result.prepareStream(options.streamBytes));
  else
    result.source.closeDescriptor();
  result.measure();
  log.info("variant %s, %" PRIu64 " bytes of weights mapped, %" PRIu64 " copied",
           result.chosen->target()->c_str(), result.measured.mappedWeightBytes,
           result.measured.copiedWeightBytes);
  return {};
}

const fb::Plan *Model::plan(const char *function) const {
  return findPlan(*table, *chosen, function);
}

TernKernelFunction Model::kernel(uint32_t index) const {
  if (linkedKernels)
    return linkedKernels[index];
  const void *code = image.at(chosen->kernels()->Get(index)->entry());
  TernKernelFunction function;
  static_assert(sizeof(function) == sizeof(code));
  memcpy(&function, &code, sizeof(function));
  return function;
}

const uint8_t *Model::tensorData(uint32_t index) const {
  const fb::Tensor &tensor = *table->tensors()->Get(index);
  return unitData[tensor.unit()] + tensor.offset();
}

void Model::prefetchUnit(uint32_t index) const {
  if (!source.isFileMapping() || !unitData[index] || copiedWeights.data())
    return;
  const fb::Segment &segment = *table->units()->Get(index)->segment();
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(unitData[index]) & ~(page - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(unitData[index]) + segment.size();
  if (end == begin)
    return;
  // Walking the page cache for pages that are there costs milliseconds on a large model.
  unsigned char resident = 0;
  const uintptr_t last = (end - 1) & ~(page - 1);
  if (mincore(reinterpret_cast<void *>(last), page, &resident) == 0 && (resident & 1))
    return;
  (void)madvise(reinterpret_cast<void *>(begin), end - begin, MADV_WILLNEED);
}

/// Reads a unit piece by piece and compares it with its digest. `keep`: the pieces follow each
/// other in `destination`; else each replaces the one before.
static Status readChecked(const Source &source, const fb::WeightUnit &unit, uint8_t *destination,
                          bool keep) {
  Sha256 hash;
  const fb::Segment &segment = *unit.segment();
  for (uint64_t done = 0; done < segment.size();) {
    const uint64_t rest = segment.size() - done;
    const uint64_t count = rest < readPiece ? rest : readPiece;
    uint8_t *piece = destination + (keep ? done : 0);
    TERN_RETURN_IF_ERROR(source.read(segment.offset() + done, piece, count));
    hash.update(piece, count);
    done += count;
  }
  uint8_t digest[Sha256::digestSize];
  hash.finish(digest);
  if (memcmp(digest, unit.digest()->bytes()->data(), sizeof(digest)) != 0)
    return Status::error(StatusCode::invalidArtifact,
                         "weight unit '%.64s' does not match its digest; the file is damaged",
                         unit.name()->c_str());
  return {};
}

Status Model::readUnit(uint32_t index, uint8_t *destination) const {
  return readChecked(source, *table->units()->Get(index), destination, true);
}

Status tern::runtime::verifyArtifact(const Source &source, const Allocator &allocator,
                                     ArtifactTable &table) {
  TERN_RETURN_IF_ERROR(ArtifactTable::open(source, allocator, table));
  TERN_RETURN_IF_ERROR(verifyShared(table));
  for (const fb::Variant *variant : *table->variants()) {
    Block copy;
    const uint8_t *code = nullptr;
    TERN_RETURN_IF_ERROR(verifyCodeSegment(table, *variant));
    TERN_RETURN_IF_ERROR(codeBytes(source, *variant, allocator, copy, code));
    TERN_RETURN_IF_ERROR(verifyVariant(table, *variant, code));
  }
  Block buffer;
  TERN_RETURN_IF_ERROR(buffer.allocate(allocator, readPiece, "reading weights"));
  for (uint32_t i = 0; i < sizeOf(table->units()); ++i)
    TERN_RETURN_IF_ERROR(
        readChecked(source, *table->units()->Get(i), buffer.data(), /*keep=*/false));
  return {};
}
