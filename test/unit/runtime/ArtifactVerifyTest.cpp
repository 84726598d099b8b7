// Each number of an artifact that a hostile author could get wrong, with digests that match: the
// loader says what is the matter and never gets as far as running anything.
#include "runtime/core/Model.h"
#include "test/unit/runtime/ToyArtifact.h"

#include <functional>
#include <gtest/gtest.h>
#include <string>

using namespace tern;
using namespace tern::runtime;
using namespace tern::test;

static Status load(const AlignedBytes &file, ModelOptions options = {}) {
  Model model;
  return Model::load(Source::fromMemory(file.data(), file.size()), options, {}, {}, model);
}

static Status verify(const AlignedBytes &file) {
  ArtifactTable table;
  return verifyArtifact(Source::fromMemory(file.data(), file.size()), {}, table);
}

static fb::CallCommandT *call(ToyArtifact &toy, int number) {
  for (auto &command : toy.plan().commands)
    if (auto *found = command->op.AsCallCommand())
      if (number-- == 0)
        return found;
  return nullptr;
}
static fb::CopyCommandT *copyCommand(ToyArtifact &toy) {
  for (auto &command : toy.plan().commands)
    if (auto *found = command->op.AsCopyCommand())
      return found;
  return nullptr;
}
static fb::BufferT &buffer(ToyArtifact &toy, const char *name) {
  return *toy.plan().buffers[toy.buffer(name)];
}
template <typename T> static void addCommand(ToyArtifact &toy, T operation) {
  auto command = std::make_unique<fb::CommandT>();
  command->op.Set(std::move(operation));
  toy.plan().commands.push_back(std::move(command));
}
static std::unique_ptr<fb::Extent> extent(uint64_t constant, uint64_t perToken = 0,
                                          uint64_t perWanted = 0) {
  return std::make_unique<fb::Extent>(constant, perToken, perWanted);
}

/// Lets the mixing kernel be called block by block, and write a part of the cache that it reads.
static void writeCacheInBlocks(ToyArtifact &toy, fb::MemorySpace space, fb::AccessKind access) {
  fb::KernelT &kernel = *toy.variant().kernels[2];
  kernel.scratch_bytes = 0;
  kernel.partial_bytes = 64;
  for (auto &argument : kernel.arguments)
    if (argument->space_hint == space)
      argument->access = access;
}

TEST(Artifact, LoadsWhenIntact) {
  const AlignedBytes file = ToyArtifact().write();
  const Status status = load(file);
  EXPECT_TRUE(status.isOk()) << status.message();
  const Status verified = verify(file);
  EXPECT_TRUE(verified.isOk()) << verified.message();
}

namespace {
struct Case {
  const char *name;
  StatusCode code;
  const char *message; ///< part of the error
  std::function<void(ToyArtifact &)> damage;
};
} // namespace

class HostileRecord : public testing::TestWithParam<Case> {};

static constexpr auto invalid = StatusCode::invalidArtifact;
static constexpr auto unsupported = StatusCode::unsupported;
static constexpr uint64_t huge = UINT64_MAX;

