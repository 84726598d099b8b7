// A tokenizer built for a test: the tables in memory and the runtime's view of them.
#ifndef TERN_TEST_UNIT_TEXT_BUILTTOKENIZER_H
#define TERN_TEST_UNIT_TEXT_BUILTTOKENIZER_H

#include "compiler/Text/TokenizerBuilder.h"
#include "runtime/text/Detokenizer.h"
#include "runtime/text/Tokenizer.h"
#include "test/unit/text/ByteLevelSpec.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

namespace tern {

class BuiltTokenizer {
public:
  explicit BuiltTokenizer(const TokenizerSpec &spec) {
    flatbuffers::FlatBufferBuilder builder;
    auto tokenizer = buildTokenizer(spec, builder);
    if (!tokenizer) {
      ADD_FAILURE() << llvm::toString(tokenizer.takeError());
      return;
    }
    builder.Finish(*tokenizer);
    bytes.assign(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
  }

  const fb::Tokenizer *table() const { return flatbuffers::GetRoot<fb::Tokenizer>(bytes.data()); }

  text::Tokenizer tokenizer() const {
    Result<text::Tokenizer> result = text::Tokenizer::create(table());
    EXPECT_TRUE(result.isOk()) << result.status().message();
    return *result;
  }

  std::vector<int32_t> encode(std::string_view text,
                              const text::EncodeOptions &options = {}) const {
    text::EncodeWorkspace workspace;
    text::TokenBuffer tokens;
    Status status = tokenizer().encode(text, options, workspace, tokens);
    EXPECT_TRUE(status.isOk()) << status.message();
    return {tokens.begin(), tokens.end()};
  }

  std::string decode(const std::vector<int32_t> &ids,
                     const text::DetokenizeOptions &options = {}) const {
    text::Tokenizer view = tokenizer();
    text::Detokenizer detokenizer(view, options);
    std::string text;
    text::TextSink sink = sinkTo(text);
    for (int32_t id : ids) {
      Status status = detokenizer.push(id, sink);
      EXPECT_TRUE(status.isOk()) << status.message();
    }
    detokenizer.finish(sink);
    return text;
  }

  static text::TextSink sinkTo(std::string &text) {
    return {[](void *context, std::string_view piece) {
              static_cast<std::string *>(context)->append(piece);
            },
            &text};
  }

  /// The serialized tables; tests may damage them.
  std::vector<uint8_t> bytes;
};

/// "llama": unknown, bos, eos, 256 bytes, then pieces with falling scores.
inline TokenizerSpec sentencePieceSpec(const std::vector<std::string> &pieces,
                                       bool byteFallback = true) {
  TokenizerSpec spec;
  spec.model = "llama";
  auto add = [&](const std::string &token, int type) {
    spec.tokens.push_back(token);
    spec.tokenTypes.push_back(type);
    spec.scores.push_back(-float(spec.scores.size()));
  };
  add("<unk>", 2);
  add("<s>", 3);
  add("</s>", 3);
  for (int byte = 0; byte < 256 && byteFallback; ++byte) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", byte);
    add(name, 6);
  }
  for (const std::string &piece : pieces)
    add(piece, 1);
  spec.addBos = false;
  return spec;
}

} // namespace tern

#endif
