#include "test/unit/runtime/ToyArtifact.h"

#include "runtime/core/Artifact.h"
#include "runtime/core/Sha256.h"

#include <cstring>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <stdexcept>

using namespace tern;
using namespace tern::test;

std::vector<float> tern::test::toyTable() {
  std::vector<float> table(TOY_VOCABULARY * TOY_WIDTH);
  uint32_t state = 12345;
  for (float &x : table) {
    state = state * 1664525 + 1013904223;
    x = float(int32_t(state >> 8) - (1 << 23)) / float(1 << 23);
  }
  return table;
}

const std::vector<uint8_t> &tern::test::toyImage() {
  static const std::vector<uint8_t> image = [] {
    std::ifstream file(TOY_KERNEL_IMAGE, std::ios::binary);
    return std::vector<uint8_t>(std::istreambuf_iterator<char>(file), {});
  }();
  if (image.empty())
    throw std::runtime_error("cannot read the toy kernels' image");
  return image;
}

uint64_t tern::test::imageSymbol(const std::vector<uint8_t> &image, const std::string &name) {
  const auto at = [&](uint64_t offset) { return image.data() + offset; };
  const auto *header = reinterpret_cast<const Elf64_Ehdr *>(at(0));
  const auto *programs = reinterpret_cast<const Elf64_Phdr *>(at(header->e_phoff));
  uint64_t symbols = 0, strings = 0;
  for (int i = 0; i < header->e_phnum; ++i)
    if (programs[i].p_type == PT_DYNAMIC)
      for (auto *d = reinterpret_cast<const Elf64_Dyn *>(at(programs[i].p_offset)); d->d_tag; ++d) {
        if (d->d_tag == DT_SYMTAB)
          symbols = d->d_un.d_ptr; // the first segment is loaded at its file offset
        if (d->d_tag == DT_STRTAB)
          strings = d->d_un.d_ptr;
      }
  for (auto *s = reinterpret_cast<const Elf64_Sym *>(at(symbols));
       reinterpret_cast<const uint8_t *>(s) < at(strings); ++s)
    if (name == reinterpret_cast<const char *>(at(strings + s->st_name)))
      return s->st_value;
  throw std::runtime_error("the image has no symbol " + name);
}

namespace {
std::unique_ptr<fb::Extent> extent(uint64_t constant, uint64_t perToken = 0,
                                   uint64_t perWanted = 0) {
  return std::make_unique<fb::Extent>(constant, perToken, perWanted);
}

struct ArgumentSpec {
  const char *buffer;
  fb::AccessKind access;
};
} // namespace

static constexpr uint64_t rowBytes = TOY_WIDTH * sizeof(float);
static constexpr uint64_t blockBytes = 64 * rowBytes;
static constexpr uint64_t tableBytes = TOY_VOCABULARY * rowBytes;

static void addBuffer(fb::PlanT &plan, const char *name, fb::MemorySpace space, uint32_t index,
                      uint64_t offset, std::unique_ptr<fb::Extent> size) {
  auto buffer = std::make_unique<fb::BufferT>();
  buffer->name = name;
  buffer->space = space;
  buffer->index = index;
  buffer->offset = offset;
  buffer->extent = std::move(size);
  plan.buffers.push_back(std::move(buffer));
}

