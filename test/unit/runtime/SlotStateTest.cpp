// Saved slots: round trips between sessions, and refusal of everything else, with the codes that
// tern.h promises.
#include "test/unit/runtime/ToyArtifact.h"

#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <vector>

using namespace tern::test;

namespace {
class SlotState : public testing::Test {
protected:
  LoadedModel model{ToyArtifact().write()};
  tern_error error = TERN_ERROR_INIT;

  void SetUp() override { ASSERT_NE(model.handle, nullptr) << model.error.message; }

  /// Logits of the last of `tokens`, which continue the slot.
  std::vector<float> evaluate(tern_session *session, int32_t slot, std::vector<int32_t> tokens) {
    std::vector<float> last;
    for (size_t at = 0; at < tokens.size(); at += TOY_MAX_BATCH) {
      tern_batch batch = TERN_BATCH_INIT;
      batch.rows = std::min<size_t>(TOY_MAX_BATCH, tokens.size() - at);
      batch.tokens = tokens.data() + at;
      const std::vector<int32_t> slots(batch.rows, slot);
      batch.slots = slots.data();
      tern_logits logits = TERN_LOGITS_INIT;
      EXPECT_EQ(tern_forward(session, &batch, &logits, &error), TERN_OK) << error.message;
      last.assign(logits.logits, logits.logits + TOY_VOCABULARY);
    }
    return last;
  }
  std::vector<uint8_t> save(tern_session *session, uint32_t slot) {
    size_t size = 0;
    EXPECT_EQ(tern_slot_save_memory(session, slot, nullptr, 0, &size, &error),
              TERN_BUFFER_TOO_SMALL);
    std::vector<uint8_t> bytes(size);
    EXPECT_EQ(tern_slot_save_memory(session, slot, bytes.data(), size, &size, &error), TERN_OK)
        << error.message;
    EXPECT_EQ(size, bytes.size());
    return bytes;
  }
  tern_status load(tern_session *session, uint32_t slot, const std::vector<uint8_t> &bytes) {
    return tern_slot_load_memory(session, slot, bytes.data(), bytes.size(), &error);
  }
  /// The same through a callback that fails where the bytes end.
  tern_status loadByCallback(tern_session *session, uint32_t slot, std::vector<uint8_t> bytes) {
    const auto read = [](void *context, void *data, size_t size) {
      auto &left = *static_cast<std::vector<uint8_t> *>(context);
      if (size > left.size())
        return 1;
      std::copy_n(left.begin(), size, static_cast<uint8_t *>(data));
      left.erase(left.begin(), left.begin() + long(size));
      return 0;
    };
    return tern_slot_load(session, slot, read, &bytes, &error);
  }
  bool hasMessage(const char *part) const {
    return std::string(error.message).find(part) != std::string::npos;
  }
};
} // namespace

static std::vector<int32_t> someTokens(int count, int first = 3) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i)
    tokens.push_back((first + i * 7) % TOY_VOCABULARY);
  return tokens;
}

TEST_F(SlotState, GoesOnInAnotherSessionAsInItsOwn) {
  for (int length : {1, 15, 16, 63, 64, 65, 130}) {
    ToySession first(model.handle, 2, 256), second(model.handle, 3, 192);
    evaluate(first.handle, 1, someTokens(length));
    evaluate(second.handle, 2, someTokens(100, 50));
    ASSERT_EQ(load(second.handle, 2, save(first.handle, 1)), TERN_OK) << error.message;
    ASSERT_EQ(tern_slot_length(second.handle, 2), uint32_t(length));
    const int32_t *tokens = tern_slot_tokens(second.handle, 2);
    EXPECT_EQ(std::vector<int32_t>(tokens, tokens + length), someTokens(length));
    EXPECT_EQ(evaluate(second.handle, 2, {9, 8}), evaluate(first.handle, 1, {9, 8}));
  }
}

TEST_F(SlotState, AnEmptySlotIsSavedToo) {
  ToySession session(model.handle, 2);
  evaluate(session.handle, 1, someTokens(5));
  ASSERT_EQ(load(session.handle, 1, save(session.handle, 0)), TERN_OK) << error.message;
  EXPECT_EQ(tern_slot_length(session.handle, 1), 0u);
}

TEST_F(SlotState, HasNothingOfEarlierContents) {
  ToySession used(model.handle), fresh(model.handle);
  evaluate(used.handle, 0, someTokens(120, 40));
  ASSERT_EQ(tern_slot_truncate(used.handle, 0, 0, &error), TERN_OK);
  for (int length : {3, 21, 64, 90}) {
    evaluate(used.handle, 0, someTokens(length));
    evaluate(fresh.handle, 0, someTokens(length));
    EXPECT_EQ(save(used.handle, 0), save(fresh.handle, 0)) << length;
    ASSERT_EQ(tern_slot_truncate(used.handle, 0, 0, &error), TERN_OK);
    ASSERT_EQ(tern_slot_truncate(fresh.handle, 0, 0, &error), TERN_OK);
  }
}

