// Text of generated tokens, up to a stop string: the one place where generation meets the text
// layer.
//
// Without a tokenizer all pieces are empty and no token ends a generation.
#ifndef TERN_RUNTIME_SESSION_TEXTSTREAM_H
#define TERN_RUNTIME_SESSION_TEXTSTREAM_H

#include "runtime/core/Memory.h"
#include "runtime/session/StopStrings.h"
#include "runtime/text/Detokenizer.h"

#include <optional>
#include <string_view>

namespace tern::runtime {

class TextStream {
public:
  /// What a stream remembers between tokens; default-constructed at the beginning of a text.
  struct State {
    std::optional<text::Detokenizer> detokenizer;
    const StopStrings *stops = nullptr;
    uint16_t heldSize = 0;
    char held[StopStrings::maxLength]; ///< may be the beginning of a stop string
  };
  /// Room for the text of one token; the longest in known vocabularies have about a thousand bytes.
  static constexpr size_t pieceCapacity = 16384;
  /// What create() takes.
  static constexpr size_t bytes() { return StopStrings::maxLength + pieceCapacity; }

  /// `tokenizer` outlives the stream and may be null.
  Status create(const text::Tokenizer *tokenizer, const Allocator &allocator);

  bool hasText() const { return tokenizer != nullptr; }
  /// `stops` outlives the state.
  State begin(const StopStrings &stops) const;
  bool isEnd(int32_t token) const { return tokenizer && tokenizer->isEndOfGeneration(token); }

  /// Text that the token completes, in memory of the stream until its next use. With `stopped` it
  /// is the last, and a stop string followed it.
  Status push(State &state, int32_t token, std::string_view &text, bool &stopped);
  /// Text still held back, up to a stop string.
  std::string_view finish(State &state);

private:
  static void write(void *stream, std::string_view text);
  void takeHeld(State &state);

  const text::Tokenizer *tokenizer = nullptr;
  Block buffer;
  size_t used = 0;
  bool overflowed = false;
};

} // namespace tern::runtime

#endif
