// Sessions whose weights are read while they run: the results of weights in place, whatever the
// memory; and what happens when they cannot be read.
#include "runtime/session/Handles.h"
#include "test/unit/runtime/ToyArtifact.h"

#include <atomic>
#include <cstdio>
#include <gtest/gtest.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace tern;
using namespace tern::test;

namespace {

constexpr uint32_t unitCount = 4;
constexpr uint64_t unitBytes = TOY_VOCABULARY * TOY_WIDTH * sizeof(float);
static_assert(unitBytes % 64 == 0);

std::unique_ptr<fb::CommandT> commandOf(auto operation) {
  auto command = std::make_unique<fb::CommandT>();
  command->op.Set(std::move(operation));
  return command;
}

/// The toy with its table four times over: units 0 to 2 are embedded from one after the other (each
/// time with the same result), unit 3 gives the logits.
ToyArtifact toyOfUnits() {
  ToyArtifact toy;
  fb::PlanT &plan = toy.plan();
  std::vector<uint32_t> tables = {toy.buffer("table")};
  toy.table.units[0]->name = "unit 0";
  for (uint32_t i = 1; i < unitCount; ++i) {
    toy.table.units.push_back(std::make_unique<fb::WeightUnitT>(*toy.table.units[0]));
    toy.table.units.back()->name = "unit " + std::to_string(i);
    toy.table.tensors.push_back(std::make_unique<fb::TensorT>(*toy.table.tensors[0]));
    toy.table.tensors.back()->unit = i;
    toy.weights.push_back(toy.weights[0]);
    tables.push_back(uint32_t(plan.buffers.size()));
    plan.buffers.push_back(std::make_unique<fb::BufferT>(*plan.buffers[tables[0]]));
    plan.buffers.back()->index = i;
  }
  std::vector<std::unique_ptr<fb::CommandT>> before = std::move(plan.commands);
  plan.commands.clear();
  const auto useUnit = [&](uint32_t unit, const fb::CommandT &command) {
    fb::CallCommandT call = *command.op.AsCallCommand();
    for (uint32_t &buffer : call.buffers)
      if (buffer == tables[0])
        buffer = tables[unit];
    fb::FetchCommandT fetch;
    fb::ReleaseCommandT release;
    fetch.unit = release.unit = unit;
    plan.commands.push_back(commandOf(fetch));
    plan.commands.push_back(commandOf(std::move(call)));
    plan.commands.push_back(commandOf(release));
  };
  // fetch, embed, copy, store, mix, logits, release
  for (uint32_t unit = 0; unit + 1 < unitCount; ++unit)
    useUnit(unit, *before[1]);
  for (size_t i = 2; i < 5; ++i)
    plan.commands.push_back(std::move(before[i]));
  useUnit(unitCount - 1, *before[5]);
  return toy;
}

/// An artifact behind a callback that counts, and can fail or lie.
struct Storage {
  explicit Storage(AlignedBytes bytes = toyOfUnits().write()) : file(std::move(bytes)) {}

  AlignedBytes file;
  std::atomic<int> unitReads{0};
  std::atomic<bool> failAll{false};
  std::atomic<uint64_t> failAt{UINT64_MAX}, damageAt{UINT64_MAX}; ///< offsets in the file

  /// Where a unit lies; units are the first segments.
  static uint64_t unitOffset(const AlignedBytes &file, uint32_t unit) {
    const auto *artifact = fb::GetSizePrefixedArtifact(file.data());
    return artifact->units()->Get(unit)->segment()->offset();
  }
  uint64_t unitOffset(uint32_t unit) const { return unitOffset(file, unit); }

