// The symbols a tokenizer merges: the model's tokens as the bytes they stand for, and the single
// characters that only occur inside tokens.
//
// This undoes the two spellings of model files (GPT-2's printable stand-ins for bytes,
// SentencePiece's U+2581 for space), so that everything after it works on plain text bytes.
#ifndef TERN_COMPILER_TEXT_VOCABULARY_H
#define TERN_COMPILER_TEXT_VOCABULARY_H

#include "compiler/Text/TokenizerSpec.h"
#include "runtime/text/CharClass.h"
#include "tern_generated.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace tern {

struct Vocabulary {
  /// Bytes per symbol; entries from tokenCount on are extra symbols.
  std::vector<std::string> symbols;
  uint32_t tokenCount = 0;
  /// One per token.
  std::vector<text::TokenKind> kinds;
  /// Token of each single byte, or -1.
  std::array<int32_t, 256> byteTokens;
  /// Normal tokens and extra symbols by their bytes. Of equal tokens the last one counts.
  llvm::StringMap<uint32_t> byText;

  static llvm::Expected<Vocabulary> create(const TokenizerSpec &spec, fb::TokenizerModel model);

  std::optional<uint32_t> find(llvm::StringRef text) const {
    auto position = byText.find(text);
    return position == byText.end() ? std::nullopt : std::optional(position->second);
  }
};

} // namespace tern

#endif
