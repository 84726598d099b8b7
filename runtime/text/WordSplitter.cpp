// The matchers of the split stages.
#include "runtime/text/WordSplitter.h"

#include "runtime/text/Utf8.h"

using namespace tern;
using namespace tern::text;
using fb::SplitKind;

namespace {

/// Reads the characters of one piece with their classes.
class Scanner {
public:
  Scanner(const TokenizerTables &tables, std::string_view text) : tables(tables), text(text) {}

  struct Char {
    uint32_t codePoint = invalidCodePoint;
    uint32_t length = 0; ///< 0 at the end of the text
    uint8_t charClass = 0;

    bool is(uint8_t classes) const { return charClass & classes; }
    bool isNewline() const { return codePoint == '\n' || codePoint == '\r'; }
  };

  Char at(size_t position) const {
    if (position >= text.size())
      return {};
    Utf8Char decoded = decodeUtf8(text, position);
    return {decoded.codePoint, decoded.length, tables.classOf(decoded.codePoint)};
  }

  /// End of the run of characters from `position` that have one of `classes`.
  size_t skip(size_t position, uint8_t classes, size_t limit = SIZE_MAX) const {
    for (Char c = at(position); c.length && c.is(classes) && limit; c = at(position), --limit)
      position += c.length;
    return position;
  }
  /// The same for characters that have none of them.
  size_t skipOther(size_t position, uint8_t classes) const {
    for (Char c = at(position); c.length && !c.is(classes); c = at(position))
      position += c.length;
    return position;
  }

  size_t matchContraction(bool ignoreCase) const;
  size_t matchSpaces() const;
  size_t matchGpt2() const;
  size_t matchCl100k(uint8_t letters, uint32_t maxDigits) const;
  size_t matchNumbers(uint32_t maxDigits) const;
  size_t matchPunctuation(bool withGrave) const;
  size_t matchAsciiTriples() const;
  size_t matchSpaceRuns() const;

private:
  const TokenizerTables &tables;
  std::string_view text;
};

} // namespace

/// 's|'t|'re|'ve|'m|'ll|'d; 0 if there is none.
size_t Scanner::matchContraction(bool ignoreCase) const {
  if (text[0] != '\'' || text.size() < 2)
    return 0;
  auto letterAt = [&](size_t i) -> char {
    char c = i < text.size() ? text[i] : '\0';
    return ignoreCase && c >= 'A' && c <= 'Z' ? char(c + ('a' - 'A')) : c;
  };
  // U+017F folds to s.
  if (ignoreCase && at(1).codePoint == 0x17f)
    return 3;
  switch (letterAt(1)) {
  case 's':
  case 't':
  case 'm':
  case 'd':
    return 2;
  case 'r':
  case 'v':
    return letterAt(2) == 'e' ? 3 : 0;
  case 'l':
    return letterAt(2) == 'l' ? 3 : 0;
  default:
    return 0;
  }
}

/// \s+(?!\S)|\s+ on text that begins with white space: a run gives its last character to the word
/// that follows, unless it is all there is.
size_t Scanner::matchSpaces() const {
  size_t end = 0, last = 0;
  for (Char c = at(0); c.is(classSpace); c = at(end)) {
    last = end;
    end += c.length;
  }
  return end == text.size() || last == 0 ? end : last;
}

size_t Scanner::matchGpt2() const {
  if (size_t length = matchContraction(false))
    return length;
  size_t begin = text[0] == ' ' ? 1 : 0;
  Char first = at(begin);
  if (first.length == 0 || first.is(classSpace))
    return matchSpaces();
  if (first.is(classLetter))
    return skip(begin, classLetter);
  if (first.is(classNumber))
    return skip(begin, classNumber);
  return skipOther(begin, classSpace | classLetter | classNumber);
}

