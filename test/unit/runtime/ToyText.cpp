#include "test/unit/runtime/ToyText.h"

#include "runtime/text/CharClass.h"
#include "test/unit/runtime/ToyModel.h"

using namespace tern;

std::unique_ptr<fb::TokenizerT> tern::test::toyTokenizer() {
  auto tokenizer = std::make_unique<fb::TokenizerT>();
  tokenizer->model = fb::TokenizerModel::byte_level_bpe;
  tokenizer->token_count = TOY_VOCABULARY;
  tokenizer->byte_tokens.assign(256, -1);
  for (int token = 0; token < TOY_VOCABULARY; ++token) {
    tokenizer->symbol_offsets.push_back(uint32_t(tokenizer->symbol_bytes.size()));
    auto kind = text::TokenKind::normal;
    if (token < 96)
      tokenizer->symbol_bytes.push_back(uint8_t(32 + token));
    else if (token < 98)
      tokenizer->symbol_bytes.push_back(token == 96 ? 0xC3 : 0xA9);
    else
      kind = text::TokenKind::control;
    tokenizer->token_flags.push_back(uint8_t(kind));
    if (token < 98)
      tokenizer->byte_tokens[tokenizer->symbol_bytes.back()] = token;
  }
  tokenizer->symbol_offsets.push_back(uint32_t(tokenizer->symbol_bytes.size()));
  tokenizer->symbol_hash = {0};
  tokenizer->end_of_generation = {uint32_t(toyEndToken)};
  tokenizer->eos = toyEndToken;
  tokenizer->chat = std::make_unique<fb::ChatTemplateT>();
  tokenizer->chat->family = std::string("toy");
  tokenizer->chat->user_prefix = std::string("U:");
  tokenizer->chat->user_suffix = std::string(";");
  tokenizer->chat->generation_prompt = std::string("A:");
  return tokenizer;
}

tern::test::AlignedBytes tern::test::toyWithText() {
  ToyArtifact toy;
  toy.table.tokenizer = toyTokenizer();
  return toy.write();
}
