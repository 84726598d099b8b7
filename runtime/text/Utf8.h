// UTF-8, one character at a time, on bytes that may be anything.
//
// Invalid input is cut the way Unicode recommends (chapter 3.9, "maximal subparts"): a truncated
// sequence is one error, every other stray byte is one. Overlong forms, surrogates and values
// above U+10FFFF are invalid.
#ifndef TERN_RUNTIME_TEXT_UTF8_H
#define TERN_RUNTIME_TEXT_UTF8_H

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern::text {

/// What decodeUtf8 returns as code point for bytes that are none.
inline constexpr uint32_t invalidCodePoint = 0xffffffff;

struct Utf8Char {
  uint32_t codePoint; ///< or invalidCodePoint
  uint32_t length;    ///< bytes consumed, at least 1
  bool truncated;     ///< invalid only because the text ends here: more bytes could complete it
};

/// The character at `position` < text.size().
inline Utf8Char decodeUtf8(std::string_view text, size_t position) {
  auto byteAt = [&](size_t i) { return uint8_t(text[i]); };
  uint8_t lead = byteAt(position);
  if (lead < 0x80)
    return {lead, 1, false};
  uint32_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4)
    return {invalidCodePoint, 1, false};
  // The second byte's range excludes overlong forms, surrogates and values above U+10FFFF.
  uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  uint32_t codePoint = lead & (0xffu >> (length + 1));
  for (uint32_t i = 1; i < length; ++i) {
    if (position + i == text.size())
      return {invalidCodePoint, i, true};
    uint8_t next = byteAt(position + i);
    if (next < low || next > high)
      return {invalidCodePoint, i, false};
    low = 0x80;
    high = 0xbf;
    codePoint = codePoint << 6 | (next & 0x3f);
  }
  return {codePoint, length, false};
}

/// Writes a valid code point to `out` (4 bytes of room); returns its length.
inline uint32_t encodeUtf8(uint32_t codePoint, char *out) {
  if (codePoint < 0x80) {
    out[0] = char(codePoint);
    return 1;
  }
  uint32_t length = codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
  for (uint32_t i = length - 1; i > 0; --i, codePoint >>= 6)
    out[i] = char(0x80 | (codePoint & 0x3f));
  out[0] = char((0xf00u >> length) | codePoint);
  return length;
}

} // namespace tern::text

#endif
