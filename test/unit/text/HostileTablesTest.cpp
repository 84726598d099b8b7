// Tables from a hostile file: nothing may be read out of bounds or run without end. Run under
// AddressSanitizer; here only the outcomes that are defined are checked.
#include "test/unit/text/BuiltTokenizer.h"

#include <random>

using namespace tern;
using namespace tern::text;

namespace {

const char *const sampleText = "<bos>Hello, world's 12345 tokens!\n\n  caf\u00e9 e\u0301\u0323 "
                               "\u4e2d\u6587 \xff\xfe ''' <tool> \u1100\u1161 aaaaaaaaaaaaaaaaaaaa";

/// Uses every table. Whether the tables are refused does not matter.
void exercise(const std::vector<uint8_t> &bytes) {
  flatbuffers::Verifier verifier(bytes.data(), bytes.size());
  if (!verifier.VerifyBuffer<fb::Tokenizer>(nullptr))
    return;
  const auto *table = flatbuffers::GetRoot<fb::Tokenizer>(bytes.data());
  ChatText chat;
  ChatMessage messages[] = {{ChatRole::system, " s "}, {ChatRole::user, " u <bos>"}};
  Status rendered = renderChat(table->chat(), messages, 2, true, chat);
  Result<Tokenizer> tokenizer = Tokenizer::create(table);
  if (!tokenizer.isOk())
    return;
  EncodeWorkspace workspace;
  TokenBuffer tokens;
  Status status = tokenizer->encode(sampleText, {}, workspace, tokens);
  if (status.isOk() && rendered.isOk())
    status = tokenizer->encode(chat, {}, workspace, tokens);
  Detokenizer detokenizer(*tokenizer, {.renderSpecial = true});
  std::string text;
  for (int32_t id : tokens)
    ASSERT_TRUE(detokenizer.push(id, BuiltTokenizer::sinkTo(text)).isOk())
        << "encode made a token that does not exist";
  for (uint32_t id = 0; id < std::min(tokenizer->tokenCount(), 2000u); ++id)
    (void)tokenizer->isEndOfGeneration(int32_t(id));
}

TokenizerSpec sampleSpec(const std::string &pre) {
  TokenizerSpec spec = byteLevelSpec({"a a", "aa aa", "l o", "H e", "c a", "ca f"}, pre);
  spec.chatTemplate = "{% for m in messages %}<bos>{{ m.role }}\n{{ m.content | trim }}<eos>"
                      "{% endfor %}{% if add_generation_prompt %}<bos>assistant\n{% endif %}";
  return spec;
}

TEST(HostileTables, RandomDamageIsHarmless) {
  for (const char *pre :
       {"qwen2", "default", "deepseek-llm", "deepseek-v3", "gpt-4o", "bloom", "jais-2"}) {
    const std::vector<uint8_t> original = BuiltTokenizer(sampleSpec(pre)).bytes;
    std::mt19937 random(7); // the seed is part of the test
    for (int round = 0; round < 2000; ++round) {
      std::vector<uint8_t> damaged = original;
      for (unsigned n = 1 + random() % 8; n > 0; --n) {
        size_t position = random() % 4 ? random() % damaged.size()
                                       : random() % std::min<size_t>(damaged.size(), 400);
        damaged[position] = random() % 2 ? uint8_t(random()) : random() % 2 ? 0xff : 0;
      }
      exercise(damaged);
    }
  }
}

/// Fills a whole vector of the tables with one 32-bit value.
template <typename Vector> void fill(const Vector *vector, uint32_t value) {
  size_t bytes = vector->size() * sizeof(*vector->begin());
  auto *data = const_cast<uint8_t *>(vector->Data());
  for (size_t i = 0; i + 4 <= bytes; i += 4)
    std::memcpy(data + i, &value, 4);
}

TEST(HostileTables, VectorsOfExtremeValuesAreHarmless) {
  for (uint32_t value : {0u, 1u, 5u, 0x7fffffffu, 0x80000000u, 0xfffffffeu, 0xffffffffu}) {
    auto damage = [&](auto choose) {
      BuiltTokenizer built(sampleSpec("qwen2"));
      choose(*built.table());
      exercise(built.bytes);
    };
    damage([&](const fb::Tokenizer &t) { fill(t.symbol_offsets(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.symbol_hash(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.token_flags(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.byte_tokens(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.special_tokens(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.special_first_bytes(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.class_pages(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.class_blocks(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.end_of_generation(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.nfc()->pages(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.nfc()->sets(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.nfc()->combining_classes(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.nfc()->decompositions(), value); });
    damage([&](const fb::Tokenizer &t) { fill(t.nfc()->compositions(), value); });
    damage([&](const fb::Tokenizer &t) {
      auto *merges = reinterpret_cast<const flatbuffers::Vector<uint32_t> *>(t.merges());
      auto *data = const_cast<uint8_t *>(merges->Data());
      for (size_t i = 0; i < t.merges()->size() * sizeof(fb::Merge); i += 4)
        std::memcpy(data + i, &value, 4);
    });
  }
}

TEST(HostileTables, EveryPairMergingIntoItsLeftSymbolEnds) {
  // All slots hold "a a -> a": the merges never make progress in the vocabulary.
  BuiltTokenizer built(sampleSpec("gpt-2"));
  auto *slots =
      reinterpret_cast<fb::Merge *>(const_cast<uint8_t *>(built.table()->merges()->Data()));
  for (uint32_t i = 0; i < built.table()->merges()->size(); ++i)
    slots[i] = fb::Merge('a', 'a', 'a', 0);
  EXPECT_EQ(built.encode("aaaaaaaa"), std::vector<int32_t>{'a'});
}

TEST(HostileTables, DecompositionsInACircleEnd) {
  BuiltTokenizer built(sampleSpec("qwen2"));
  auto *entries = const_cast<fb::Decomposition *>(
      reinterpret_cast<const fb::Decomposition *>(built.table()->nfc()->decompositions()->Data()));
  for (uint32_t i = 0; i < built.table()->nfc()->decompositions()->size(); ++i)
    entries[i] = fb::Decomposition(entries[i].code_point(), entries[i].code_point(), 0);
  EXPECT_FALSE(built.encode("\u00e9\u0323").empty());
}

TEST(HostileTables, WrongCharacterClassesLoseNoText) {
  // A space that is no white space stops the matcher of white space before its first character.
  BuiltTokenizer built(sampleSpec("gpt-2"));
  const_cast<uint8_t *>(built.table()->class_blocks()->Data())[' '] = 0;
  EXPECT_EQ(built.decode(built.encode(" \n \nx")), " \n \nx");
}

TEST(HostileTables, SymbolsThatAreNoTokensAreNotEmitted) {
  TokenizerSpec spec = sentencePieceSpec({"xy"}); // x and y become extra symbols
  BuiltTokenizer built(spec);
  auto *special = const_cast<uint8_t *>(built.table()->special_tokens()->Data());
  auto *firstBytes = const_cast<uint8_t *>(built.table()->special_first_bytes()->Data());
  std::memset(firstBytes, 0xff, 32);
  for (uint32_t i = 0; i < built.table()->special_tokens()->size(); ++i) {
    uint32_t extra = uint32_t(spec.tokens.size());
    std::memcpy(special + 4 * i, &extra, 4);
  }
  for (int32_t id : built.encode("x"))
    EXPECT_LT(id, int32_t(spec.tokens.size()));
}

TEST(HostileTables, AreRefusedWhenInconsistent) {
  auto refusal = [](auto change) {
    flatbuffers::FlatBufferBuilder builder;
    auto source = BuiltTokenizer(sampleSpec("gpt-2"));
    auto offsets = builder.CreateVector(std::vector<uint32_t>{0, 1, 2});
    auto bytes = builder.CreateVector(std::vector<uint8_t>{'a', 'b'});
    auto flags = builder.CreateVector(std::vector<uint8_t>{1, 1});
    auto byteTokens = builder.CreateVector(std::vector<int32_t>(256, -1));
    fb::SplitStage newerSet(fb::SplitKind::set_runs, uint8_t(fb::CodePointSet::MAX) + 1);
    fb::SplitStage newerKind(fb::SplitKind(uint8_t(fb::SplitKind::MAX) + 1), 0);
    auto newerSets = builder.CreateVectorOfStructs(&newerSet, 1);
    auto newerKinds = builder.CreateVectorOfStructs(&newerKind, 1);
    fb::TokenizerBuilder table(builder);
    table.add_symbol_offsets(offsets);
    table.add_symbol_bytes(bytes);
    table.add_token_flags(flags);
    table.add_byte_tokens(byteTokens);
    change(table, newerSets, newerKinds);
    builder.Finish(table.Finish());
    return Tokenizer::create(flatbuffers::GetRoot<fb::Tokenizer>(builder.GetBufferPointer()))
        .status()
        .code();
  };
  EXPECT_EQ(refusal([](auto &t, auto, auto) { t.add_token_count(2); }), StatusCode::ok);
  EXPECT_EQ(refusal([](auto &t, auto, auto) { t.add_token_count(0); }),
            StatusCode::invalidArtifact);
  EXPECT_EQ(refusal([](auto &t, auto, auto) { t.add_token_count(3); }),
            StatusCode::invalidArtifact);
  EXPECT_EQ(refusal([](auto &t, auto, auto) { t.add_token_count(1); }),
            StatusCode::invalidArtifact);
  EXPECT_EQ(refusal([](auto &t, auto, auto) { t.add_token_count(2), t.add_bos(2); }),
            StatusCode::invalidArtifact);
  EXPECT_EQ(refusal([](auto &t, auto, auto) { t.add_token_count(2), t.add_eos(-2); }),
            StatusCode::invalidArtifact);
  EXPECT_EQ(refusal([](auto &t, auto, auto) { t.add_token_count(2), t.add_add_bos(true); }),
            StatusCode::invalidArtifact);
  EXPECT_EQ(refusal([](auto &t, auto, auto) {
              t.add_token_count(2), t.add_model(fb::TokenizerModel(77));
            }),
            StatusCode::unsupported);
  EXPECT_EQ(refusal([](auto &t, auto sets, auto) { t.add_token_count(2), t.add_stages(sets); }),
            StatusCode::unsupported);
  EXPECT_EQ(refusal([](auto &t, auto, auto kinds) { t.add_token_count(2), t.add_stages(kinds); }),
            StatusCode::unsupported);
  EXPECT_EQ(Tokenizer::create(nullptr).status().code(), StatusCode::notFound);
}

} // namespace