  static int read(void *context, uint64_t offset, size_t size, void *destination) {
    auto &storage = *static_cast<Storage *>(context);
    const auto covers = [&](uint64_t at) { return offset <= at && at < offset + size; };
    for (uint32_t unit = 0; unit < unitCount; ++unit)
      storage.unitReads += offset == storage.unitOffset(unit);
    if (storage.failAll || covers(storage.failAt))
      return 7;
    std::copy_n(storage.file.data() + offset, size, static_cast<uint8_t *>(destination));
    if (covers(storage.damageAt))
      static_cast<uint8_t *>(destination)[storage.damageAt - offset] ^= 1;
    return 0;
  }
};

tern_model_options streaming(uint64_t bytes) {
  tern_model_options options = TERN_MODEL_OPTIONS_INIT;
  options.weights = TERN_WEIGHTS_STREAM;
  options.stream_bytes = bytes;
  return options;
}

struct StoredModel {
  StoredModel(Storage &storage, uint64_t bytes) {
    const tern_model_options options = streaming(bytes);
    tern_model_load_callback(runtime.handle, Storage::read, &storage, storage.file.size(), &options,
                             &handle, &error);
  }
  ~StoredModel() { tern_model_destroy(&handle); }
  Runtime runtime;
  tern_model *handle = nullptr;
  tern_error error = TERN_ERROR_INIT;
};

tern_status forward(tern_session *session, const std::vector<int32_t> &tokens,
                    std::vector<float> *logits, tern_error *error) {
  tern_batch batch = TERN_BATCH_INIT;
  batch.rows = tokens.size();
  batch.tokens = tokens.data();
  tern_logits result = TERN_LOGITS_INIT;
  const tern_status status = tern_forward(session, &batch, &result, error);
  if (status == TERN_OK && logits)
    logits->assign(result.logits, result.logits + TOY_VOCABULARY);
  return status;
}

/// A sequence in several calls, its logits those of the definition.
void expectRight(tern_session *session) {
  std::vector<int32_t> tokens;
  tern_error error = TERN_ERROR_INIT;
  ASSERT_EQ(tern_slot_truncate(session, 0, 0, &error), TERN_OK);
  for (const std::vector<int32_t> &part :
       {std::vector<int32_t>{5, 3}, {7}, {1, 2, 3, 4, 5, 6}, {100}}) {
    std::vector<float> logits;
    ASSERT_EQ(forward(session, part, &logits, &error), TERN_OK) << error.message;
    tokens.insert(tokens.end(), part.begin(), part.end());
    const std::vector<float> expected = referenceLogits(tokens);
    for (size_t v = 0; v < expected.size(); ++v)
      ASSERT_NEAR(logits[v], expected[v], 1e-4) << v;
  }
}

} // namespace

TEST(WeightStream, GivesTheResultsOfWeightsInPlace) {
  for (uint32_t units = 2; units <= unitCount; ++units)
    for (uint32_t threads : {1u, 2u}) {
      Storage storage;
      StoredModel model(storage, units * unitBytes);
      ASSERT_NE(model.handle, nullptr) << model.error.message;
      ToySession session(model.handle, 1, 512, threads);
      ASSERT_NE(session.handle, nullptr) << session.error.message;
      expectRight(session.handle);
      if (units == unitCount)
        EXPECT_EQ(storage.unitReads, int(unitCount)) << "kept weights are read once";
      else
        EXPECT_GE(storage.unitReads, int(4 * (unitCount - units + 1))) << "in each of four calls";
    }
}

TEST(WeightStream, ReadsFromMemoryAndFromDescriptorsThatAreClosed) {
  const AlignedBytes file = toyOfUnits().write();
  const tern_model_options options = streaming(2 * unitBytes);
  LoadedModel inMemory(file, &options);
  ASSERT_NE(inMemory.handle, nullptr) << inMemory.error.message;
  expectRight(ToySession(inMemory.handle, 1, 512).handle);

  FILE *stream = tmpfile();
  ASSERT_EQ(fwrite(file.data(), 1, file.size(), stream), file.size());
  fflush(stream);
  Runtime runtime;
  tern_model *model = nullptr;
  tern_error error = TERN_ERROR_INIT;
  ASSERT_EQ(
      tern_model_load_fd(runtime.handle, fileno(stream), 0, file.size(), &options, &model, &error),
      TERN_OK)
      << error.message;
  fclose(stream);
  expectRight(ToySession(model, 1, 512).handle);
  tern_model_destroy(&model);
}