/// Where parts of the header lie; see SlotState.cpp.
constexpr size_t headerSize = 104, versionAt = 8, codeDigestAt = 48, lengthAt = 80;

/// Whether a cell's bytes of a saved cache of codes (schema/tern.fbs, KvCache) belong to a position
/// behind `used`. One head, `size` codes and two bytes of scale a position.
static bool isBehind(size_t byte, bool isKey, size_t size, size_t used) {
  const size_t positions = isKey ? 16 : 64, tile = positions * (size + 2);
  const size_t inTile = byte % tile, codes = positions * size;
  const size_t position = inTile >= codes ? (inTile - codes) / 2
                          : isKey         ? inTile % 16
                                          : inTile / size;
  return byte / tile * positions + position >= used;
}

// The toy's kernels write numbers over the cells, which is as good as codes here.
TEST_F(SlotState, BehindTheLengthCodesAndScalesAreZero) {
  ToyArtifact codes;
  constexpr uint32_t size = TOY_WIDTH * sizeof(float) - 2;
  codes.table.kv_caches[0]->type = tern::fb::ElementType::i8;
  codes.table.kv_caches[0]->head_size = codes.table.kv_caches[0]->value_size = size;
  LoadedModel ofCodes(codes.write());
  ASSERT_NE(ofCodes.handle, nullptr) << ofCodes.error.message;
  ToySession session(ofCodes.handle, 1, 64);
  evaluate(session.handle, 0, someTokens(64));
  const std::vector<uint8_t> full = save(session.handle, 0);
  constexpr size_t header = headerSize, block = size_t(64) * (size + 2), digest = 32;
  ASSERT_EQ(full.size(), header + 64 * 4 + 2 * block + digest);
  for (uint32_t length : {63, 50, 48, 17, 16, 1}) {
    ASSERT_EQ(tern_slot_truncate(session.handle, 0, length, &error), TERN_OK) << error.message;
    const std::vector<uint8_t> saved = save(session.handle, 0);
    ASSERT_EQ(saved.size(), header + length * 4 + 2 * block + digest);
    for (size_t at = 0; at < 2 * block; ++at) {
      const uint8_t before = full[header + 64 * 4 + at];
      const bool behind = isBehind(at % block, at < block, size, length);
      ASSERT_EQ(saved[header + length * 4 + at], behind ? 0 : before)
          << "length " << length << ", byte " << at;
    }
  }
}

TEST_F(SlotState, EveryDamagedByteIsFound) {
  ToySession session(model.handle, 2);
  evaluate(session.handle, 0, someTokens(20));
  const std::vector<uint8_t> intact = save(session.handle, 0);
  for (size_t at = 0; at < intact.size(); at += at < 200 ? 1 : 37) {
    std::vector<uint8_t> damaged = intact;
    damaged[at] ^= 0x10;
    const bool inVersion = at >= versionAt && at < versionAt + 4;
    const bool growsLength = at > lengthAt && at < lengthAt + 4; // in the first byte 20 becomes 4
    const tern_status expected = inVersion     ? TERN_UNSUPPORTED
                                 : growsLength ? TERN_OUT_OF_RANGE
                                               : TERN_INVALID_ARGUMENT;
    // What the header says is found before the slot is touched.
    const uint32_t left = at < headerSize ? 2 : 0;
    ASSERT_EQ(tern_slot_truncate(session.handle, 1, 0, &error), TERN_OK);
    evaluate(session.handle, 1, {5, 6});
    EXPECT_EQ(load(session.handle, 1, damaged), expected) << "byte " << at;
    EXPECT_EQ(tern_slot_length(session.handle, 1), left) << "byte " << at;
    EXPECT_GT(strlen(error.message), 10u);
  }
  EXPECT_EQ(load(session.handle, 1, intact), TERN_OK) << error.message;
}

TEST_F(SlotState, TheSizeIsExact) {
  ToySession session(model.handle, 2);
  evaluate(session.handle, 0, someTokens(20));
  evaluate(session.handle, 1, {5, 6});
  const std::vector<uint8_t> intact = save(session.handle, 0);
  for (size_t size : {size_t(0), size_t(7), headerSize - 1, headerSize, size_t(200),
                      intact.size() - 1, intact.size() + 1, intact.size() + 500}) {
    std::vector<uint8_t> other = intact;
    other.reserve(1); // data() is not null
    other.resize(size);
    EXPECT_EQ(load(session.handle, 1, other), TERN_INVALID_ARGUMENT) << size;
    EXPECT_TRUE(hasMessage("bytes")) << error.message;
    EXPECT_EQ(tern_slot_length(session.handle, 1), 2u) << "the slot is left alone";
  }
}