static const Case cases[] = {
    {"NewerReader", unsupported, "update the runtime", [](auto &t) { t.table.minimum_reader = 3; }},
    {"PartialBytesOfAKernelWithoutKeys", invalid, "partial results",
     [](auto &t) { t.variant().kernels[0]->partial_bytes = 64; }},
    {"PartialBytesMisaligned", invalid, "partial results",
     [](auto &t) {
       t.variant().kernels[2]->scratch_bytes = 0;
       t.variant().kernels[2]->partial_bytes = 65;
     }},
    {"PartialBytesBesideScratch", invalid, "partial results",
     [](auto &t) { t.variant().kernels[2]->partial_bytes = 64; }},
    {"PartialBytesOfAKernelThatWritesKeys", invalid, "only read",
     [](auto &t) { writeCacheInBlocks(t, fb::MemorySpace::kv_key, fb::AccessKind::write); }},
    {"PartialBytesOfAKernelThatWritesValues", invalid, "only read",
     [](auto &t) { writeCacheInBlocks(t, fb::MemorySpace::kv_value, fb::AccessKind::read_write); }},
    {"TokensAsPositions", invalid, "argument 0 of kernel 'toy_mix' must be input 1",
     [](auto &t) { call(t, 2)->buffers[0] = t.buffer("tokens"); }},
    {"SlotsAsPositions", invalid, "argument 0 of kernel 'toy_mix' must be input 1",
     [](auto &t) { std::swap(call(t, 2)->buffers[0], call(t, 2)->buffers[1]); }},
    {"PositionsAsSlots", invalid, "argument 1 of kernel 'toy_mix' must be input 2",
     [](auto &t) { call(t, 2)->buffers[1] = t.buffer("positions"); }},
    {"ArenaAsPositions", invalid, "argument 0 of kernel 'toy_mix' must be input 1",
     [](auto &t) { call(t, 2)->buffers[0] = t.buffer("embedded"); }},
    {"ArenaAsSlots", invalid, "argument 1 of kernel 'toy_mix' must be input 2",
     [](auto &t) { call(t, 2)->buffers[1] = t.buffer("embedded"); }},
    {"ArenaAsTokens", invalid, "argument 0 of kernel 'toy_embed' must be input 0",
     [](auto &t) { call(t, 0)->buffers[0] = t.buffer("mixed"); }},
    {"PositionsAsTokens", invalid, "argument 0 of kernel 'toy_embed' must be input 0",
     [](auto &t) { call(t, 0)->buffers[0] = t.buffer("positions"); }},
    {"TokensAsWantedRows", invalid, "argument 1 of kernel 'toy_logits' must be input 3",
     [](auto &t) { call(t, 3)->buffers[1] = t.buffer("tokens"); }},
    {"ArenaAsWantedRows", invalid, "argument 1 of kernel 'toy_logits' must be input 3",
     [](auto &t) { call(t, 3)->buffers[1] = t.buffer("mixed"); }},
    {"InputOfTheFuture", invalid, "argument 0 of kernel 'toy_embed' must be input 200",
     [](auto &t) { t.variant().kernels[0]->arguments[0]->input = fb::InputKind(200); }},
    {"WindowOfAnotherCache", invalid, "attends to a window of 96 positions, its KV cache has 32",
     [](auto &t) {
       t.variant().kernels[2]->scratch_bytes = 0;
       t.variant().kernels[2]->partial_bytes = 64;
       t.variant().kernels[2]->window = 96;
       t.table.kv_caches[0]->window = 32;
     }},
    {"FileSize", invalid, "truncated", [](auto &t) { t.table.file_size = 12345; }},
    {"NoBatch", invalid, "max_batch", [](auto &t) { t.table.max_batch = 0; }},
    {"HugeBatch", invalid, "max_batch", [](auto &t) { t.table.max_batch = 513; }},
    {"HugeWanted", invalid, "max_wanted", [](auto &t) { t.table.max_wanted = 513; }},
    {"NoWanted", invalid, "max_wanted", [](auto &t) { t.table.max_wanted = 0; }},
    {"NoVocabulary", invalid, "vocabulary_size", [](auto &t) { t.table.vocabulary_size = 0; }},
    {"HugeContext", invalid, "context_length", [](auto &t) { t.table.context_length = (1u << 24) + 1; }},
    {"KvBlock", unsupported, "KV blocks", [](auto &t) { t.table.kv_block_positions = 32; }},
    {"NoFunction", invalid, "no function", [](auto &t) { t.table.functions.clear(); }},
    {"NoOutput", invalid, "outputs", [](auto &t) { t.table.functions[0]->outputs.clear(); }},
    {"OutputName", invalid, "logits",
     [](auto &t) { t.table.functions[0]->outputs[0]->name = "hidden"; }},
    {"OutputType", invalid, "logits",
     [](auto &t) { t.table.functions[0]->outputs[0]->type = fb::ElementType::f16; }},
    {"OutputShape", invalid, "logits",
     [](auto &t) { t.table.functions[0]->outputs[0]->shape[1]->constant = 7; }},
    {"KvType", unsupported, "element type",
     [](auto &t) { t.table.kv_caches[0]->type = fb::ElementType::u8; }},
    {"KvWithoutRoomForScales", invalid, "KV cache 0",
     [](auto &t) {
       t.table.kv_caches[0]->type = fb::ElementType::i8;
       t.table.kv_caches[0]->head_size = t.table.kv_caches[0]->value_size = TOY_WIDTH * 4;
     }},
    {"KvBlockBytes", invalid, "KV cache 0",
     [](auto &t) { t.table.kv_caches[0]->key_block_bytes += 64; }},
    {"KvOverflow", invalid, "KV cache 0",
     [](auto &t) {
       t.table.kv_caches[0]->kv_heads = 1u << 31;
       t.table.kv_caches[0]->head_size = 1u << 31;
     }},
    {"KvEmpty", invalid, "KV cache 0",
     [](auto &t) {
       t.table.kv_caches[0]->kv_heads = 0;
       t.table.kv_caches[0]->key_block_bytes = t.table.kv_caches[0]->value_block_bytes = 0;
     }},
    {"UnitOffset", invalid, "segment",
     [](auto &t) { t.table.units[0]->segment = std::make_unique<fb::Segment>(huge - 16383, 64); }},
    {"UnitSize", invalid, "segment",
     [](auto &t) { t.table.units[0]->segment = std::make_unique<fb::Segment>(16384, huge); }},
    {"UnitInTable", invalid, "segment",
     [](auto &t) { t.table.units[0]->segment = std::make_unique<fb::Segment>(0, 64); }},
    {"UnitMisaligned", invalid, "segment",
     [](auto &t) { t.table.units[0]->segment = std::make_unique<fb::Segment>(16385, 64); }},
    {"UnitsOverlap", invalid, "overlaps",
     [](auto &t) {
       t.table.units.push_back(std::make_unique<fb::WeightUnitT>());
       t.table.units[1]->name = "again";
       t.table.units[1]->segment = std::make_unique<fb::Segment>(16384, 64);
       t.weights.push_back({});
     }},
    {"TensorUnit", invalid, "unit 1 of 1", [](auto &t) { t.table.tensors[0]->unit = 1; }},
    {"TensorOffset", invalid, "misaligned or outside",
     [](auto &t) { t.table.tensors[0]->offset = huge - 63; }},
    {"TensorMisaligned", invalid, "misaligned or outside",
     [](auto &t) {
       t.table.tensors[0]->offset = 4;
       t.table.tensors[0]->size -= 4;
     }},
    {"TensorSize", invalid, "misaligned or outside", [](auto &t) { t.table.tensors[0]->size++; }},
    {"TensorShape", invalid, "overflows",
     [](auto &t) { t.table.tensors[0]->shape = {uint64_t(1) << 40, uint64_t(1) << 40}; }},
    {"TensorRank", invalid, "dimensions", [](auto &t) { t.table.tensors[0]->shape.resize(9, 1); }},
    {"NoVariant", invalid, "no variant",
     [](auto &t) {
       t.table.variants.clear();
       t.images.clear();
     }},
    {"CodeSegment", invalid, "segment",
     [](auto &t) { t.variant().code = std::make_unique<fb::Segment>(1 << 30, 64); }},
    {"CodeDigest", invalid, "digest",
     [](auto &t) { t.variant().code_digest = std::make_unique<fb::Digest>(); }},
    {"CodeNotElf", invalid, "ELF", [](auto &t) { t.images[0].assign(1000, 0); }},
    {"EntryInData", invalid, "executable", [](auto &t) { t.variant().kernels[0]->entry = 8; }},
    {"EntryFar", invalid, "executable", [](auto &t) { t.variant().kernels[0]->entry = huge; }},
    {"TasksMissing", invalid, "tasks", [](auto &t) { t.variant().kernels[0]->tasks = nullptr; }},
    {"TasksMany", invalid, "tasks",
     [](auto &t) { t.variant().kernels[0]->tasks = extent(uint64_t(1) << 31); }},
    {"TasksOverflow", invalid, "tasks",
     [](auto &t) { t.variant().kernels[0]->tasks = extent(0, huge / 2); }},
    {"ArgumentExtentMissing", invalid, "extent",
     [](auto &t) { t.variant().kernels[0]->arguments[0]->extent = nullptr; }},
    {"ArgumentExtentOverflow", invalid, "extent",
     [](auto &t) { t.variant().kernels[0]->arguments[0]->extent = extent(8, huge / 8); }},
    {"ArgumentExtentLarger", invalid, "offers",
     [](auto &t) { t.variant().kernels[0]->arguments[0]->extent = extent(1, 4); }},
    {"ArgumentPerWantedLarger", invalid, "offers",
     [](auto &t) { t.variant().kernels[3]->arguments[3]->extent = extent(0, 0, 4096); }},
    {"ArgumentAccess", invalid, "access",
     [](auto &t) { t.variant().kernels[0]->arguments[0]->access = fb::AccessKind(17); }},
    {"WriteTensor", invalid, "read-only",
     [](auto &t) { t.variant().kernels[0]->arguments[1]->access = fb::AccessKind::write; }},
    {"WriteInput", invalid, "read-only",
     [](auto &t) { t.variant().kernels[0]->arguments[0]->access = fb::AccessKind::read_write; }},
    {"WriteBlockTable", invalid, "read-only",
     [](auto &t) { t.variant().kernels[1]->arguments[3]->access = fb::AccessKind::write; }},
    {"CallKernel", invalid, "kernel 99", [](auto &t) { call(t, 0)->kernel = 99; }},
    {"CallBuffer", invalid, "buffer 99", [](auto &t) { call(t, 0)->buffers[0] = 99; }},
    {"CallTooFewBuffers", invalid, "2 buffers", [](auto &t) { call(t, 0)->buffers.pop_back(); }},
    {"KvWhereArenaIsMeant", invalid, "spaces differ",
     [](auto &t) { call(t, 0)->buffers[2] = t.buffer("keys"); }},
    {"ArenaWhereKvIsMeant", invalid, "spaces differ",
     [](auto &t) { call(t, 1)->buffers[4] = t.buffer("embedded"); }},
    {"KvOfAnotherShape", invalid, "offers",
     [](auto &t) { t.variant().kernels[1]->arguments[4]->extent = extent(64); }},
    {"BufferExtentMissing", invalid, "extent",
     [](auto &t) { buffer(t, "mixed").extent = nullptr; }},
    {"BufferExtentOverflow", invalid, "extent",
     [](auto &t) { buffer(t, "mixed").extent = extent(huge, 1); }},
    {"BufferPastArena", invalid, "outside", [](auto &t) { buffer(t, "moved").offset += 64; }},
    {"BufferOffsetOverflow", invalid, "outside",
     [](auto &t) { buffer(t, "moved").offset = huge - 63; }},
    {"BufferMisaligned", invalid, "misaligned", [](auto &t) { buffer(t, "embedded").offset = 4; }},
    {"ArenaSmaller", invalid, "outside", [](auto &t) { t.plan().arena_bytes -= 1; }},
    {"BufferSpace", unsupported, "memory space",
     [](auto &t) { buffer(t, "moved").space = fb::MemorySpace(200); }},
    {"BufferTensor", invalid, "index 7", [](auto &t) { buffer(t, "table").index = 7; }},
    {"BufferPastTensor", invalid, "outside",
     [](auto &t) { buffer(t, "table").extent = extent(1 << 20); }},
    {"BufferInputKind", invalid, "index 4", [](auto &t) { buffer(t, "tokens").index = 4; }},
    {"BufferPastInput", invalid, "outside",
     [](auto &t) { buffer(t, "tokens").extent = extent(4, 4); }},
    {"BufferPastWanted", invalid, "outside",
     [](auto &t) { buffer(t, "wanted").extent = extent(0, 4); }},
    {"BufferKvIndex", invalid, "index 1", [](auto &t) { buffer(t, "keys").index = 1; }},
    {"BufferTableIndex", invalid, "index 1", [](auto &t) { buffer(t, "blocks").index = 1; }},
    {"TableOfAnotherCache", invalid, "parts of KV caches 1 and 0",
     [](auto &t) {
       t.table.block_table_by_cache = true;
       t.table.kv_caches.push_back(std::make_unique<fb::KvCacheT>(*t.table.kv_caches[0]));
       buffer(t, "blocks").index = 1;
     }},
    {"BufferKvOffset", invalid, "outside", [](auto &t) { buffer(t, "keys").offset = 64; }},
    {"BufferKvExtent", invalid, "one KV block",
     [](auto &t) { buffer(t, "keys").extent = extent(64); }},
    {"BufferPastBlockTable", invalid, "outside",
     [](auto &t) { buffer(t, "blocks").extent = extent(400); }},
    {"BufferBlockTableExtent", invalid, "block table entry",
     [](auto &t) { buffer(t, "blocks").extent = extent(0); }},
    {"BufferInputOffset", invalid, "outside", [](auto &t) { buffer(t, "tokens").offset = 64; }},
    {"BufferOutputOffset", invalid, "outside", [](auto &t) { buffer(t, "logits").offset = 64; }},
    {"BufferOutput", invalid, "index 3", [](auto &t) { buffer(t, "logits").index = 3; }},
    {"TwoBuffersOfAnOutput", invalid, "two buffers",
     [](auto &t) {
       t.plan().buffers.push_back(std::make_unique<fb::BufferT>());
       t.plan().buffers.back()->space = fb::MemorySpace::output;
       t.plan().buffers.back()->extent = extent(64);
     }},
    {"LogitsRowTooShort", invalid, "logits",
     [](auto &t) {
       buffer(t, "logits").extent = extent(0, 0, 4 * (TOY_VOCABULARY - 1));
       t.variant().kernels[3]->arguments[3]->extent = extent(0, 0, 4);
     }},
    {"LogitsRowOdd", invalid, "logits",
     [](auto &t) {
       buffer(t, "logits").extent = extent(0, 0, 4 * TOY_VOCABULARY + 2);
       t.variant().kernels[3]->arguments[3]->extent = extent(0, 0, 4);
     }},
    {"LogitsMissing", invalid, "logits",
     [](auto &t) {
       call(t, 3)->buffers[3] = t.buffer("mixed");
       t.variant().kernels[3]->arguments[3]->extent = extent(4);
       t.plan().buffers.pop_back();
     }},
    {"PlanFunction", invalid, "function 5", [](auto &t) { t.plan().function = 5; }},
    {"CopyBuffer", invalid, "copy", [](auto &t) { copyCommand(t)->source = 99; }},
    {"CopySize", invalid, "copy",
     [](auto &t) { copyCommand(t)->bytes = extent(uint64_t(1) << 20); }},
    {"CopySizeMissing", invalid, "copy", [](auto &t) { copyCommand(t)->bytes = nullptr; }},
    {"CopyIntoTensor", invalid, "copy",
     [](auto &t) { copyCommand(t)->destination = t.buffer("table"); }},
    {"CopyFromKv", invalid, "copy", [](auto &t) { copyCommand(t)->source = t.buffer("keys"); }},
    {"FetchUnit", invalid, "weight unit 4",
     [](auto &t) {
       fb::FetchCommandT fetch;
       fetch.unit = 4;
       addCommand(t, fetch);
     }},
    {"ReleaseUnit", invalid, "weight unit 4",
     [](auto &t) {
       fb::ReleaseCommandT release;
       release.unit = 4;
       addCommand(t, release);
     }},
    {"FetchIndexed", unsupported, "FetchIndexedCommand",
     [](auto &t) { addCommand(t, fb::FetchIndexedCommandT()); }},
    {"Collective", unsupported, "CollectiveCommand",
     [](auto &t) { addCommand(t, fb::CollectiveCommandT()); }},
    {"DeviceSync", unsupported, "DeviceSyncCommand",
     [](auto &t) { addCommand(t, fb::DeviceSyncCommandT()); }},
    {"EmptyCommand", invalid, "empty",
     [](auto &t) { t.plan().commands.push_back(std::make_unique<fb::CommandT>()); }},
};

