// Which calls are split into blocks of positions, and how a kernel is called then. The bits are
// those of a single pass: test/unit/kernels/AttentionSplitTest.cpp, test/e2e/test_determinism.py.
#include "runtime/core/KernelABI.h"
#include "test/unit/runtime/ToyArtifact.h"

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <mutex>
#include <vector>

using namespace tern::test;

namespace {

/// One call of the kernel, by any worker.
struct Range {
  int32_t phase, blocks, first, last;
  const void *scratch;
};
std::mutex mutex;
std::vector<Range> ranges;

constexpr uint64_t partialBytes = 64;

/// Leaves its number in each partial result, and adds them up in the merge.
void recordingKernel(const TernArgs *args, int32_t first, int32_t last) {
  const int32_t phase = args->integers[TERN_INT_PHASE],
                blocks = args->integers[TERN_INT_TASK_BLOCKS];
  auto *partials = static_cast<uint8_t *>(args->scratch);
  for (int32_t task = first; task < last && phase == TERN_PHASE_BLOCKS; ++task)
    memset(partials + uint64_t(task) * partialBytes, task + 1, partialBytes);
  for (int32_t task = first; task < last && phase == TERN_PHASE_MERGE; ++task)
    for (int32_t block = task * blocks; block < (task + 1) * blocks; ++block)
      EXPECT_EQ(partials[uint64_t(block + 1) * partialBytes - 1], uint8_t(block + 1));
  const std::lock_guard<std::mutex> lock(mutex);
  ranges.push_back({phase, blocks, first, last, args->scratch});
}

void emptyKernel(const TernArgs *, int32_t, int32_t) {}

/// A toy whose attention can be split, run by kernels of the test.
class SplitToy {
public:
  /// `window`: of the cache, and named in the kernel's record unless that is of an older writer.
  SplitToy(uint32_t threads, uint32_t window = 0, uint32_t context = 2048, bool older = false) {
    ToyArtifact toy;
    toy.table.context_length = 2048;
    toy.table.kv_caches[0]->window = window;
    auto &all = toy.variant().kernels;
    const auto mix =
        std::find_if(all.begin(), all.end(), [](const auto &k) { return k->name == "toy_mix"; });
    (*mix)->partial_bytes = partialBytes;
    if (!older)
      (*mix)->window = window;
    (*mix)->scratch_bytes = 0;
    kernels.assign(all.size(), emptyKernel);
    kernels[size_t(mix - all.begin())] = recordingKernel;
    file = std::make_unique<AlignedBytes>(toy.write());
    const auto *variant = tern::fb::GetSizePrefixedArtifact(file->data())->variants()->Get(0);
    tern_linked_code code = {};
    std::memcpy(code.code_digest, variant->code_digest()->bytes()->data(), 32);
    target = variant->target()->str();
    code.struct_size = sizeof(code);
    code.target = target.c_str();
    code.kernels = kernels.data();
    code.kernel_count = kernels.size();
    tern_model_options options = TERN_MODEL_OPTIONS_INIT;
    options.linked_code = &code;
    model = std::make_unique<LoadedModel>(*file, &options);
    EXPECT_NE(model->handle, nullptr) << model->error.message;
    session = std::make_unique<ToySession>(model->handle, 2, context, threads);
  }

  /// What the kernel saw of the last call, after `before` positions of slot 0 in calls of their
  /// own.
  std::vector<Range> run(int before, int rows) {
    for (; at < before; at += TOY_MAX_BATCH)
      forward(std::min<int>(TOY_MAX_BATCH, before - at));
    at = before;
    forward(rows);
    at += rows;
    return sorted();
  }

  /// What it saw of one call with the next row of each slot of `slots`.
  std::vector<Range> runSlots(const std::vector<int32_t> &slots) {
    forward(int(slots.size()), slots.data());
    at += int(std::count(slots.begin(), slots.end(), 0));
    return sorted();
  }

private:
  std::vector<Range> sorted() {
    std::sort(ranges.begin(), ranges.end(), [](const Range &a, const Range &b) {
      return std::pair(a.phase, a.first) < std::pair(b.phase, b.first);
    });
    return ranges;
  }

  void forward(int rows, const int32_t *slots = nullptr) {
    ranges.clear();
    const std::vector<int32_t> tokens(size_t(rows), 1);
    tern_batch batch = TERN_BATCH_INIT;
    batch.rows = tokens.size();
    batch.tokens = tokens.data();
    batch.slots = slots;
    tern_error error = TERN_ERROR_INIT;
    EXPECT_EQ(tern_forward(session->handle, &batch, nullptr, &error), TERN_OK) << error.message;
  }

  std::unique_ptr<AlignedBytes> file;
  std::string target;
  std::vector<tern_kernel_function> kernels;
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<ToySession> session;
  int at = 0;
};

/// Blocks that the tasks were split into; 1: one pass. All tasks have run once, in order.
int32_t blocksOf(const std::vector<Range> &seen, int tasks) {
  const bool split = seen.back().phase == TERN_PHASE_MERGE;
  const int32_t blocks = split ? seen.back().blocks : 1;
  int32_t next = 0;
  for (const Range &range : seen) {
    if (range.phase == TERN_PHASE_MERGE && next == tasks * blocks)
      next = 0; // all blocks are done, and now those of the merge
    EXPECT_EQ(range.first, next);
    EXPECT_EQ(range.phase == TERN_PHASE_WHOLE, !split);
    EXPECT_EQ(range.scratch, split ? seen[0].scratch : range.scratch);
    next = range.last;
  }
  EXPECT_EQ(next, tasks);
  return blocks;
}

} // namespace

