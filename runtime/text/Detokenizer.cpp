// Reassembles characters from token bytes.
#include "runtime/text/Detokenizer.h"

#include "runtime/text/Utf8.h"

using namespace tern;
using namespace tern::text;

static constexpr std::string_view replacementCharacter = "\xef\xbf\xbd"; // U+FFFD

void Detokenizer::write(std::string_view bytes, TextSink sink) {
  // Complete the held character byte by byte; at most three are taken.
  while (heldCount && !bytes.empty()) {
    held[heldCount] = bytes[0];
    std::string_view character(held, heldCount + 1u);
    Utf8Char decoded = decodeUtf8(character, 0);
    if (decoded.codePoint == invalidCodePoint && !decoded.truncated) {
      // The new byte does not continue the character: it is looked at again on its own.
      sink.write(sink.context, replacementCharacter);
      heldCount = 0;
      break;
    }
    bytes.remove_prefix(1);
    ++heldCount;
    if (!decoded.truncated) {
      sink.write(sink.context, character);
      heldCount = 0;
    }
  }
  size_t valid = 0; // bytes[0, valid) is to be written
  while (valid < bytes.size()) {
    Utf8Char decoded = decodeUtf8(bytes, valid);
    if (decoded.codePoint != invalidCodePoint) {
      valid += decoded.length;
      continue;
    }
    if (valid)
      sink.write(sink.context, bytes.substr(0, valid));
    bytes.remove_prefix(valid);
    valid = 0;
    if (decoded.truncated) {
      heldCount = uint8_t(bytes.size());
      bytes.copy(held, heldCount);
      return;
    }
    sink.write(sink.context, replacementCharacter);
    bytes.remove_prefix(decoded.length);
  }
  if (valid)
    sink.write(sink.context, bytes);
}

Status Detokenizer::push(int32_t token, TextSink sink) {
  if (!tokenizer->isToken(token))
    return Status::error(StatusCode::outOfRange, "token %d is not in the vocabulary of %u tokens",
                         token, tokenizer->tokenCount());
  TokenKind kind = tokenizer->kind(token);
  bool isSpecial = kind == TokenKind::control || kind == TokenKind::unknown;
  if (isSpecial && !renderSpecial)
    return Status();
  std::string_view bytes = tokenizer->tokenBytes(token);
  if (!isSpecial && dropSpace && bytes.starts_with(' '))
    bytes.remove_prefix(1);
  if (!isSpecial)
    dropSpace = false;
  write(bytes, sink);
  return Status();
}

void Detokenizer::finish(TextSink sink) {
  if (heldCount)
    sink.write(sink.context, replacementCharacter);
  heldCount = 0;
}
