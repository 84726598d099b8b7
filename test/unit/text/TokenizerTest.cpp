// Encoding with small hand-made vocabularies, and what the builder refuses. Agreement with the
// reference libraries on real-sized ones is tested by test/e2e/test_tokenizers.py.
#include "test/unit/text/BuiltTokenizer.h"

#include <random>

using namespace tern;
using namespace tern::text;

namespace {

using Ids = std::vector<int32_t>;

std::string buildError(const TokenizerSpec &spec) {
  flatbuffers::FlatBufferBuilder builder;
  auto result = buildTokenizer(spec, builder);
  return result ? "" : llvm::toString(result.takeError());
}

TEST(Tokenizer, MergesByRankThenFromTheLeft) {
  BuiltTokenizer built(byteLevelSpec({"a a", "aa a", "a b"}));
  EXPECT_EQ(built.encode("aaab"), (Ids{257, 'b'})); // not aa + ab: "aa a" comes before "a b"
  EXPECT_EQ(built.encode("aaaa"), (Ids{256, 256}));
  EXPECT_EQ(built.encode("aab"), (Ids{256, 'b'}));
}

TEST(Tokenizer, EncodesAnyBytesAndDecodesThemAgain) {
  BuiltTokenizer built(byteLevelSpec({"a b", "\xc4\xa0 a"}));
  Tokenizer tokenizer = built.tokenizer();
  std::mt19937 random(20); // the seed is part of the test
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (unsigned n = random() % 40; n > 0; --n)
      text += random() % 3 ? "ab <\n'\xe4\xf0"[random() % 8] : char(random());
    std::string bytes;
    for (int32_t id : built.encode(text))
      bytes += tokenizer.tokenBytes(id);
    ASSERT_EQ(bytes, text);
  }
}

TEST(Tokenizer, ParsesControlTokensOnlyOnRequest) {
  BuiltTokenizer built(byteLevelSpec({}));
  EXPECT_EQ(built.encode("<bos>x"), (Ids{256, 'x'}));
  EXPECT_EQ(built.encode("<bos>", {.parseSpecial = false}), (Ids{'<', 'b', 'o', 's', '>'}));
  EXPECT_EQ(built.encode("<tool>", {.parseSpecial = false}), (Ids{258})) << "user-defined";
  EXPECT_EQ(built.encode("<bos"), (Ids{'<', 'b', 'o', 's'}));
}

TEST(Tokenizer, PrefersTheLongestSpecialToken) {
  TokenizerSpec spec = byteLevelSpec({});
  for (const char *token : {"<|a", "<|a|>", "<|a|>b"}) {
    spec.tokens.push_back(token);
    spec.tokenTypes.push_back(3);
  }
  BuiltTokenizer built(spec);
  EXPECT_EQ(built.encode("<|a<|a|><|a|>b<|"), (Ids{259, 260, 261, '<', '|'}));
}

TEST(Tokenizer, AddsBosAndEosAsTheModelAsks) {
  TokenizerSpec spec = byteLevelSpec({});
  spec.addBos = spec.addEos = true;
  BuiltTokenizer built(spec);
  EXPECT_EQ(built.encode("x"), (Ids{256, 'x', 257}));
  EXPECT_EQ(built.encode("x", {.addBos = false, .addEos = false}), (Ids{'x'}));
  EXPECT_EQ(built.encode(""), (Ids{256, 257}));
}

TEST(Tokenizer, KnowsWhatEndsGeneration) {
  TokenizerSpec spec = byteLevelSpec({});
  spec.tokens.push_back("<|im_end|>");
  spec.tokenTypes.push_back(3);
  spec.tokens.push_back("<|eot_id|>"); // an end and a control token whatever its type
  spec.tokenTypes.push_back(1);
  spec.tokens.push_back("<|other|>");
  spec.tokenTypes.push_back(3);
  Tokenizer tokenizer;
  BuiltTokenizer built(spec);
  tokenizer = built.tokenizer();
  EXPECT_TRUE(tokenizer.isEndOfGeneration(257));
  EXPECT_TRUE(tokenizer.isEndOfGeneration(259));
  EXPECT_FALSE(tokenizer.isEndOfGeneration(256));
  EXPECT_TRUE(tokenizer.isEndOfGeneration(260));
  EXPECT_EQ(tokenizer.kind(260), TokenKind::control);
  EXPECT_FALSE(tokenizer.isEndOfGeneration(261));
  EXPECT_FALSE(tokenizer.isEndOfGeneration(-1));
  EXPECT_FALSE(tokenizer.isEndOfGeneration(1 << 30));
}