TEST(SplitTasks, AKernelThatNamesNoWindowRunsInOnePass) {
  for (uint32_t window : {0, 1024}) {
    SplitToy toy(2, window, 2048, /*older=*/true);
    EXPECT_EQ(blocksOf(toy.run(1500, 1), 1), 1);
  }
}

TEST(SplitTasks, OneRowOfALongContextIsSplit) {
  SplitToy toy(2);
  EXPECT_EQ(blocksOf(toy.run(5, 1), 1), 1);
  EXPECT_EQ(blocksOf(toy.run(511, 1), 1), 1);
  EXPECT_EQ(blocksOf(toy.run(512, 1), 1), 2);
  EXPECT_EQ(blocksOf(toy.run(1100, 1), 1), 3);
  EXPECT_EQ(blocksOf(toy.run(2047, 1), 1), 4);
}

TEST(SplitTasks, OnlyWhereItGivesIdleWorkersABlock) {
  SplitToy two(2), three(3);
  EXPECT_EQ(blocksOf(two.run(1100, 2), 2), 1); // both are busy
  EXPECT_EQ(blocksOf(two.run(1102, 3), 3), 3); // 2 : 1 becomes 5 : 4
  EXPECT_EQ(blocksOf(two.run(1105, 4), 4), 1);
  EXPECT_EQ(blocksOf(three.run(1100, 2), 2), 3);
  EXPECT_EQ(blocksOf(three.run(1102, 4), 4), 3); // 2 : 1 : 1 becomes 4 : 4 : 4
}

TEST(SplitTasks, RowsCountByTheirOwnLength) {
  SplitToy two(2), three(3);
  two.run(1100, 1);
  // 3 blocks and 1: a pass takes 3, blocks apart 2.
  EXPECT_EQ(blocksOf(two.runSlots({0, 1}), 2), 3);
  // 3 and 1, 1, 1, which the other worker runs in that time.
  EXPECT_EQ(blocksOf(two.runSlots({0, 1, 1, 1}), 4), 1);
  three.run(2000, 1);
  EXPECT_EQ(blocksOf(three.runSlots({0, 1, 1, 1}), 4), 4); // 4 becomes 3
}

TEST(SplitTasks, OnlyForAnEighthOfTheTime) {
  SplitToy toy(2);
  EXPECT_EQ(blocksOf(toy.run(600, 5), 5), 2);  // 6 becomes 5
  EXPECT_EQ(blocksOf(toy.run(1100, 5), 5), 1); // 9 would become 8
}

TEST(SplitTasks, OneThreadNeverSplits) {
  SplitToy toy(1);
  EXPECT_EQ(blocksOf(toy.run(1100, 1), 1), 1);
}

TEST(SplitTasks, AWindowMeetsFewBlocks) {
  EXPECT_EQ(blocksOf(SplitToy(2, 1).run(1100, 1), 1), 1);
  EXPECT_EQ(blocksOf(SplitToy(2, 100).run(1100, 1), 1), 1);
  EXPECT_EQ(blocksOf(SplitToy(2, 512).run(1100, 1), 1), 1); // it may meet two, half of each
  EXPECT_EQ(blocksOf(SplitToy(2, 513).run(1700, 1), 1), 2);
  EXPECT_EQ(blocksOf(SplitToy(2, 514).run(1700, 1), 1), 3);
  EXPECT_EQ(blocksOf(SplitToy(2, 4000).run(1100, 1), 1), 3);
}

TEST(SplitTasks, MemoryIsForContextsOfSeveralBlocksAndThreads) {
  const auto scratchOf = [](uint32_t threads, uint32_t context, bool namesWindow = true) {
    ToyArtifact toy;
    toy.table.context_length = 1 << 20;
    for (auto &kernel : toy.variant().kernels)
      kernel->scratch_bytes = 0;
    toy.variant().kernels[2]->partial_bytes = partialBytes;
    if (namesWindow)
      toy.variant().kernels[2]->window = 0;
    LoadedModel model{toy.write()};
    EXPECT_NE(model.handle, nullptr) << model.error.message;
    tern_session_options options = TERN_SESSION_OPTIONS_INIT;
    options.threads = threads;
    options.context = context;
    tern_memory_estimate estimate = TERN_MEMORY_ESTIMATE_INIT;
    EXPECT_EQ(tern_session_estimate(model.handle, &options, &estimate, nullptr), TERN_OK);
    return estimate.scratch_bytes;
  };
  EXPECT_EQ(scratchOf(1, 4096), 0u);
  EXPECT_EQ(scratchOf(2, 512), 0u);
  EXPECT_EQ(scratchOf(2, 513), 2 * 2 * 2 * partialBytes);  // two tasks a worker, two blocks
  EXPECT_EQ(scratchOf(2, 513, /*namesWindow=*/false), 0u); // always in one pass
  EXPECT_EQ(scratchOf(4, 4096), 4 * 2 * 8 * partialBytes);
  EXPECT_EQ(scratchOf(1024, 1 << 20), uint64_t(64) << 20); // the bound
}
