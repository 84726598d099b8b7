// Cuts Jinja source into text, tags and the tokens inside tags.
#ifndef TERN_COMPILER_TEXT_JINJALEXER_H
#define TERN_COMPILER_TEXT_JINJALEXER_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace tern::jinja {

struct Token {
  enum class Kind {
    text,
    outputBegin,
    outputEnd,
    tagBegin,
    tagEnd,
    name,
    string,
    integer,
    symbol,
    end
  };
  Kind kind;
  std::string text; ///< unescaped for strings; the operator for symbols
  size_t line;
};

/// White space control is applied: the text tokens are what is output. Ends with an `end` token.
llvm::Expected<std::vector<Token>> tokenize(llvm::StringRef source);

} // namespace tern::jinja

#endif
