// Tokens to text, one at a time, in whole UTF-8 characters.
//
// A token may end inside a character. Such bytes are held back until the character is complete or
// can no longer become one; then, or at the end, they come out as U+FFFD, one per maximal invalid
// sequence, as bytes.decode("utf-8", "replace") does in Python. Output is always valid UTF-8.
#ifndef TERN_RUNTIME_TEXT_DETOKENIZER_H
#define TERN_RUNTIME_TEXT_DETOKENIZER_H

#include "runtime/text/Tokenizer.h"

namespace tern::text {

/// Receives text. Called any number of times per token; the view is valid during the call.
struct TextSink {
  void (*write)(void *context, std::string_view text);
  void *context;
};

struct DetokenizeOptions {
  /// Write the names of control tokens instead of leaving them out.
  bool renderSpecial = false;
  /// Drop the one space that encoding put before the text. Set it for a whole text, not for the
  /// continuation of one.
  bool dropSpacePrefix = false;
};

/// Never allocates. One stream of text; not shared between threads.
class Detokenizer {
public:
  /// `tokenizer` outlives the detokenizer.
  Detokenizer(const Tokenizer &tokenizer, const DetokenizeOptions &options)
      : tokenizer(&tokenizer), renderSpecial(options.renderSpecial),
        dropSpace(options.dropSpacePrefix && tokenizer.addsSpacePrefix()) {}

  /// Writes the text that `token` completes. Fails with outOfRange if there is no such token.
  Status push(int32_t token, TextSink sink);

  /// Ends the text: what is held back is written as U+FFFD. The next push() begins anew.
  void finish(TextSink sink);

private:
  void write(std::string_view bytes, TextSink sink);

  const Tokenizer *tokenizer;
  bool renderSpecial;
  bool dropSpace;
  /// The beginning of a character: heldCount < 4 bytes that more bytes could complete.
  uint8_t heldCount = 0;
  char held[4] = {};
};

} // namespace tern::text

#endif