static void addBuffers(fb::PlanT &plan) {
  using Space = fb::MemorySpace;
  const auto input = [](fb::InputKind kind) { return uint32_t(kind); };
  addBuffer(plan, "tokens", Space::input, input(fb::InputKind::tokens), 0, extent(0, 4));
  addBuffer(plan, "positions", Space::input, input(fb::InputKind::positions), 0, extent(0, 4));
  addBuffer(plan, "slots", Space::input, input(fb::InputKind::slots), 0, extent(0, 4));
  addBuffer(plan, "wanted", Space::input, input(fb::InputKind::wanted_rows), 0, extent(0, 0, 4));
  addBuffer(plan, "table", Space::tensor, 0, 0, extent(tableBytes));
  addBuffer(plan, "embedded", Space::arena, 0, 0, extent(0, rowBytes));
  addBuffer(plan, "mixed", Space::arena, 0, TOY_MAX_BATCH * rowBytes, extent(0, rowBytes));
  addBuffer(plan, "moved", Space::arena, 0, 2 * TOY_MAX_BATCH * rowBytes, extent(0, rowBytes));
  addBuffer(plan, "blocks", Space::block_table, 0, 0, extent(4));
  addBuffer(plan, "keys", Space::kv_key, 0, 0, extent(blockBytes));
  addBuffer(plan, "values", Space::kv_value, 0, 0, extent(blockBytes));
  addBuffer(plan, "logits", Space::output, 0, 0, extent(0, 0, TOY_LOGITS_STRIDE * sizeof(float)));
  plan.arena_bytes = 3 * TOY_MAX_BATCH * rowBytes;
  plan.arena_lower_bound = 2 * TOY_MAX_BATCH * rowBytes;
}

/// Adds a kernel whose arguments are exactly the buffers named, and a call of it.
static void addCall(ToyArtifact &toy, const char *name, std::unique_ptr<fb::Extent> tasks,
                    std::initializer_list<ArgumentSpec> arguments, uint64_t scratch = 0) {
  auto kernel = std::make_unique<fb::KernelT>();
  kernel->name = name;
  kernel->entry = imageSymbol(toy.images[0], name);
  kernel->tasks = std::move(tasks);
  kernel->scratch_bytes = scratch;
  fb::CallCommandT call;
  call.kernel = uint32_t(toy.variant().kernels.size());
  for (const ArgumentSpec &spec : arguments) {
    const uint32_t index = toy.buffer(spec.buffer);
    auto argument = std::make_unique<fb::KernelArgumentT>();
    argument->name = spec.buffer;
    argument->access = spec.access;
    argument->space_hint = toy.plan().buffers[index]->space;
    argument->extent = std::make_unique<fb::Extent>(*toy.plan().buffers[index]->extent);
    if (argument->space_hint == fb::MemorySpace::input)
      argument->input = fb::InputKind(toy.plan().buffers[index]->index);
    kernel->arguments.push_back(std::move(argument));
    call.buffers.push_back(index);
  }
  toy.variant().kernels.push_back(std::move(kernel));
  auto command = std::make_unique<fb::CommandT>();
  command->op.Set(std::move(call));
  toy.plan().commands.push_back(std::move(command));
}

static void addPlan(ToyArtifact &toy) {
  constexpr auto read = fb::AccessKind::read, write = fb::AccessKind::write,
                 readWrite = fb::AccessKind::read_write;
  addBuffers(toy.plan());
  auto fetch = std::make_unique<fb::CommandT>();
  fetch->op.Set(fb::FetchCommandT());
  toy.plan().commands.push_back(std::move(fetch));
  addCall(toy, "toy_embed", extent(0, 1), {{"tokens", read}, {"table", read}, {"embedded", write}});
  toy.variant().kernels.back()->weight_bytes = extent(0, rowBytes);
  // Through a copy, so that every kind of command is run.
  auto copy = std::make_unique<fb::CommandT>();
  fb::CopyCommandT operation;
  operation.source = toy.buffer("embedded");
  operation.destination = toy.buffer("moved");
  operation.bytes = extent(0, rowBytes);
  copy->op.Set(std::move(operation));
  toy.plan().commands.push_back(std::move(copy));
  addCall(toy, "toy_store", extent(0, 1),
          {{"moved", read},
           {"positions", read},
           {"slots", read},
           {"blocks", read},
           {"keys", readWrite},
           {"values", readWrite}});
  addCall(toy, "toy_mix", extent(0, 1),
          {{"positions", read},
           {"slots", read},
           {"blocks", read},
           {"keys", read},
           {"values", read},
           {"mixed", write}},
          rowBytes);
  addCall(toy, "toy_logits", extent(0, 0, 1),
          {{"mixed", read}, {"wanted", read}, {"table", read}, {"logits", write}});
  auto release = std::make_unique<fb::CommandT>();
  release->op.Set(fb::ReleaseCommandT());
  toy.plan().commands.push_back(std::move(release));
}

