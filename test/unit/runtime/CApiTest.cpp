// The C interface: handles, struct sizes, info, text, estimates.
#include "runtime/core/Image.h"
#include "test/unit/runtime/ToyArtifact.h"
#include "test/unit/runtime/ToyText.h"

#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <sched.h>
#include <string>

using namespace tern::test;

namespace {
/// An artifact on disk for the lifetime of the object.
struct TemporaryFile {
  explicit TemporaryFile(const AlignedBytes &bytes) : path(testing::TempDir() + "toy.tern") {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char *>(bytes.data()), long(bytes.size()));
  }
  ~TemporaryFile() { std::remove(path.c_str()); }
  std::string path;
};
} // namespace

TEST(CApi, HandlesMayBeDestroyedInAnyOrderAndTwice) {
  const AlignedBytes file = toyWithText();
  tern_runtime *runtime = nullptr;
  tern_model *model = nullptr;
  tern_session *session = nullptr;
  ASSERT_EQ(tern_runtime_create(nullptr, &runtime, nullptr), TERN_OK);
  ASSERT_EQ(tern_model_load_memory(runtime, file.data(), file.size(), nullptr, &model, nullptr),
            TERN_OK);
  ASSERT_EQ(tern_session_create(model, nullptr, &session, nullptr), TERN_OK);
  tern_runtime_destroy(&runtime);
  tern_runtime_destroy(&runtime);
  tern_model_destroy(&model);
  EXPECT_EQ(model, nullptr);
  const int32_t token = 5;
  tern_batch batch = TERN_BATCH_INIT;
  batch.rows = 1;
  batch.tokens = &token;
  EXPECT_EQ(tern_forward(session, &batch, nullptr, nullptr), TERN_OK);
  tern_session_destroy(&session);
  tern_session_destroy(&session);
  tern_model_destroy(nullptr);
  tern_session_destroy(nullptr);
}