size_t Scanner::matchCl100k(uint8_t letters, uint32_t maxDigits) const {
  if (size_t length = matchContraction(true))
    return length;
  Char first = at(0);
  if (first.is(letters))
    return skip(0, letters);
  if (first.is(classNumber))
    return skip(0, classNumber, maxDigits);
  if (!first.isNewline() && at(first.length).is(letters))
    return skip(first.length, letters);

  uint8_t notOther = classSpace | classNumber | letters;
  size_t begin = text[0] == ' ' ? 1 : 0;
  size_t end = skipOther(begin, notOther);
  if (end > begin) {
    while (at(end).isNewline())
      ++end;
    return end;
  }
  // \s*[\r\n]+: up to the last line break of the run.
  size_t afterNewline = 0;
  size_t position = 0;
  for (Char c = at(0); c.is(classSpace); c = at(position)) {
    position += c.length;
    if (c.isNewline())
      afterNewline = position;
  }
  return afterNewline ? afterNewline : matchSpaces();
}

size_t Scanner::matchNumbers(uint32_t maxDigits) const {
  size_t end = skip(0, classNumber, maxDigits ? maxDigits : SIZE_MAX);
  return end ? end : skipOther(0, classNumber);
}

size_t Scanner::matchPunctuation(bool withGrave) const {
  auto matches = [&](const Char &c) {
    if (c.is(classPunctuation) || (withGrave && c.codePoint == '`'))
      return true;
    return c.codePoint < 0x80 &&
           std::string_view("$+<=>^~|").find(char(c.codePoint)) != std::string_view::npos;
  };
  bool wanted = matches(at(0));
  size_t end = 0;
  for (Char c = at(0); c.length && matches(c) == wanted; c = at(end))
    end += c.length;
  return end;
}

size_t Scanner::matchAsciiTriples() const {
  auto isTriple = [&](size_t position) {
    if (text.size() - position < 3)
      return false;
    for (size_t i = position; i < position + 3; ++i)
      if (text[i] < '0' || text[i] > '9')
        return false;
    return true;
  };
  if (isTriple(0))
    return 3;
  size_t end = 1;
  while (end < text.size() && !isTriple(end))
    ++end;
  return end;
}

size_t Scanner::matchSpaceRuns() const {
  size_t word = text.find_first_not_of(' ');
  return std::min(text.size(), text.find(' ', std::min(word, text.size())));
}

/// Length of the first piece a stage cuts off `text`, which is not empty. At least 1.
static size_t pieceLength(const TokenizerTables &tables, const fb::SplitStage &stage,
                          std::string_view text) {
  Scanner scanner(tables, text);
  switch (stage.kind()) {
  case SplitKind::gpt2:
    return scanner.matchGpt2();
  case SplitKind::cl100k:
    return scanner.matchCl100k(classLetter, stage.parameter());
  case SplitKind::cl100k_marks:
    return scanner.matchCl100k(classLetter | classMark, stage.parameter());
  case SplitKind::numbers:
    return scanner.matchNumbers(stage.parameter());
  case SplitKind::ascii_triples:
    return scanner.matchAsciiTriples();
  case SplitKind::punctuation:
    return scanner.matchPunctuation(stage.parameter() != 0);
  case SplitKind::space_runs:
    return scanner.matchSpaceRuns();
  }
  return text.size();
}

Status WordSplitter::checkStages(const TokenizerTables &tables) {
  if (tables.stages.size > maxStages)
    return Status::error(StatusCode::invalidArtifact,
                         "tokenizer: %u split stages, at most %u are supported", tables.stages.size,
                         maxStages);
  for (uint32_t i = 0; i < tables.stages.size; ++i)
    if (tables.stages.elements[i].kind() > SplitKind::MAX)
      return Status::error(StatusCode::unsupported,
                           "tokenizer: split kind %u is newer than this runtime; update the "
                           "runtime",
                           unsigned(tables.stages.elements[i].kind()));
  return Status();
}

WordSplitter::WordSplitter(const TokenizerTables &tables, std::string_view text)
    : tables(tables), text(text), ends{} {
  ends[0] = text.size();
}

std::string_view WordSplitter::next() {
  if (position == text.size())
    return {};
  uint32_t stages = tables.stages.size;
  for (uint32_t i = 0; i < stages; ++i) {
    if (ends[i + 1] > position)
      continue;
    std::string_view rest = text.substr(position, ends[i] - position);
    size_t length = pieceLength(tables, tables.stages.elements[i], rest);
    // Tables with wrong classes can make a matcher stop at once; progress must not depend on them.
    ends[i + 1] = position + std::clamp<size_t>(length, 1, rest.size());
  }
  std::string_view word = text.substr(position, ends[stages] - position);
  position = ends[stages];
  return word;
}