static std::unique_ptr<fb::FunctionT> forwardFunction() {
  auto dimension = [](uint64_t constant, const char *symbol, uint64_t bound) {
    auto result = std::make_unique<fb::DimensionT>();
    result->constant = constant;
    result->symbol = symbol;
    result->bound = bound;
    return result;
  };
  auto logits = std::make_unique<fb::ValueT>();
  logits->name = "logits";
  logits->type = fb::ElementType::f32;
  logits->shape.push_back(dimension(0, "R", TOY_MAX_WANTED));
  logits->shape.push_back(dimension(TOY_VOCABULARY, "", 0));
  auto function = std::make_unique<fb::FunctionT>();
  function->name = "forward";
  function->outputs.push_back(std::move(logits));
  return function;
}

ToyArtifact::ToyArtifact() {
  const std::vector<float> values = toyTable();
  weights.emplace_back(reinterpret_cast<const uint8_t *>(values.data()),
                       reinterpret_cast<const uint8_t *>(values.data() + values.size()));
  images.push_back(toyImage());

  table.max_batch = TOY_MAX_BATCH;
  table.max_wanted = TOY_MAX_WANTED;
  table.vocabulary_size = TOY_VOCABULARY;
  table.context_length = TOY_CONTEXT;
  table.functions.push_back(forwardFunction());
  auto entry = std::make_unique<fb::MetadataEntryT>();
  entry->key = "architecture";
  entry->value = "toy";
  table.metadata.push_back(std::move(entry));

  auto cache = std::make_unique<fb::KvCacheT>();
  cache->kv_heads = 1;
  cache->head_size = cache->value_size = TOY_WIDTH;
  cache->type = fb::ElementType::f32;
  cache->key_block_bytes = cache->value_block_bytes = blockBytes;
  table.kv_caches.push_back(std::move(cache));

  auto tensor = std::make_unique<fb::TensorT>();
  tensor->name = "table";
  tensor->shape = {TOY_VOCABULARY, TOY_WIDTH};
  tensor->size = tableBytes;
  table.tensors.push_back(std::move(tensor));
  auto unit = std::make_unique<fb::WeightUnitT>();
  unit->name = "all";
  table.units.push_back(std::move(unit));

  auto variantRecord = std::make_unique<fb::VariantT>();
#if defined(__x86_64__)
  variantRecord->target = "x86_64-toy";
  variantRecord->features = {"sse2"};
#else
  variantRecord->target = "aarch64-toy";
  variantRecord->features = {"neon"};
#endif
  variantRecord->plans.push_back(std::make_unique<fb::PlanT>());
  table.variants.push_back(std::move(variantRecord));
  addPlan(*this);
}

uint32_t ToyArtifact::buffer(const std::string &name) const {
  const auto &buffers = table.variants[0]->plans[0]->buffers;
  for (uint32_t i = 0; i < buffers.size(); ++i)
    if (buffers[i]->name == name)
      return i;
  throw std::runtime_error("the toy has no buffer " + name);
}

static std::unique_ptr<fb::Digest> digestOf(const std::vector<uint8_t> &bytes) {
  uint8_t digest[Sha256::digestSize];
  sha256(bytes.data(), bytes.size(), digest);
  return std::make_unique<fb::Digest>(
      flatbuffers::span<const uint8_t, sizeof(digest)>(digest, sizeof(digest)));
}

static flatbuffers::DetachedBuffer pack(const fb::ArtifactT &table) {
  flatbuffers::FlatBufferBuilder builder;
  fb::FinishSizePrefixedArtifactBuffer(builder, fb::Artifact::Pack(builder, &table));
  return builder.Release();
}