TEST(CApi, NullArgumentsAreErrors) {
  tern_error error = TERN_ERROR_INIT;
  tern_model *model = nullptr;
  Runtime runtime;
  EXPECT_EQ(tern_runtime_create(nullptr, nullptr, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_model_load_file(nullptr, "x", nullptr, &model, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_model_load_file(runtime.handle, nullptr, nullptr, &model, &error),
            TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_model_load_file(runtime.handle, "x", nullptr, nullptr, &error),
            TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_forward(nullptr, nullptr, nullptr, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_next(nullptr, nullptr, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_model_get_info(nullptr, nullptr, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_session_create(nullptr, nullptr, nullptr, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_verify_file(runtime.handle, nullptr, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_tokenize(nullptr, nullptr, 0, 0, nullptr, 0, nullptr, &error),
            TERN_INVALID_ARGUMENT);
  tern_cancel(nullptr);
  EXPECT_EQ(tern_slot_length(nullptr, 0), 0u);
  EXPECT_EQ(tern_token_is_end(nullptr, 0), 0);
  EXPECT_EQ(tern_model_metadata(nullptr, "a"), nullptr);
}

TEST(CApi, ErrorsNameTheFile) {
  Runtime runtime;
  tern_model *model = nullptr;
  tern_error error = TERN_ERROR_INIT;
  EXPECT_EQ(tern_model_load_file(runtime.handle, "/no/such/file.tern", nullptr, &model, &error),
            TERN_IO_ERROR);
  EXPECT_EQ(std::string(error.message).find("/no/such/file.tern: "), 0u) << error.message;
  EXPECT_EQ(tern_model_load_file(runtime.handle, "/", nullptr, &model, &error), TERN_IO_ERROR);

  AlignedBytes file = toyWithText();
  file[100] ^= 1;
  const TemporaryFile damaged(file);
  EXPECT_EQ(tern_model_load_file(runtime.handle, damaged.path.c_str(), nullptr, &model, &error),
            TERN_INVALID_ARTIFACT);
  EXPECT_EQ(error.status, TERN_INVALID_ARTIFACT);
  EXPECT_NE(std::string(error.message).find("toy.tern: "), std::string::npos) << error.message;
  EXPECT_EQ(model, nullptr);
  EXPECT_EQ(tern_verify_file(runtime.handle, damaged.path.c_str(), &error), TERN_INVALID_ARTIFACT);

  ToyArtifact badText;
  badText.table.tokenizer = toyTokenizer();
  badText.table.tokenizer->bos = 1 << 20;
  const TemporaryFile unusable(badText.write());
  EXPECT_EQ(tern_verify_file(runtime.handle, unusable.path.c_str(), &error), TERN_INVALID_ARTIFACT);
  EXPECT_NE(std::string(error.message).find("tokenizer"), std::string::npos) << error.message;
  EXPECT_EQ(tern_model_load_file(runtime.handle, unusable.path.c_str(), nullptr, &model, &error),
            TERN_INVALID_ARTIFACT);

  const TemporaryFile whole(toyWithText());
  EXPECT_EQ(tern_verify_file(runtime.handle, whole.path.c_str(), &error), TERN_OK);
  EXPECT_STREQ(error.message, "");
  ASSERT_EQ(tern_model_load_file(runtime.handle, whole.path.c_str(), nullptr, &model, &error),
            TERN_OK);
  ToySession session(model);
  EXPECT_NE(session.handle, nullptr) << session.error.message;
  tern_model_destroy(&model);
}

TEST(CApi, SmallerStructsOfOlderCallersWork) {
  LoadedModel model(toyWithText());
  tern_model_info info = TERN_MODEL_INFO_INIT;
  memset(reinterpret_cast<char *>(&info) + 16, 0x5A, sizeof(info) - 16);
  info.struct_size = 16;
  EXPECT_EQ(tern_model_get_info(model.handle, &info, nullptr), TERN_OK);
  EXPECT_EQ(info.vocabulary_size, uint32_t(TOY_VOCABULARY));
  EXPECT_EQ(info.max_batch, 0x5A5A5A5Au) << "nothing behind struct_size is written";
  EXPECT_EQ(info.struct_size, 16u);
  info.struct_size = 0;
  EXPECT_EQ(tern_model_get_info(model.handle, &info, nullptr), TERN_INVALID_ARGUMENT);

  tern_session_options options = TERN_SESSION_OPTIONS_INIT;
  options.context = 1 << 30; // behind the size that is announced: not looked at
  options.struct_size = offsetof(tern_session_options, context);
  tern_session *session = nullptr;
  EXPECT_EQ(tern_session_create(model.handle, &options, &session, nullptr), TERN_OK);
  tern_session_destroy(&session);

  tern_error error = TERN_ERROR_INIT;
  memset(error.message, 0x5A, sizeof(error.message));
  error.struct_size = offsetof(tern_error, message) + 8;
  EXPECT_EQ(tern_next(nullptr, nullptr, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(strlen(error.message), 7u);
  EXPECT_EQ(error.message[8], 0x5A);
}

TEST(CApi, InfoTellsTheArtifactsFigures) {
  const AlignedBytes file = toyWithText();
  LoadedModel model(file);
  tern_model_info info = TERN_MODEL_INFO_INIT;
  ASSERT_EQ(tern_model_get_info(model.handle, &info, nullptr), TERN_OK);
  EXPECT_EQ(info.context_length, uint32_t(TOY_CONTEXT));
  EXPECT_EQ(info.max_batch, uint32_t(TOY_MAX_BATCH));
  EXPECT_EQ(info.max_wanted, uint32_t(TOY_MAX_WANTED));
  EXPECT_EQ(info.variant_count, 1u);
  EXPECT_EQ(info.kernel_count, 4u);
  EXPECT_EQ(info.has_tokenizer, 1u);
  EXPECT_EQ(info.has_chat_template, 1u);
  EXPECT_EQ(info.file_bytes, file.size());
  EXPECT_EQ(info.code_bytes, toyImage().size());
  constexpr uint64_t rowBytes = TOY_WIDTH * 4;
  EXPECT_EQ(info.weight_bytes, TOY_VOCABULARY * rowBytes);
  EXPECT_EQ(info.mapped_weight_bytes, info.weight_bytes);
  // One row for the embedding, the whole table for the logits.
  EXPECT_EQ(info.weight_bytes_per_token, rowBytes + TOY_VOCABULARY * rowBytes);
  EXPECT_EQ(info.kv_bytes_per_token, 2 * rowBytes);
  EXPECT_STREQ(tern_model_metadata(model.handle, "architecture"), "toy");
  EXPECT_EQ(tern_model_metadata(model.handle, "nothing"), nullptr);
  const char *key = nullptr, *value = nullptr;
  tern_model_metadata_at(model.handle, 0, &key, &value);
  EXPECT_STREQ(key, "architecture");
  tern_model_metadata_at(model.handle, 1, &key, &value);
  EXPECT_EQ(key, nullptr);
}

TEST(CApi, TokenizesAndDetokenizes) {
  LoadedModel model(toyWithText());
  tern_error error = TERN_ERROR_INIT;
  int32_t tokens[16];
  size_t count = 0;
  ASSERT_EQ(tern_tokenize(model.handle, "Hi!", 3, 0, tokens, 16, &count, &error), TERN_OK)
      << error.message;
  ASSERT_EQ(count, 3u);
  EXPECT_EQ(tokens[0], 'H' - 32);
  EXPECT_EQ(tern_tokenize(model.handle, "Hi!", 3, 0, tokens, 2, &count, &error),
            TERN_BUFFER_TOO_SMALL);
  EXPECT_EQ(count, 3u);
  char text[16];
  size_t size = 0;
  const int32_t ids[] = {'H' - 32, 96, 97, toyEndToken, 96};
  ASSERT_EQ(tern_detokenize(model.handle, ids, 5, text, 16, &size, &error), TERN_OK);
  EXPECT_EQ(std::string(text, size), "H\xC3\xA9\xEF\xBF\xBD");
  EXPECT_EQ(tern_detokenize(model.handle, ids, 5, text, 2, &size, &error), TERN_BUFFER_TOO_SMALL);
  EXPECT_EQ(size, 6u);
  const int32_t bad = 5000;
  EXPECT_EQ(tern_detokenize(model.handle, &bad, 1, text, 16, &size, &error), TERN_OUT_OF_RANGE);
}

TEST(CApi, RendersConversations) {
  LoadedModel model(toyWithText());
  tern_error error = TERN_ERROR_INIT;
  int32_t tokens[32];
  size_t count = 0;
  const tern_chat_message message = {"user", "x"};
  ASSERT_EQ(tern_chat_tokenize(model.handle, &message, 1, tokens, 32, &count, &error), TERN_OK)
      << error.message;
  std::string spelled;
  for (size_t i = 0; i < count; ++i)
    spelled += tokens[i] < 96 ? char(32 + tokens[i]) : '?';
  EXPECT_EQ(spelled, "U:x;A:");
  const tern_chat_message stranger = {"pirate", "x"};
  EXPECT_EQ(tern_chat_tokenize(model.handle, &stranger, 1, tokens, 32, &count, &error),
            TERN_INVALID_ARGUMENT);
}

TEST(CApi, AnEstimateThatIsNoNumberIsRefused) {
  ToyArtifact toy;
  toy.plan().arena_bytes = UINT64_MAX;
  LoadedModel model(toy.write());
  ASSERT_NE(model.handle, nullptr) << model.error.message;
  tern_error error = TERN_ERROR_INIT;
  tern_memory_estimate estimate = TERN_MEMORY_ESTIMATE_INIT;
  EXPECT_EQ(tern_session_estimate(model.handle, nullptr, &estimate, &error), TERN_OUT_OF_MEMORY);
  EXPECT_EQ(estimate.total_bytes, 0u);
  tern_session_options options = TERN_SESSION_OPTIONS_INIT;
  for (const uint32_t slots : {0u, UINT32_MAX}) {
    options.slots = slots;
    EXPECT_EQ(tern_session_estimate(model.handle, &options, &estimate, &error),
              TERN_INVALID_ARGUMENT);
  }
}

TEST(CApi, UnknownSessionFlagsAreRefused) {
  LoadedModel model(toyWithText());
  tern_error error = TERN_ERROR_INIT;
  tern_session_options options = TERN_SESSION_OPTIONS_INIT;
  tern_session *session = nullptr;
  for (const uint64_t flag : {uint64_t(2), uint64_t(1) << 63}) {
    options.flags = flag | TERN_SESSION_PIN_THREADS;
    EXPECT_EQ(tern_session_create(model.handle, &options, &session, &error), TERN_INVALID_ARGUMENT);
    EXPECT_NE(strstr(error.message, "flags"), nullptr);
    EXPECT_EQ(session, nullptr);
  }
}

#if defined(__linux__)
TEST(CApi, APinnedSessionGivesItsThreadBack) {
  LoadedModel model(toyWithText());
  cpu_set_t before, after;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  const uint32_t cpus = uint32_t(CPU_COUNT(&before));
  tern_error error = TERN_ERROR_INIT;
  tern_session_options options = TERN_SESSION_OPTIONS_INIT;
  options.flags = TERN_SESSION_PIN_THREADS;
  options.threads = cpus;
  tern_session *session = nullptr;
  ASSERT_EQ(tern_session_create(model.handle, &options, &session, &error), TERN_OK)
      << error.message;
  const int32_t token = 1;
  tern_batch batch = TERN_BATCH_INIT;
  batch.rows = 1;
  batch.tokens = &token;
  EXPECT_EQ(tern_forward(session, &batch, nullptr, &error), TERN_OK) << error.message;
  ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
  tern_session_destroy(&session);

  options.threads = cpus + 1;
  EXPECT_EQ(tern_session_create(model.handle, &options, &session, &error), TERN_INVALID_ARGUMENT);
  EXPECT_NE(strstr(error.message, "fewer threads"), nullptr) << error.message;
}
#endif

TEST(CApi, UsesTheApplicationsAllocatorAndLog) {
  struct Application {
    std::map<void *, size_t> live;
    size_t total = 0;
    std::vector<std::string> lines;
    static void *allocate(void *self, size_t size, size_t alignment) {
      void *memory = nullptr;
      if (posix_memalign(&memory, alignment, size))
        return nullptr;
      static_cast<Application *>(self)->live[memory] = size;
      static_cast<Application *>(self)->total += size;
      return memory;
    }
    static void deallocate(void *self, void *memory, size_t size) {
      auto &live = static_cast<Application *>(self)->live;
      EXPECT_EQ(live[memory], size);
      live.erase(memory);
      free(memory);
    }
    static void log(void *self, tern_log_level, const char *line) {
      static_cast<Application *>(self)->lines.push_back(line);
    }
  } application;
  const AlignedBytes file = toyWithText();
  tern_runtime_options options = TERN_RUNTIME_OPTIONS_INIT;
  options.allocate = Application::allocate;
  EXPECT_EQ(tern_runtime_create(&options, nullptr, nullptr), TERN_INVALID_ARGUMENT);
  tern_runtime *runtime = nullptr;
  EXPECT_EQ(tern_runtime_create(&options, &runtime, nullptr), TERN_INVALID_ARGUMENT);
  options.deallocate = Application::deallocate;
  options.allocator_context = options.log_context = &application;
  options.log = Application::log;
  ASSERT_EQ(tern_runtime_create(&options, &runtime, nullptr), TERN_OK);
  tern_model *model = nullptr;
  tern_session *session = nullptr;
  ASSERT_EQ(tern_model_load_memory(runtime, file.data(), file.size(), nullptr, &model, nullptr),
            TERN_OK);
  const size_t before = application.total;
  tern_session_options sessionOptions = TERN_SESSION_OPTIONS_INIT;
  sessionOptions.slots = 8;
  sessionOptions.threads = 3;
  ASSERT_EQ(tern_session_create(model, &sessionOptions, &session, nullptr), TERN_OK);
  tern_memory_estimate estimate = TERN_MEMORY_ESTIMATE_INIT;
  ASSERT_EQ(tern_session_estimate(model, &sessionOptions, &estimate, nullptr), TERN_OK);
  // The estimate has the image too, which does not come from the allocator.
  tern::runtime::Image image;
  ASSERT_TRUE(tern::runtime::Image::load(toyImage().data(), toyImage().size(), image).isOk());
  EXPECT_EQ(estimate.total_bytes, application.total - before + image.size());
  EXPECT_EQ(estimate.total_bytes, estimate.kv_bytes + estimate.arena_bytes +
                                      estimate.scratch_bytes + estimate.sampling_bytes +
                                      estimate.other_bytes);
  ASSERT_EQ(application.lines.size(), 2u);
  EXPECT_NE(application.lines[0].find("variant"), std::string::npos);
  EXPECT_NE(application.lines[1].find("session"), std::string::npos);
  tern_session_destroy(&session);
  tern_model_destroy(&model);
  tern_runtime_destroy(&runtime);
  EXPECT_TRUE(application.live.empty());
}

TEST(CApi, RunningOutOfMemoryAnywhereIsAnError) {
  struct Limited {
    int left;
    int live = 0;
    static void *allocate(void *self, size_t size, size_t alignment) {
      Limited &limited = *static_cast<Limited *>(self);
      void *memory = nullptr;
      if (limited.left-- <= 0 || posix_memalign(&memory, alignment, size))
        return nullptr;
      ++limited.live;
      return memory;
    }
    static void deallocate(void *self, void *memory, size_t) {
      --static_cast<Limited *>(self)->live;
      free(memory);
    }
  };
  const AlignedBytes file = toyWithText();
  bool succeeded = false;
  for (int allowed = 0; allowed < 200 && !succeeded; ++allowed) {
    Limited limited = {allowed};
    tern_runtime_options options = TERN_RUNTIME_OPTIONS_INIT;
    options.allocate = Limited::allocate;
    options.deallocate = Limited::deallocate;
    options.allocator_context = &limited;
    tern_session_options sessionOptions = TERN_SESSION_OPTIONS_INIT;
    sessionOptions.threads = 2;
    tern_model_options copy = TERN_MODEL_OPTIONS_INIT;
    copy.weights = TERN_WEIGHTS_COPY;
    tern_runtime *runtime = nullptr;
    tern_model *model = nullptr;
    tern_session *session = nullptr;
    tern_error error = TERN_ERROR_INIT;
    tern_status status = tern_runtime_create(&options, &runtime, &error);
    if (!status)
      status = tern_model_load_memory(runtime, file.data(), file.size(), &copy, &model, &error);
    if (!status)
      status = tern_session_create(model, &sessionOptions, &session, &error);
    EXPECT_TRUE(status == TERN_OK || status == TERN_OUT_OF_MEMORY) << error.message;
    succeeded = status == TERN_OK;
    tern_session_destroy(&session);
    tern_model_destroy(&model);
    tern_runtime_destroy(&runtime);
    EXPECT_EQ(limited.live, 0) << allowed;
  }
  EXPECT_TRUE(succeeded);
}
