// Character classes as the tokenizer tables store them, one byte per code point: a bit set made of
// Unicode general categories and White_Space. The compiler writes them, the pre-tokenizers read
// them; the values are part of the artifact format.
#ifndef TERN_RUNTIME_TEXT_CHARCLASS_H
#define TERN_RUNTIME_TEXT_CHARCLASS_H

#include <cstdint>

namespace tern::text {

enum CharClass : uint8_t {
  classUpper = 1 << 0,       ///< Lu, Lt
  classLower = 1 << 1,       ///< Ll
  classOtherLetter = 1 << 2, ///< Lm, Lo
  classMark = 1 << 3,        ///< M
  classNumber = 1 << 4,      ///< N
  classPunctuation = 1 << 5, ///< P
  classSymbol = 1 << 6,      ///< S
  classSpace = 1 << 7,       ///< White_Space (what \s matches)
  classLetter = classUpper | classLower | classOtherLetter
};

/// Code points per page of Tokenizer.class_pages.
inline constexpr uint32_t classPageSize = 128;
inline constexpr uint32_t codePointLimit = 0x110000;

/// Values of the low three bits of Tokenizer.token_flags; as in tokenizer.ggml.token_type.
enum class TokenKind : uint8_t {
  normal = 1,
  unknown = 2,
  control = 3,
  userDefined = 4,
  unused = 5,
  byte = 6
};
inline constexpr uint8_t tokenKindMask = 7;
/// A word with exactly this token's text is this token: no merging is needed.
inline constexpr uint8_t tokenIsWholeWord = 8;

} // namespace tern::text

#endif