TEST(WeightStream, SaysTheLeastThatWouldDo) {
  Storage storage;
  StoredModel little(storage, 2 * unitBytes - 1);
  EXPECT_EQ(little.handle, nullptr);
  EXPECT_EQ(little.error.status, TERN_OUT_OF_MEMORY);
  EXPECT_NE(std::string(little.error.message).find(std::to_string(2 * unitBytes)),
            std::string::npos)
      << little.error.message;

  tern_model_options copied = streaming(1 << 20);
  copied.weights = TERN_WEIGHTS_COPY;
  LoadedModel model(storage.file, &copied);
  EXPECT_EQ(model.error.status, TERN_INVALID_ARGUMENT);
}

TEST(WeightStream, EstimatesItsMemory) {
  Storage storage;
  StoredModel model(storage, 3 * unitBytes + 17);
  tern_memory_estimate estimate = TERN_MEMORY_ESTIMATE_INIT;
  ASSERT_EQ(tern_session_estimate(model.handle, nullptr, &estimate, nullptr), TERN_OK);
  EXPECT_EQ(estimate.weight_bytes, 3 * unitBytes);
  EXPECT_EQ(estimate.total_bytes, estimate.kv_bytes + estimate.arena_bytes +
                                      estimate.scratch_bytes + estimate.weight_bytes +
                                      estimate.sampling_bytes + estimate.other_bytes);
  tern_model_info info = TERN_MODEL_INFO_INIT;
  ASSERT_EQ(tern_model_get_info(model.handle, &info, nullptr), TERN_OK);
  EXPECT_EQ(info.mapped_weight_bytes, 0u);
  EXPECT_EQ(info.weight_bytes, unitCount * unitBytes);
}

// A failed read fails the call, leaves the slot where it was, and the next call tries again.
TEST(WeightStream, FailedReadsFailTheCallAlone) {
  for (uint32_t unit = 0; unit < unitCount; ++unit)
    for (const bool damaged : {false, true}) {
      Storage storage;
      StoredModel model(storage, 2 * unitBytes);
      ASSERT_NE(model.handle, nullptr) << model.error.message;
      ToySession session(model.handle, 1, 512);
      ASSERT_NE(session.handle, nullptr) << session.error.message;
      tern_error error = TERN_ERROR_INIT;
      ASSERT_EQ(forward(session.handle, {9, 8}, nullptr, &error), TERN_OK);
      (damaged ? storage.damageAt : storage.failAt) = storage.unitOffset(unit) + 1000;
      // What was read ahead before is still good; by the second call everything is read anew.
      tern_status status = forward(session.handle, {7}, nullptr, &error);
      const uint32_t length = status == TERN_OK ? 3 : 2;
      if (status == TERN_OK)
        status = forward(session.handle, {7}, nullptr, &error);
      EXPECT_EQ(status, damaged ? TERN_INVALID_ARTIFACT : TERN_IO_ERROR) << error.message;
      if (damaged)
        EXPECT_NE(std::string(error.message).find("'unit " + std::to_string(unit) + "'"),
                  std::string::npos)
            << error.message;
      EXPECT_EQ(tern_slot_length(session.handle, 0), length);
      EXPECT_EQ(forward(session.handle, {7}, nullptr, &error), status) << "still there";
      storage.damageAt = storage.failAt = UINT64_MAX;
      expectRight(session.handle);
    }
}

// Reading ahead leaves alone what it has failed to read: nobody may ask for it again.
TEST(WeightStream, FailedReadsAreNotRepeatedUnasked) {
  Storage storage;
  StoredModel model(storage, 2 * unitBytes);
  ToySession session(model.handle, 1, 512);
  tern_error error = TERN_ERROR_INIT;
  ASSERT_EQ(forward(session.handle, {9, 8}, nullptr, &error), TERN_OK) << error.message;
  storage.failAll = true;
  for (int i = 0; i < 3; ++i)
    (void)forward(session.handle, {7}, nullptr, &error);
  EXPECT_EQ(forward(session.handle, {7}, nullptr, &error), TERN_IO_ERROR);
  int before = -1; // the last ones may still be under way
  while (before != storage.unitReads) {
    before = storage.unitReads;
    usleep(20000);
  }
  EXPECT_LT(before, 100);
  storage.failAll = false;
  expectRight(session.handle);
}