TEST(Tokenizer, NormalizesToNfcWhereTheModelDoes) {
  std::vector<std::string> noMerges;
  BuiltTokenizer nfc(byteLevelSpec(noMerges, "qwen2")), plain(byteLevelSpec(noMerges, "gpt-2"));
  auto text = [](const BuiltTokenizer &built, std::string_view input) {
    std::string bytes;
    for (int32_t id : built.encode(input))
      bytes += built.tokenizer().tokenBytes(id);
    return bytes;
  };
  EXPECT_EQ(text(plain, "e\u0301"), "e\u0301");
  EXPECT_EQ(text(nfc, "e\u0301"), "\u00e9");
  EXPECT_EQ(text(nfc, "ae\u0323\u0302b"), "a\u1ec7b");
  EXPECT_EQ(text(nfc, "ae\u0302\u0323b"), "a\u1ec7b") << "marks are reordered";
  EXPECT_EQ(text(nfc, "\u212b\u0958"), "\u00c5\u0915\u093c") << "singleton and exclusion";
  EXPECT_EQ(text(nfc, "\u1112\u1161\u11ab"), "\ud55c") << "Hangul";
  EXPECT_EQ(text(nfc, "\ud558\u11ab"), "\ud55c");
  EXPECT_EQ(text(nfc, "\xff\u0301\xe4"), "\xff\u0301\xe4") << "invalid bytes pass through";
}

TEST(Tokenizer, SentencePieceMergesByScoreWithSpacePrefix) {
  BuiltTokenizer built(sentencePieceSpec({"\u2581a", "ab", "\u2581", "a", "b"}));
  int32_t first = 259;
  EXPECT_EQ(built.encode("ab"), (Ids{first, first + 4})) << "_a scores better than ab";
  EXPECT_EQ(built.encode("bab"), (Ids{first + 2, first + 4, first + 1}));
  EXPECT_EQ(built.encode("a\u2581a"), (Ids{first, first})) << "U+2581 is a space";
  EXPECT_EQ(built.encode("<s>a"), (Ids{1, first})) << "a space after a special token too";
  EXPECT_EQ(built.encode(""), Ids());
  EXPECT_EQ(built.decode({first, first}, {.dropSpacePrefix = true}), "a a");
  EXPECT_EQ(built.decode({first, first}), " a a");
}

TEST(Tokenizer, SentencePieceFallsBackToBytes) {
  BuiltTokenizer built(sentencePieceSpec({"\u2581"}));
  EXPECT_EQ(built.encode("\u00e9\xff"), (Ids{259, 3 + 0xc3, 3 + 0xa9, 3 + 0xff}));
  EXPECT_EQ(built.decode({3 + 0xc3, 3 + 0xa9}), "\u00e9");
}

TEST(Tokenizer, UnknownStretchesBecomeOneToken) {
  BuiltTokenizer built(sentencePieceSpec({"\u2581", "a"}, false));
  EXPECT_EQ(built.encode("xyza\u4e2d"), (Ids{3, 0, 4, 0}));
}

TEST(Tokenizer, SaysWhichByteHasNoToken) {
  TokenizerSpec spec = byteLevelSpec({});
  spec.tokens['q'] = "replaced";
  BuiltTokenizer built(spec);
  EncodeWorkspace workspace;
  TokenBuffer tokens;
  Status status = built.tokenizer().encode("aqb", {}, workspace, tokens);
  EXPECT_EQ(status.code(), StatusCode::invalidArgument);
  EXPECT_NE(std::string(status.message()).find("0x71"), std::string::npos) << status.message();
}

