// Which pre-tokenizer a tokenizer.ggml.pre name stands for.
//
// A pre-tokenizer is a list of split stages (schema/tokenizer.fbs); a new name is a row of the
// table in PreTokenizers.cpp, a new regular expression is a SplitKind and a matcher in
// runtime/text/SplitMatcher.cpp.
#ifndef TERN_COMPILER_TEXT_PRETOKENIZERS_H
#define TERN_COMPILER_TEXT_PRETOKENIZERS_H

#include "tern_generated.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <string>

namespace tern {

struct PreTokenizer {
  llvm::StringRef name;
  llvm::ArrayRef<fb::SplitStage> stages;
  /// Text is brought to Unicode normalization form C first.
  bool nfc;
  /// A word that is a token is that token, whatever the merges say.
  bool ignoreMerges;
  /// Default of tokenizer.ggml.add_bos_token.
  bool addBos;
  /// Merges are of characters, spaces spelled U+2581, with byte fall-back as in SentencePiece;
  /// otherwise of bytes.
  bool ofCharacters = false;
};

/// The row of `name`, or null. The empty name is "default".
const PreTokenizer *findPreTokenizer(llvm::StringRef name);

/// All names, comma-separated, for messages.
std::string knownPreTokenizers();

} // namespace tern

#endif