// Releases that belong to no fetch, as only a hostile plan has them, free nothing.
TEST(WeightStream, StrayReleasesFreeNothing) {
  ToyArtifact toy = toyOfUnits();
  std::vector<std::unique_ptr<fb::CommandT>> commands;
  for (auto &command : toy.plan().commands) {
    const bool isCall = command->op.type == fb::CommandUnion::CallCommand;
    for (uint32_t unit = 0; unit < unitCount && isCall; ++unit) {
      const auto *fetch = commands.empty() ? nullptr : commands.back()->op.AsFetchCommand();
      if (fetch && fetch->unit == unit)
        continue; // this one would be the release of a fetch
      fb::ReleaseCommandT release;
      release.unit = unit;
      commands.insert(commands.end() - (fetch ? 1 : 0), commandOf(release));
    }
    commands.push_back(std::move(command));
  }
  toy.plan().commands = std::move(commands);
  Storage storage(toy.write());
  StoredModel model(storage, 2 * unitBytes);
  ASSERT_NE(model.handle, nullptr) << model.error.message;
  expectRight(ToySession(model.handle, 1, 512).handle);
}

TEST(WeightStream, DamageInKeptWeightsFailsTheSession) {
  Storage storage;
  StoredModel model(storage, unitCount * unitBytes);
  ASSERT_NE(model.handle, nullptr) << model.error.message;
  storage.damageAt = storage.unitOffset(2);
  ToySession damaged(model.handle);
  EXPECT_EQ(damaged.handle, nullptr);
  EXPECT_EQ(damaged.error.status, TERN_INVALID_ARTIFACT);
  storage.damageAt = UINT64_MAX;
  expectRight(ToySession(model.handle, 1, 512).handle);
}

TEST(WeightStream, SessionsReadIndependently) {
  Storage storage;
  StoredModel model(storage, 2 * unitBytes);
  ASSERT_NE(model.handle, nullptr) << model.error.message;
  const auto use = [&] {
    ToySession session(model.handle, 1, 512);
    ASSERT_NE(session.handle, nullptr) << session.error.message;
    for (int i = 0; i < 20; ++i)
      expectRight(session.handle);
  };
  std::thread other(use);
  use();
  other.join();
}

TEST(WeightStream, GoesOnAfterACancelledCall) {
  Storage storage;
  StoredModel model(storage, 2 * unitBytes);
  ASSERT_NE(model.handle, nullptr) << model.error.message;
  ToySession session(model.handle, 1, 512);
  const int32_t token = 3;
  runtime::Batch batch;
  batch.rows = 1;
  batch.tokens = &token;
  for (int i = 0; i < 50; ++i) {
    std::atomic<bool> cancel{i % 2 == 0}; // before the first command, and somewhere
    std::thread canceller([&] { cancel = true; });
    const Status status = session.handle->session.forward(batch, nullptr, &cancel);
    canceller.join();
    EXPECT_TRUE(status.isOk() || status.code() == StatusCode::cancelled) << status.message();
  }
  expectRight(session.handle);
}

TEST(WeightStream, TellsObserversOfItsWaits) {
  Storage storage;
  StoredModel model(storage, 2 * unitBytes);
  ToySession session(model.handle, 1, 512);
  std::vector<uint32_t> commands;
  runtime::PlanObserver observer;
  observer.context = &commands;
  observer.ranCommand = [](void *list, uint32_t command, uint64_t, uint64_t) {
    static_cast<std::vector<uint32_t> *>(list)->push_back(command);
  };
  observer.ranTasks = [](void *, uint32_t, uint32_t, uint64_t, uint64_t) {};
  session.handle->session.observe(&observer);
  ASSERT_EQ(forward(session.handle, {1}, nullptr, nullptr), TERN_OK);
  // fetch, call, (release) three times; copy, store, mix; fetch, call, (release)
  EXPECT_EQ(commands, (std::vector<uint32_t>{0, 1, 3, 4, 6, 7, 9, 10, 11, 12, 13}));
}
