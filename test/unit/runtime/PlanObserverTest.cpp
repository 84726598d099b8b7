// What an observer of a session is told, and that it changes nothing.
#include "runtime/session/Handles.h"
#include "test/unit/runtime/ToyArtifact.h"

#include <gtest/gtest.h>
#include <vector>

using namespace tern::test;
using tern::runtime::PlanObserver;

namespace {

struct Record {
  uint32_t command;
  uint64_t begin, end;
};

struct Recorder {
  PlanObserver observer;
  std::vector<Record> commands;
  std::vector<Record> tasks[2]; ///< by worker

  Recorder() {
    observer.context = this;
    observer.ranCommand = [](void *self, uint32_t command, uint64_t begin, uint64_t end) {
      static_cast<Recorder *>(self)->commands.push_back({command, begin, end});
    };
    observer.ranTasks = [](void *self, uint32_t command, uint32_t worker, uint64_t begin,
                           uint64_t end) {
      static_cast<Recorder *>(self)->tasks[worker].push_back({command, begin, end});
    };
  }
};

std::vector<float> forward(tern_session *session, const std::vector<int32_t> &tokens) {
  tern_batch batch = TERN_BATCH_INIT;
  batch.rows = tokens.size();
  batch.tokens = tokens.data();
  tern_logits logits = TERN_LOGITS_INIT;
  tern_error error = TERN_ERROR_INIT;
  EXPECT_EQ(tern_forward(session, &batch, &logits, &error), TERN_OK) << error.message;
  return {logits.logits, logits.logits + TOY_VOCABULARY};
}

} // namespace

TEST(PlanObserver, IsToldOfEveryCallAndOfTheSharesOfItsWorkers) {
  ToyArtifact toy;
  std::vector<uint32_t> expected; // calls and copies, in order
  for (uint32_t i = 0; i < toy.plan().commands.size(); ++i)
    if (const auto type = toy.plan().commands[i]->op.type;
        type == tern::fb::CommandUnion::CallCommand || type == tern::fb::CommandUnion::CopyCommand)
      expected.push_back(i);
  LoadedModel model{toy.write()};
  ASSERT_NE(model.handle, nullptr) << model.error.message;
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5};
  ToySession plain(model.handle, 1, 0, 2), watched(model.handle, 1, 0, 2);
  Recorder recorder;
  watched.handle->session.observe(&recorder.observer);
  EXPECT_EQ(forward(watched.handle, tokens), forward(plain.handle, tokens));

  ASSERT_EQ(recorder.commands.size(), expected.size());
  uint64_t time = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(recorder.commands[i].command, expected[i]);
    EXPECT_LE(time, recorder.commands[i].begin);
    EXPECT_LE(recorder.commands[i].begin, recorder.commands[i].end);
    time = recorder.commands[i].end;
  }
  for (const std::vector<Record> &worker : recorder.tasks)
    for (const Record &share : worker) {
      const auto whole =
          std::find_if(recorder.commands.begin(), recorder.commands.end(),
                       [&](const Record &command) { return command.command == share.command; });
      ASSERT_NE(whole, recorder.commands.end());
      EXPECT_LE(whole->begin, share.begin);
      EXPECT_LE(share.end, whole->end);
    }
  EXPECT_GE(recorder.tasks[0].size() + recorder.tasks[1].size(), expected.size());

  watched.handle->session.observe(nullptr);
  const size_t before = recorder.commands.size();
  forward(watched.handle, {1});
  EXPECT_EQ(recorder.commands.size(), before);
}