TEST_P(HostileRecord, IsRefusedWithItsReason) {
  ToyArtifact toy;
  GetParam().damage(toy);
  const Status status = load(toy.write());
  EXPECT_EQ(status.code(), GetParam().code) << status.message();
  EXPECT_NE(std::string(status.message()).find(GetParam().message), std::string::npos)
      << status.message();
}

INSTANTIATE_TEST_SUITE_P(Artifact, HostileRecord, testing::ValuesIn(cases),
                         [](const auto &info) { return info.param.name; });

TEST(Artifact, TakesTheFirstVariantThatRuns) {
  ToyArtifact toy;
  fb::VariantT &only = toy.variant();
  auto better = std::make_unique<fb::VariantT>(only);
  better->target = only.target + "-better";
  better->features.push_back("feature-of-the-future");
  auto foreign = std::make_unique<fb::VariantT>(only);
  foreign->target = "riscv64-toy";
  toy.table.variants.insert(toy.table.variants.begin(), std::move(better));
  toy.table.variants.insert(toy.table.variants.begin(), std::move(foreign));
  toy.images.resize(3, toyImage());
  const AlignedBytes file = toy.write();
  Model model;
  const Status status =
      Model::load(Source::fromMemory(file.data(), file.size()), {}, {}, {}, model);
  ASSERT_TRUE(status.isOk()) << status.message();
  EXPECT_EQ(model.variant().target()->str(), toy.table.variants[2]->target);
}