AlignedBytes ToyArtifact::write() {
  struct Placed {
    fb::Segment *segment;
    const std::vector<uint8_t> *bytes;
    bool keep;
  };
  std::vector<Placed> segments;
  const auto place = [&](std::unique_ptr<fb::Segment> &segment, std::unique_ptr<fb::Digest> &digest,
                         const std::vector<uint8_t> &bytes) {
    const bool keep = segment != nullptr;
    if (!segment)
      segment = std::make_unique<fb::Segment>(1, bytes.size());
    if (!digest)
      digest = digestOf(bytes);
    segments.push_back({segment.get(), &bytes, keep});
  };
  for (size_t i = 0; i < table.units.size(); ++i)
    place(table.units[i]->segment, table.units[i]->digest, weights.at(i));
  for (size_t i = 0; i < table.variants.size(); ++i)
    place(table.variants[i]->code, table.variants[i]->code_digest, images.at(i));
  const bool keepSize = table.file_size != 0;
  if (!keepSize)
    table.file_size = 1;

  // Structs and non-default scalars keep the table's size when their values change.
  const uint64_t tableEnd = pack(table).size() + Sha256::digestSize;
  const auto aligned = [](uint64_t offset) {
    return (offset + runtime::segmentAlignment - 1) & ~(runtime::segmentAlignment - 1);
  };
  uint64_t end = tableEnd;
  std::vector<uint64_t> offsets;
  for (Placed &placed : segments) {
    offsets.push_back(aligned(end));
    end = offsets.back() + placed.bytes->size();
    if (!placed.keep)
      *placed.segment = fb::Segment(offsets.back(), placed.bytes->size());
  }
  if (!keepSize)
    table.file_size = end;
  const flatbuffers::DetachedBuffer packed = pack(table);
  AlignedBytes file(end);
  std::fill(file.data(), file.data() + end, 0);
  std::copy(packed.data(), packed.data() + packed.size(), file.data());
  for (size_t i = 0; i < segments.size(); ++i)
    std::copy(segments[i].bytes->begin(), segments[i].bytes->end(), file.data() + offsets[i]);
  redigest(file);
  return file;
}

void tern::test::redigest(AlignedBytes &file) {
  const uint64_t size = 4 + uint64_t(flatbuffers::ReadScalar<uint32_t>(file.data()));
  if (size + Sha256::digestSize <= file.size())
    sha256(file.data(), size, file.data() + size);
}

std::vector<float> tern::test::referenceLogits(const std::vector<int32_t> &tokens) {
  const std::vector<float> table = toyTable();
  const auto embedded = [&](size_t q, int d) { return table[size_t(tokens[q]) * TOY_WIDTH + d]; };
  const size_t p = tokens.size() - 1;
  float mixed[TOY_WIDTH];
  for (int d = 0; d < TOY_WIDTH; ++d) {
    mixed[d] = embedded(p, d);
    for (size_t q = 0; q <= p; ++q)
      mixed[d] += embedded(q, d) / float(1 + p - q);
  }
  std::vector<float> logits(TOY_VOCABULARY);
  for (int v = 0; v < TOY_VOCABULARY; ++v) {
    float sum = 0;
    for (int d = 0; d < TOY_WIDTH; ++d)
      sum += mixed[d] * table[size_t(v) * TOY_WIDTH + d];
    logits[v] = sum;
  }
  return logits;
}

Runtime::Runtime(uint32_t threads) {
  tern_runtime_options options = TERN_RUNTIME_OPTIONS_INIT;
  options.threads = threads;
  if (tern_runtime_create(&options, &handle, nullptr) != TERN_OK)
    throw std::runtime_error("no runtime");
}

LoadedModel::LoadedModel(AlignedBytes bytes, const tern_model_options *options)
    : file(std::move(bytes)) {
  tern_model_load_memory(runtime.handle, file.data(), file.size(), options, &handle, &error);
}

ToySession::ToySession(tern_model *model, uint32_t slots, uint32_t context, uint32_t threads) {
  tern_session_options options = TERN_SESSION_OPTIONS_INIT;
  options.slots = slots;
  options.context = context;
  options.threads = threads;
  tern_session_create(model, &options, &handle, &error);
}
