// Finds special tokens, normalizes what lies between them, and has its words merged.
#include "runtime/text/Tokenizer.h"

#include "runtime/text/WordSplitter.h"

#include <algorithm>

using namespace tern;
using namespace tern::text;

/// One call of encode().
struct Tokenizer::Encoding {
  const TokenizerTables &tables;
  EncodeWorkspace &workspace;
  TokenBuffer &tokens;
  WordMerger merger;
  /// At the start of the text and after a special token SentencePiece texts get a space.
  bool atStart = true;

  Encoding(const TokenizerTables &tables, EncodeWorkspace &workspace, TokenBuffer &tokens)
      : tables(tables), workspace(workspace), tokens(tokens),
        merger(tables, workspace.merge, tokens) {}

  struct Special {
    uint32_t token = noSymbol;
    size_t length = 0;
  };
  Special findSpecial(std::string_view text, size_t parseLimit) const;
  Status run(std::string_view text, const ChatText::Span *spans, size_t spanCount);
  Status encodePlain(std::string_view text);
  Status normalizeSpaces(std::string_view text, std::string_view &normalized);
  Status pushSpecial(int32_t token);
};

/// The longest special token at the start of `text`; control tokens must end within `parseLimit`.
Tokenizer::Encoding::Special Tokenizer::Encoding::findSpecial(std::string_view text,
                                                              size_t parseLimit) const {
  const TableView<uint32_t> &sorted = tables.specialTokens;
  Special found;
  uint32_t low = 0, high = sorted.size;
  size_t limit = std::min<size_t>(text.size(), maxSpecialTokenBytes);
  // Invariant: the tokens in [low, high) begin with the `depth` bytes read so far.
  for (size_t depth = 0; depth < limit; ++depth) {
    uint8_t wanted = uint8_t(text[depth]);
    auto byteOf = [&](uint32_t token) {
      std::string_view bytes = tables.bytesOf(token);
      return depth < bytes.size() ? int(uint8_t(bytes[depth])) : -1;
    };
    const uint32_t *begin = sorted.elements + low, *end = sorted.elements + high;
    begin =
        std::lower_bound(begin, end, wanted, [&](uint32_t t, uint8_t w) { return byteOf(t) < w; });
    end =
        std::upper_bound(begin, end, wanted, [&](uint8_t w, uint32_t t) { return w < byteOf(t); });
    if (begin == end)
      break;
    low = uint32_t(begin - sorted.elements);
    high = uint32_t(end - sorted.elements);
    uint32_t token = *begin;
    if (token >= tables.tokenCount || tables.bytesOf(token).size() != depth + 1)
      continue;
    if (depth + 1 <= parseLimit || tables.kindOf(token) == TokenKind::userDefined)
      found = {token, depth + 1};
  }
  return found;
}

Status Tokenizer::Encoding::pushSpecial(int32_t token) {
  merger.endUnknown();
  if (tokens.push(token))
    return Status();
  return Status::error(StatusCode::outOfMemory, "out of memory for the tokens of the text");
}

Status Tokenizer::Encoding::run(std::string_view text, const ChatText::Span *spans,
                                size_t spanCount) {
  size_t plainBegin = 0;
  size_t span = 0;
  for (size_t position = 0; position < text.size();) {
    uint8_t first = uint8_t(text[position]);
    if (!(tables.specialFirstBytes.at(first / 8, 0) >> first % 8 & 1)) {
      ++position;
      continue;
    }
    while (span < spanCount && spans[span].end <= position)
      ++span;
    bool parse = span < spanCount && spans[span].parseSpecial;
    Special special = findSpecial(text.substr(position), parse ? spans[span].end - position : 0);
    if (special.length == 0) {
      ++position;
      continue;
    }
    TERN_RETURN_IF_ERROR(encodePlain(text.substr(plainBegin, position - plainBegin)));
    TERN_RETURN_IF_ERROR(pushSpecial(int32_t(special.token)));
    atStart = true;
    position += special.length;
    plainBegin = position;
  }
  return encodePlain(text.substr(plainBegin));
}