TEST(Tokenizer, LongWordsOfEqualCharactersAreExact) {
  BuiltTokenizer built(byteLevelSpec({"a a", "aa aa", "aaaa aaaa"}));
  Ids ids = built.encode(std::string(1000003, 'a'));
  ASSERT_EQ(ids.size(), 125002u);
  EXPECT_EQ(Ids(ids.end() - 3, ids.end()), (Ids{258, 256, 'a'}));
}

/// A matcher that looks at the rest of the text for every word would take hours here.
TEST(Tokenizer, LongTextsOfAwkwardCharactersAreCutInLinearTime) {
  for (const char *pre : {"gpt-2", "default", "qwen35", "seed-coder", "jais-2", "tekken", "gpt-4o",
                          "bloom", "deepseek-llm", "deepseek-coder", "deepseek-v3", "laguna"}) {
    std::vector<std::string> noMerges;
    BuiltTokenizer built(byteLevelSpec(noMerges, pre));
    for (const char *unit : {" ", "\n", "\n ", "A", "\u4e2dA", "A\u4e2d", "\x01", "1", "'", "/",
                             " /", "\u3000", "\u0301", "\u2028", "\xff", "'s", "\x01 ", "!a"}) {
      std::string text;
      while (text.size() < 200000)
        text += unit;
      EXPECT_EQ(built.encode(text, {.addBos = false}).size(), text.size()) << pre << ' ' << unit;
    }
  }
}

TEST(Tokenizer, EqualInputGivesEqualBytes) {
  TokenizerSpec spec = byteLevelSpec({"a b", "b c", "ab c"}, "qwen2");
  EXPECT_EQ(BuiltTokenizer(spec).bytes, BuiltTokenizer(spec).bytes);
}

TEST(TokenizerBuilder, ListsWhatItKnows) {
  TokenizerSpec spec = byteLevelSpec({}, "no-such");
  EXPECT_NE(
      buildError(spec).find("unknown tokenizer.ggml.pre 'no-such'; known are: default, gpt-2"),
      std::string::npos)
      << buildError(spec);
  spec.model = "bert";
  EXPECT_EQ(buildError(spec),
            "unknown tokenizer.ggml.model 'bert'; known are: gpt2, llama, gemma4");
}

TEST(TokenizerBuilder, RefusesInconsistentMetadata) {
  auto broken = [](auto change) {
    TokenizerSpec spec = byteLevelSpec({"a b"});
    change(spec);
    return buildError(spec);
  };
  EXPECT_NE(broken([](auto &s) { s.tokens.clear(); }), "");
  EXPECT_NE(broken([](auto &s) { s.tokenTypes.pop_back(); }), "");
  EXPECT_NE(broken([](auto &s) { s.tokenTypes[3] = 7; }), "");
  EXPECT_NE(broken([](auto &s) { s.scores = {1}; }), "");
  EXPECT_NE(broken([](auto &s) { s.merges = {"ab"}; }), "");
  EXPECT_NE(broken([](auto &s) { s.merges = {"a c"}; }), "");
  EXPECT_NE(broken([](auto &s) { s.bos = 100000; }), "");
  EXPECT_NE(broken([](auto &s) { s.bos.reset(), s.addBos = true; }), "");
  EXPECT_NE(broken([](auto &s) { s.tokens[257] = std::string(2000, 'x'); }), "");
  TokenizerSpec spec = sentencePieceSpec({"a"});
  spec.scores.back() = NAN;
  EXPECT_NE(buildError(spec), "");
  spec.scores.clear();
  EXPECT_NE(buildError(spec), "");
  spec = sentencePieceSpec({"a"});
  spec.tokens[5] = "<0x0";
  EXPECT_NE(buildError(spec), "");
}

TEST(TokenizerBuilder, WarnsAboutAMissingPreTokenizer) {
  TokenizerSpec spec = byteLevelSpec({}, "");
  std::vector<std::string> warnings;
  flatbuffers::FlatBufferBuilder builder;
  auto result =
      buildTokenizer(spec, builder, [&](llvm::StringRef line) { warnings.push_back(line.str()); });
  ASSERT_TRUE(bool(result));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("tokenizer.ggml.pre"), std::string::npos);
}

} // namespace
