// After a session is made, no call allocates: malloc and its relatives and the memory system calls
// are interposed for the whole program and counted. A program of its own, because of that.
#include "test/unit/runtime/ToyArtifact.h"
#include "test/unit/runtime/ToyText.h"

#include <atomic>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static std::atomic<bool> counting{false};
static std::atomic<int> allocations{0};

static void note() {
  if (counting.load(std::memory_order_relaxed))
    allocations.fetch_add(1, std::memory_order_relaxed);
}

#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
// The sanitizer owns malloc, and tells of its use.
#include <sanitizer/allocator_interface.h>
static void noteSanitizer(const volatile void *, size_t) { note(); }
static const int installed =
    __sanitizer_install_malloc_and_free_hooks(noteSanitizer, [](const volatile void *) {});
#else
// glibc's own entry points; the names without prefix are replaced by the ones below.
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) {
  note();
  return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
  note();
  return __libc_calloc(count, size);
}
void *realloc(void *memory, size_t size) {
  note();
  return __libc_realloc(memory, size);
}
void *memalign(size_t alignment, size_t size) {
  note();
  return __libc_memalign(alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
  note();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void **result, size_t alignment, size_t size) {
  note();
  *result = __libc_memalign(alignment, size);
  return *result ? 0 : 12;
}
void *mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset) {
  note();
  return reinterpret_cast<void *>(
      syscall(SYS_mmap, address, size, protection, flags, descriptor, offset));
}
int brk(void *) {
  note();
  return -1;
}
void *sbrk(intptr_t) {
  note();
  return reinterpret_cast<void *>(-1);
}
}
#endif

using namespace tern::test;

TEST(Allocation, IsNoticed) {
  allocations = 0;
  counting = true;
  void *volatile memory = malloc(100);
  counting = false;
  free(memory);
  EXPECT_EQ(allocations.load(), 1) << "the interposition does not work";
}

TEST(Allocation, NoneAfterTheSessionIsMade) {
  ToyArtifact toy;
  toy.table.tokenizer = toyTokenizer();
  LoadedModel model(toy.write());
  ASSERT_NE(model.handle, nullptr) << model.error.message;
  for (uint32_t threads : {1u, 2u}) {
    ToySession session(model.handle, 2, 512, threads);
    ASSERT_NE(session.handle, nullptr) << session.error.message;
    int32_t prompt[100], slots[4] = {0, 1, 0, 1}, positions[4] = {100, 50, 101, 51};
    for (int i = 0; i < 100; ++i)
      prompt[i] = i;
    tern_error error = TERN_ERROR_INIT;
    const tern_logit_bias biases[] = {{5, 1.0f}, {6, -1.0f}};
    const char *stops[] = {"never in the text", "nor this"};
    std::vector<uint8_t> state(1 << 17);
    char text[64];
    size_t size = 0;
    bool allRight = true;

    allocations = 0;
    counting = true;
    for (int slot = 0; slot < 2; ++slot)
      for (float temperature : {0.0f, 1.0f}) {
        tern_generate_options options = TERN_GENERATE_OPTIONS_INIT;
        options.slot = uint32_t(slot);
        options.temperature = temperature;
        options.top_p = 0.9f;
        options.top_k = 50;
        options.min_p = 0.01f;
        options.repetition_penalty = 1.1f;
        options.frequency_penalty = 0.1f;
        options.presence_penalty = 0.1f;
        options.logit_biases = biases;
        options.logit_bias_count = 2;
        options.stop_strings = stops;
        options.stop_string_count = 2;
        options.logprobs = 1;
        options.top_logprobs = 5;
        options.context_shift = 1;
        options.max_tokens = 500;
        options.ignore_end = 1;
        tern_generation *generation = nullptr;
        allRight &=
            !tern_generate_begin(session.handle, &options, prompt, 100, &generation, &error);
        tern_piece piece = TERN_PIECE_INIT;
        while (allRight && piece.finish == TERN_FINISH_NONE)
          allRight &= !tern_evaluate_together(session.handle, &generation, 1, &error) &&
                      !tern_next(generation, &piece, &error);
      }
    tern_batch batch = TERN_BATCH_INIT;
    batch.rows = 4;
    batch.tokens = prompt;
    batch.slots = slots;
    batch.positions = positions;
    tern_logits logits = TERN_LOGITS_INIT;
    allRight &= !tern_forward(session.handle, &batch, &logits, &error);
    allRight &= !tern_slot_copy(session.handle, 0, 1, &error);
    allRight &=
        !tern_slot_save_memory(session.handle, 0, state.data(), state.size(), &size, &error);
    allRight &= !tern_slot_load_memory(session.handle, 1, state.data(), size, &error);
    allRight &= !tern_slot_truncate(session.handle, 0, 3, &error);
    allRight &= !tern_detokenize(model.handle, prompt, 20, text, sizeof(text), &size, &error);
    positions[0] = 500; // refusals do not allocate either
    allRight &= tern_forward(session.handle, &batch, &logits, &error) == TERN_OUT_OF_RANGE;
    counting = false;

    EXPECT_TRUE(allRight) << error.message;
    EXPECT_EQ(allocations.load(), 0) << threads << " threads";
  }
}