TEST(Artifact, SaysWhatTheCpuLacks) {
  ToyArtifact toy;
  toy.variant().features = {"sse2", "feature-of-the-future", "another"};
  const AlignedBytes file = toy.write();
  const Status status = load(file);
  EXPECT_EQ(status.code(), StatusCode::wrongCpu);
  EXPECT_NE(std::string(status.message()).find("feature-of-the-future, another"), std::string::npos)
      << status.message();
  ModelOptions options;
  options.target = "no-such-target";
  EXPECT_EQ(load(file, options).code(), StatusCode::notFound);
}

TEST(Artifact, ReadsUnitsDamageOnlyWhenVerifying) {
  AlignedBytes file = ToyArtifact().write();
  const ToyArtifact layout;
  // The weight unit is the first segment.
  file[runtime::segmentAlignment + 100] ^= 1;
  EXPECT_TRUE(load(file).isOk()) << "weights are not read at load";
  const Status status = verify(file);
  EXPECT_EQ(status.code(), invalid);
  EXPECT_NE(std::string(status.message()).find("weight unit 'all'"), std::string::npos);
}

TEST(Artifact, LoadsFromEverySource) {
  const AlignedBytes file = ToyArtifact().write();
  const auto readMemory = [](void *context, uint64_t offset, size_t size, void *destination) {
    const auto &bytes = *static_cast<const AlignedBytes *>(context);
    std::copy(bytes.data() + offset, bytes.data() + offset + size,
              static_cast<uint8_t *>(destination));
    return 0;
  };
  for (WeightsMode mode : {WeightsMode::automatic, WeightsMode::map, WeightsMode::copy}) {
    ModelOptions options;
    options.weights = mode;
    const std::vector<float> expected = toyTable();
    const auto expectLoads = [&](Source source, bool canMap) {
      Model model;
      const Status status = Model::load(std::move(source), options, {}, {}, model);
      if (mode == WeightsMode::map && !canMap) {
        EXPECT_EQ(status.code(), StatusCode::invalidArgument);
        return;
      }
      ASSERT_TRUE(status.isOk()) << status.message();
      EXPECT_EQ(memcmp(model.tensorData(0), expected.data(), expected.size() * sizeof(float)), 0);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(model.tensorData(0)) % 64, 0u);
      const bool copied = mode == WeightsMode::copy || !canMap;
      EXPECT_EQ(model.figures().copiedWeightBytes != 0, copied);
      EXPECT_EQ(model.figures().mappedWeightBytes != 0, !copied);
    };
    expectLoads(Source::fromMemory(file.data(), file.size()), true);
    AlignedBytes shifted(file.size() + 1);
    std::copy(file.data(), file.data() + file.size(), shifted.data() + 1);
    expectLoads(Source::fromMemory(shifted.data() + 1, file.size()), false);
    expectLoads(Source::fromCallback(readMemory, const_cast<AlignedBytes *>(&file), file.size()),
                false);
    for (size_t offset : {0, 4096, 64, 100}) {
      FILE *stream = tmpfile();
      ASSERT_NE(stream, nullptr);
      const std::vector<uint8_t> before(offset, 0xEE);
      fwrite(before.data(), 1, offset, stream);
      fwrite(file.data(), 1, file.size(), stream);
      fwrite("tail", 1, 4, stream);
      fflush(stream);
      Source source;
      ASSERT_TRUE(Source::openDescriptor(fileno(stream), offset, file.size(), source).isOk());
      expectLoads(std::move(source), offset % 64 == 0);
      EXPECT_FALSE(Source::openDescriptor(fileno(stream), offset, file.size() + 5, source).isOk());
      EXPECT_FALSE(Source::openDescriptor(fileno(stream), huge, huge, source).isOk());
      fclose(stream);
    }
  }
}