TEST_F(SlotState, ACallbackThatFailsIsAnInputError) {
  ToySession session(model.handle, 2);
  evaluate(session.handle, 0, someTokens(20));
  const std::vector<uint8_t> intact = save(session.handle, 0);
  for (size_t size : {size_t(0), headerSize - 1, headerSize, size_t(200), intact.size() - 1}) {
    ASSERT_EQ(tern_slot_truncate(session.handle, 1, 0, &error), TERN_OK);
    evaluate(session.handle, 1, {5, 6});
    EXPECT_EQ(loadByCallback(session.handle, 1, {intact.begin(), intact.begin() + long(size)}),
              TERN_IO_ERROR);
    EXPECT_EQ(tern_slot_length(session.handle, 1), size < headerSize ? 2u : 0u) << size;
  }
  const auto full = [](void *, const void *, size_t) { return 1; };
  EXPECT_EQ(tern_slot_save(session.handle, 0, full, nullptr, &error), TERN_IO_ERROR);
  EXPECT_EQ(loadByCallback(session.handle, 1, intact), TERN_OK) << error.message;
}

TEST_F(SlotState, OtherCodeOfTheSameArtifactIsRefused) {
  ToyArtifact toy;
  const std::string target = toy.variant().target;
  auto second = std::make_unique<tern::fb::VariantT>(toy.variant());
  second->target = target + "-second";
  auto same = std::make_unique<tern::fb::VariantT>(toy.variant());
  same->target = target + "-same";
  toy.table.variants.push_back(std::move(second));
  toy.table.variants.push_back(std::move(same));
  toy.images.resize(3, toyImage());
  toy.images[1].push_back(0); // behind the image: other bytes, the same code
  const AlignedBytes file = toy.write();
  const auto loadTarget = [&](const std::string &name) {
    tern_model_options options = TERN_MODEL_OPTIONS_INIT;
    options.target = name.c_str();
    return LoadedModel(file, &options);
  };
  const LoadedModel one = loadTarget(target), two = loadTarget(target + "-second"),
                    three = loadTarget(target + "-same");
  ASSERT_NE(one.handle, nullptr) << one.error.message;
  ASSERT_NE(two.handle, nullptr) << two.error.message;
  ASSERT_NE(three.handle, nullptr) << three.error.message;
  ToySession first(one.handle), other(two.handle), equal(three.handle);
  evaluate(first.handle, 0, someTokens(5));
  evaluate(other.handle, 0, someTokens(9));
  std::vector<uint8_t> saved = save(first.handle, 0);
  EXPECT_EQ(load(other.handle, 0, saved), TERN_INVALID_ARGUMENT);
  EXPECT_TRUE(hasMessage(("computed by " + target + ", here " + target + "-second").c_str()))
      << error.message;
  EXPECT_EQ(tern_slot_length(other.handle, 0), 9u);
  EXPECT_EQ(load(equal.handle, 0, saved), TERN_OK) << error.message;
  saved[codeDigestAt] ^= 1;
  EXPECT_EQ(load(first.handle, 0, saved), TERN_INVALID_ARGUMENT);
  EXPECT_TRUE(hasMessage("no target of this artifact")) << error.message;
}

TEST_F(SlotState, StatesOfAnotherVersionAreRefused) {
  ToySession session(model.handle);
  std::vector<uint8_t> saved = save(session.handle, 0);
  saved[versionAt] = 1;
  EXPECT_EQ(load(session.handle, 0, saved), TERN_UNSUPPORTED);
  EXPECT_TRUE(hasMessage("version 1, this runtime reads 3")) << error.message;
}

TEST_F(SlotState, ForeignStatesLeaveTheSlotAlone) {
  ToyArtifact other;
  other.table.metadata[0]->value = "another";
  LoadedModel otherModel(other.write());
  ASSERT_NE(otherModel.handle, nullptr) << otherModel.error.message;
  ToySession session(model.handle, 1, 64), otherSession(otherModel.handle), large(model.handle);
  evaluate(otherSession.handle, 0, someTokens(5));
  evaluate(large.handle, 0, someTokens(65));
  evaluate(session.handle, 0, someTokens(9));
  EXPECT_EQ(load(session.handle, 0, save(otherSession.handle, 0)), TERN_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error.message).find("another model"), std::string::npos);
  EXPECT_EQ(load(session.handle, 0, save(large.handle, 0)), TERN_OUT_OF_RANGE);
  EXPECT_NE(std::string(error.message).find("longer context"), std::string::npos);
  EXPECT_EQ(load(session.handle, 0, std::vector<uint8_t>(1000, 'x')), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_slot_length(session.handle, 0), 9u);
}

TEST_F(SlotState, SlotsThatDoNotExistAreRefused) {
  ToySession session(model.handle);
  size_t size = 0;
  char byte;
  EXPECT_EQ(tern_slot_save_memory(session.handle, 1, &byte, 1, &size, &error), TERN_OUT_OF_RANGE);
  EXPECT_EQ(tern_slot_load_memory(session.handle, 1, &byte, 1, &error), TERN_OUT_OF_RANGE);
  EXPECT_EQ(tern_slot_save(session.handle, 0, nullptr, nullptr, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_slot_load(session.handle, 0, nullptr, nullptr, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_slot_save_memory(nullptr, 0, &byte, 1, &size, &error), TERN_INVALID_ARGUMENT);
  EXPECT_EQ(tern_slot_tokens(session.handle, 1), nullptr);
}
