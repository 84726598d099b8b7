// decodeUtf8 and the streaming detokenizer on the awkward cases of UTF-8.
#include "runtime/text/Utf8.h"
#include "test/unit/text/BuiltTokenizer.h"

using namespace tern;
using namespace tern::text;

namespace {

TEST(Utf8, RoundTripsEveryCodePoint) {
  for (uint32_t codePoint = 0; codePoint < 0x110000; ++codePoint) {
    if (codePoint >= 0xd800 && codePoint < 0xe000)
      continue;
    char bytes[4];
    uint32_t length = encodeUtf8(codePoint, bytes);
    Utf8Char decoded = decodeUtf8({bytes, length}, 0);
    ASSERT_EQ(decoded.codePoint, codePoint);
    ASSERT_EQ(decoded.length, length);
    for (uint32_t cut = 1; cut < length; ++cut) {
      decoded = decodeUtf8({bytes, cut}, 0);
      ASSERT_EQ(decoded.codePoint, invalidCodePoint);
      ASSERT_TRUE(decoded.truncated) << codePoint << " cut to " << cut;
    }
  }
}

TEST(Utf8, RejectsWhatIsNoCodePoint) {
  for (std::string_view text :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    Utf8Char decoded = decodeUtf8(text, 0);
    EXPECT_EQ(decoded.codePoint, invalidCodePoint);
    EXPECT_EQ(decoded.length, 1u) << "maximal subpart of " << testing::PrintToString(text);
    EXPECT_FALSE(decoded.truncated);
  }
  EXPECT_EQ(decodeUtf8("\xf0\x9f\x98x", 0).length, 3u);
}

// Expected texts are Python's bytes.decode("utf-8", "replace"), with R for U+FFFD.
struct Case {
  std::string bytes, text;
};
const Case cases[] = {
    {"plain", "plain"},
    {"h\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80", "h\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80"},
    {"a\xff z", "aR z"},
    {"\xe4\xb8", "R"},
    {"\xe4\xb8x", "Rx"},
    {"\xf0\x9f\x98\xf0\x9f\x98\x80", "R\xf0\x9f\x98\x80"},
    {"\xe4\xe4\xb8\xad", "R\xe4\xb8\xad"},
    {"\xed\xa0\x80", "RRR"},
    {"\xc0\xaf", "RR"},
    {"\xf4\x90\x80\x80", "RRRR"},
    {"\xf0\x9f\xff\x98", "RRR"},
    {std::string("\0\xc2", 2), std::string("\0R", 2)},
};

std::string expand(const std::string &text) {
  std::string result;
  for (char c : text)
    result += c == 'R' ? "\xef\xbf\xbd" : std::string(1, c);
  return result;
}

TEST(Detokenizer, ReplacesInvalidBytesAsPythonDoes) {
  BuiltTokenizer built(byteLevelSpec({}));
  for (const Case &c : cases) {
    std::vector<int32_t> ids;
    for (char byte : c.bytes)
      ids.push_back(uint8_t(byte));
    EXPECT_EQ(built.decode(ids), expand(c.text)) << testing::PrintToString(c.bytes);
  }
}

TEST(Detokenizer, NeverWritesHalfACharacter) {
  BuiltTokenizer built(byteLevelSpec({}));
  Tokenizer tokenizer = built.tokenizer();
  Detokenizer detokenizer(tokenizer, {});
  std::string text;
  for (char byte : std::string("a\xf0\x9f\x98\x80\xc3\xa9")) {
    ASSERT_TRUE(detokenizer.push(uint8_t(byte), BuiltTokenizer::sinkTo(text)).isOk());
    for (size_t i = 0; i < text.size(); i += decodeUtf8(text, i).length)
      ASSERT_NE(decodeUtf8(text, i).codePoint, invalidCodePoint);
  }
  EXPECT_EQ(text, "a\xf0\x9f\x98\x80\xc3\xa9") << "written before finish()";
}

TEST(Detokenizer, StartsAnewAfterFinish) {
  BuiltTokenizer built(byteLevelSpec({}));
  Tokenizer tokenizer = built.tokenizer();
  Detokenizer detokenizer(tokenizer, {});
  std::string text;
  TextSink sink = BuiltTokenizer::sinkTo(text);
  ASSERT_TRUE(detokenizer.push(0xe4, sink).isOk());
  detokenizer.finish(sink);
  ASSERT_TRUE(detokenizer.push('x', sink).isOk());
  detokenizer.finish(sink);
  EXPECT_EQ(text, "\xef\xbf\xbdx");
}

TEST(Detokenizer, RefusesTokensOutOfRange) {
  BuiltTokenizer built(byteLevelSpec({}));
  Tokenizer tokenizer = built.tokenizer();
  Detokenizer detokenizer(tokenizer, {});
  std::string text;
  for (int32_t id : {-1, 259, INT32_MAX, INT32_MIN}) {
    Status status = detokenizer.push(id, BuiltTokenizer::sinkTo(text));
    EXPECT_EQ(status.code(), StatusCode::outOfRange) << id;
  }
}

} // namespace
