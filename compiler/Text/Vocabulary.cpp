// Decodes the tokens of a TokenizerSpec into symbols.
#include "compiler/Text/Vocabulary.h"

#include "compiler/Text/EndOfGeneration.h"
#include "runtime/text/Utf8.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace tern;
using text::TokenKind;

/// Longest token accepted; longer ones are a damaged file (real vocabularies stay below 1,000).
static constexpr size_t maxTokenBytes = 4096;

static constexpr size_t maxVocabularyBytes = size_t(1) << 30;

static const llvm::StringRef lowerOneEighthBlock = "\xe2\x96\x81"; // U+2581

/// The byte a character of a byte-level token stands for (GPT-2's bytes_to_unicode, inverted).
static std::optional<uint8_t> byteOfStandIn(uint32_t codePoint) {
  auto standsForItself = [](uint32_t c) {
    return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
  };
  if (standsForItself(codePoint))
    return uint8_t(codePoint);
  // The other bytes, in ascending order, are U+0100, U+0101, ...
  uint32_t standIn = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte)
    if (!standsForItself(byte) && standIn++ == codePoint)
      return uint8_t(byte);
  return std::nullopt;
}

/// The text of a byte-level token, or nothing if a character stands for no byte.
static std::optional<std::string> decodeByteLevel(llvm::StringRef token) {
  std::string bytes;
  for (size_t i = 0; i < token.size();) {
    text::Utf8Char character = text::decodeUtf8(token, i);
    std::optional<uint8_t> byte = byteOfStandIn(character.codePoint);
    if (!byte)
      return std::nullopt;
    bytes += char(*byte);
    i += character.length;
  }
  return bytes;
}

static std::string replaceBlocksBySpaces(llvm::StringRef token) {
  std::string bytes;
  while (!token.empty()) {
    if (token.consume_front(lowerOneEighthBlock)) {
      bytes += ' ';
    } else {
      bytes += token.front();
      token = token.drop_front();
    }
  }
  return bytes;
}

/// The byte of a token spelled "<0x0A>".
static std::optional<uint8_t> parseByteToken(llvm::StringRef token) {
  uint8_t byte;
  if (token.size() != 6 || !token.consume_front("<0x") || !token.consume_back(">") ||
      token.getAsInteger(16, byte))
    return std::nullopt;
  return byte;
}

static llvm::Expected<TokenKind> kindOf(const TokenizerSpec &spec, fb::TokenizerModel model,
                                        size_t id) {
  if (spec.tokenTypes.empty())
    return model == fb::TokenizerModel::sentencepiece_bpe && parseByteToken(spec.tokens[id])
               ? TokenKind::byte
               : TokenKind::normal;
  int32_t type = spec.tokenTypes[id];
  if (type < int32_t(TokenKind::normal) || type > int32_t(TokenKind::byte))
    return llvm::createStringError("tokenizer.ggml.token_type: token %zu has type %d; known are 1 "
                                   "(normal) to 6 (byte)",
                                   id, type);
  return TokenKind(type);
}

/// Adds the characters that occur inside normal tokens without being tokens.
static void addExtraSymbols(Vocabulary &vocabulary) {
  for (uint32_t id = 0; id < vocabulary.tokenCount; ++id) {
    if (vocabulary.kinds[id] != TokenKind::normal)
      continue;
    for (size_t i = 0; i < vocabulary.symbols[id].size();) {
      uint32_t length = text::decodeUtf8(vocabulary.symbols[id], i).length;
      std::string character = vocabulary.symbols[id].substr(i, length);
      if (vocabulary.byText.try_emplace(character, uint32_t(vocabulary.symbols.size())).second)
        vocabulary.symbols.push_back(character);
      i += length;
    }
  }
}

llvm::Expected<Vocabulary> Vocabulary::create(const TokenizerSpec &spec, fb::TokenizerModel model) {
  Vocabulary result;
  result.tokenCount = uint32_t(spec.tokens.size());
  const std::vector<uint32_t> ends = endOfGenerationTokens(spec);
  result.byteTokens.fill(-1);
  for (uint32_t id = 0; id < result.tokenCount; ++id) {
    const std::string &token = spec.tokens[id];
    if (token.size() > maxTokenBytes)
      return llvm::createStringError("tokenizer.ggml.tokens: token %u has %zu bytes; at most %zu "
                                     "are expected",
                                     id, token.size(), maxTokenBytes);
    llvm::Expected<TokenKind> kind = kindOf(spec, model, id);
    if (!kind)
      return kind.takeError();
    // Files are known that give these tokens the type of ordinary text.
    if (llvm::binary_search(ends, id) && endsGenerationByText(token))
      kind = TokenKind::control;
    result.kinds.push_back(*kind);
    std::string bytes = token;
    bool mayOccurInText = *kind == TokenKind::normal && !token.empty();
    if (*kind == TokenKind::byte) {
      std::optional<uint8_t> byte = parseByteToken(token);
      if (!byte)
        return llvm::createStringError("tokenizer.ggml.tokens: byte token %u is '%s'; expected a "
                                       "form like <0x0A>",
                                       id, token.c_str());
      bytes = char(*byte);
      result.byteTokens[*byte] = int32_t(id);
    } else if (model == fb::TokenizerModel::sentencepiece_bpe) {
      bytes = replaceBlocksBySpaces(token);
    } else if (*kind == TokenKind::normal || *kind == TokenKind::unused) {
      // A spelling that is not byte-level is shown as it is but never made from text.
      if (std::optional<std::string> decoded = decodeByteLevel(token))
        bytes = *decoded;
      else
        mayOccurInText = false;
      if (mayOccurInText && bytes.size() == 1)
        result.byteTokens[uint8_t(bytes[0])] = int32_t(id);
    }
    if (mayOccurInText)
      result.byText[bytes] = id;
    result.symbols.push_back(std::move(bytes));
  }
  if (model == fb::TokenizerModel::sentencepiece_bpe)
    addExtraSymbols(result);
  size_t bytes = 0;
  for (const std::string &symbol : result.symbols)
    bytes += symbol.size();
  if (bytes > maxVocabularyBytes)
    return llvm::createStringError("tokenizer.ggml.tokens hold %zu bytes of text; at most %zu are "
                                   "supported",
                                   bytes, maxVocabularyBytes);
  return result;
}