/// SentencePiece: the space prefix, and one spelling of spaces.
Status Tokenizer::Encoding::normalizeSpaces(std::string_view text, std::string_view &normalized) {
  constexpr std::string_view block = "\xe2\x96\x81"; // U+2581, SentencePiece's spelling of a space
  bool prefix = tables.addSpacePrefix && atStart;
  bool collapse = tables.removeExtraWhitespaces;
  if (!prefix && !collapse && text.find(block) == std::string_view::npos) {
    normalized = text;
    return Status();
  }
  GrowableArray<char> &output = workspace.normalized;
  output.clear();
  bool enough = output.reserve(text.size() + 1) && (!prefix || output.push(' '));
  for (size_t i = 0; i < text.size() && enough; ++i) {
    char c = text[i];
    if (text.substr(i, block.size()) == block) {
      c = ' ';
      i += block.size() - 1;
    }
    bool drop = c == ' ' && collapse && (output.empty() ? atStart : output.back() == ' ');
    enough = drop || output.push(c);
  }
  if (!enough)
    return Status::error(StatusCode::outOfMemory,
                         "out of memory while normalizing %zu bytes of text", text.size());
  if (collapse && !output.empty() && output.back() == ' ')
    output.popBack();
  normalized = {output.data(), output.size()};
  return Status();
}

Status Tokenizer::Encoding::encodePlain(std::string_view text) {
  if (text.empty())
    return Status();
  if (tables.model == fb::TokenizerModel::sentencepiece_bpe)
    TERN_RETURN_IF_ERROR(normalizeSpaces(text, text));
  else if (tables.nfc)
    TERN_RETURN_IF_ERROR(normalizeNfc(*tables.nfc, text, workspace.nfc, text));
  atStart = false;
  WordSplitter splitter(tables, text);
  for (std::string_view word = splitter.next(); !word.empty(); word = splitter.next())
    TERN_RETURN_IF_ERROR(merger.encode(word));
  merger.endUnknown();
  return Status();
}

Result<Tokenizer> Tokenizer::create(const fb::Tokenizer *table) {
  Result<TokenizerTables> tables = TokenizerTables::create(table);
  if (!tables.isOk())
    return tables.status();
  TERN_RETURN_IF_ERROR(WordSplitter::checkStages(*tables));
  Tokenizer tokenizer;
  tokenizer.tables = *tables;
  return tokenizer;
}

Status Tokenizer::encode(std::string_view text, const EncodeOptions &options,
                         EncodeWorkspace &workspace, TokenBuffer &tokens) const {
  if (text.size() > maxTextBytes)
    return Status::error(StatusCode::invalidArgument,
                         "the text has %zu bytes; at most %zu can be encoded at once", text.size(),
                         maxTextBytes);
  Encoding encoding(tables, workspace, tokens);
  if (options.addBos && tables.addBos)
    TERN_RETURN_IF_ERROR(encoding.pushSpecial(tables.bos));
  ChatText::Span whole{text.size(), options.parseSpecial};
  TERN_RETURN_IF_ERROR(encoding.run(text, &whole, 1));
  if (options.addEos && tables.addEos)
    TERN_RETURN_IF_ERROR(encoding.pushSpecial(tables.eos));
  return Status();
}

Status Tokenizer::encode(const ChatText &chat, const EncodeOptions &options,
                         EncodeWorkspace &workspace, TokenBuffer &tokens) const {
  std::string_view text = chat.view();
  if (text.size() > maxTextBytes)
    return Status::error(StatusCode::invalidArgument,
                         "the conversation has %zu bytes; at most %zu can be encoded at once",
                         text.size(), maxTextBytes);
  Encoding encoding(tables, workspace, tokens);
  bool hasBos = tables.bos >= 0 && text.starts_with(tables.bytesOf(uint32_t(tables.bos)));
  if (options.addBos && tables.addBos && !hasBos)
    TERN_RETURN_IF_ERROR(encoding.pushSpecial(tables.bos));
  size_t spanCount = options.parseSpecial ? chat.spans.size() : 0;
  return encoding.run(text, chat.spans.data(), spanCount);
}

bool Tokenizer::isEndOfGeneration(int32_t id) const {
  const TableView<uint32_t> &ids = tables.endOfGeneration;
  return isToken(id) && std::binary_search(ids.elements, ids.elements + ids.size, uint32_t(id));
}
