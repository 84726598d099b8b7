// Writes seeds for artifact_fuzzer: the toy model without and with a tokenizer, with a cache of
// codes, and with tasks that can be split, of a window too; and for slot_state_fuzzer: slots of the
// toy model.
#include "test/unit/runtime/ToyArtifact.h"
#include "test/unit/runtime/ToyText.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

static bool write(const std::filesystem::path &path, tern::test::ToyArtifact &toy) {
  const tern::test::AlignedBytes bytes = toy.write();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char *>(bytes.data()), std::streamsize(bytes.size()));
  return bool(out.flush());
}

/// A slot that holds `length` tokens.
static bool writeSlot(const std::filesystem::path &path, uint32_t length) {
  tern::test::LoadedModel model{tern::test::ToyArtifact().write()};
  tern::test::ToySession session{model.handle, 1, 192};
  tern_error error = TERN_ERROR_INIT;
  for (uint32_t i = 0; i < length; ++i) {
    const int32_t token = int32_t(i * 7 % TOY_VOCABULARY), slot = 0;
    tern_batch batch = TERN_BATCH_INIT;
    batch.rows = 1;
    batch.tokens = &token;
    batch.slots = &slot;
    tern_logits logits = TERN_LOGITS_INIT;
    if (tern_forward(session.handle, &batch, &logits, &error) != TERN_OK)
      return false;
  }
  size_t size = 0;
  (void)tern_slot_save_memory(session.handle, 0, nullptr, 0, &size, &error);
  std::vector<char> bytes(size);
  if (tern_slot_save_memory(session.handle, 0, bytes.data(), size, &size, &error) != TERN_OK)
    return false;
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), std::streamsize(size));
  return bool(out.flush());
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: make_artifact_seeds ARTIFACTS SLOTS\n");
    return 2;
  }
  std::filesystem::create_directories(argv[1]);
  std::filesystem::create_directories(argv[2]);
  tern::test::ToyArtifact plain, withText, codes, split, window;
  withText.table.tokenizer = tern::test::toyTokenizer();
  tern::fb::KvCacheT &cache = *codes.table.kv_caches[0];
  cache.type = tern::fb::ElementType::i8; // two bytes of a position's numbers are its scale
  cache.head_size = cache.value_size = TOY_WIDTH * sizeof(float) - 2;
  for (auto &kernel : split.variant().kernels)
    if (kernel->name == "toy_mix") {
      kernel->scratch_bytes = 0;
      kernel->partial_bytes = 64;
      kernel->window = 0;
    }
  window = split;
  for (auto &kernel : window.variant().kernels)
    if (kernel->window)
      kernel->window = 96;
  window.table.kv_caches[0]->window = 96;
  if (write(std::filesystem::path(argv[1]) / "toy-split.tern", split) &&
      write(std::filesystem::path(argv[1]) / "toy-window.tern", window) &&
      write(std::filesystem::path(argv[1]) / "toy.tern", plain) &&
      write(std::filesystem::path(argv[1]) / "toy-text.tern", withText) &&
      write(std::filesystem::path(argv[1]) / "toy-codes.tern", codes) &&
      writeSlot(std::filesystem::path(argv[2]) / "empty.slot", 0) &&
      writeSlot(std::filesystem::path(argv[2]) / "short.slot", 3) &&
      writeSlot(std::filesystem::path(argv[2]) / "two-blocks.slot", 70))
    return 0;
  fprintf(stderr, "make_artifact_seeds: cannot write to %s and %s\n", argv[1], argv[2]);
  return 1;
}
