// Any bytes as a saved slot of the toy model, with the digests that a hostile author can compute
// mended first: loading fails with a message and leaves the slot usable, or gives tokens of the
// vocabulary to go on from.
#include "runtime/core/Sha256.h"
#include "test/unit/runtime/ToyArtifact.h"

#include <cstdlib>
#include <cstring>

using namespace tern::test;

namespace {

constexpr size_t digestBytes = tern::Sha256::digestSize;
constexpr size_t digestsAt = 16; ///< of artifact and code; see SlotState.cpp
constexpr uint32_t context = 192;

/// A session whose second slot holds a few tokens.
struct Fixture {
  LoadedModel model{ToyArtifact().write()};
  ToySession session{model.handle, 2, context};
  std::vector<uint8_t> intact;

  Fixture() {
    forward(1, {5, 6, 7});
    size_t size = 0;
    tern_error error = TERN_ERROR_INIT;
    (void)tern_slot_save_memory(session.handle, 1, nullptr, 0, &size, &error);
    intact.resize(size);
    if (tern_slot_save_memory(session.handle, 1, intact.data(), size, &size, &error) != TERN_OK)
      abort();
  }

  void forward(int32_t slot, std::vector<int32_t> tokens) {
    tern_error error = TERN_ERROR_INIT;
    tern_batch batch = TERN_BATCH_INIT;
    batch.rows = tokens.size();
    batch.tokens = tokens.data();
    const std::vector<int32_t> slots(tokens.size(), slot);
    batch.slots = slots.data();
    tern_logits logits = TERN_LOGITS_INIT;
    if (tern_forward(session.handle, &batch, &logits, &error) != TERN_OK)
      abort();
  }
};

void mend(std::vector<uint8_t> &state, const std::vector<uint8_t> &intact) {
  if (state.size() < digestsAt + 3 * digestBytes)
    return;
  memcpy(&state[digestsAt], &intact[digestsAt], 2 * digestBytes);
  tern::Sha256 hash;
  hash.update(state.data(), state.size() - digestBytes);
  uint8_t digest[digestBytes];
  hash.finish(digest);
  memcpy(&state[state.size() - digestBytes], digest, digestBytes);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static Fixture fixture;
  std::vector<uint8_t> state(data, data + size);
  mend(state, fixture.intact);
  tern_session *session = fixture.session.handle;
  tern_error error = TERN_ERROR_INIT;
  if (tern_slot_load_memory(session, 0, state.data(), state.size(), &error) != TERN_OK) {
    if (*error.message == 0)
      abort();
  } else {
    const uint32_t length = tern_slot_length(session, 0);
    if (length > context)
      abort();
    const int32_t *tokens = tern_slot_tokens(session, 0);
    for (uint32_t i = 0; i < length; ++i)
      if (tokens[i] < 0 || tokens[i] >= TOY_VOCABULARY)
        abort();
    if (length < context)
      fixture.forward(0, {1});
  }
  if (tern_slot_length(session, 1) != 3) // the neighbour
    abort();
  if (tern_slot_truncate(session, 0, 0, &error) != TERN_OK)
    abort();
  return 0;
}
