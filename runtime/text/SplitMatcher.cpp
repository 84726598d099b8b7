// The matchers. A character is read with its class bits; positions are byte offsets.
#include "runtime/text/SplitMatcher.h"

#include "runtime/text/CodePointSets.h"
#include "runtime/text/Utf8.h"

#include <algorithm>
#include <bit>

using namespace tern;
using namespace tern::text;
using fb::CodePointSet;
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

  /// The details in which the relatives of cl100k differ.
  struct Cl100k {
    uint32_t maxDigits; ///< 0: no limit
    uint8_t letters = classLetter;
    bool breaksAfterOther = true; ///< line breaks belong to the punctuation before them
  };

  size_t matchContraction(size_t begin, bool ignoreCase) const;
  size_t matchSpaces() const;
  size_t matchSpacePowers() const;
  size_t matchLineBreaks() const;
  size_t matchGpt2() const;
  size_t matchCl100k(const Cl100k &variant) const;
  size_t matchLowerWord(size_t begin) const;
  size_t matchUpperWord(size_t begin) const;
  size_t matchTekken(uint32_t maxDigits, bool contractions) const;
  size_t matchDeepSeekV3() const;
  size_t matchDeepSeekV3OrSkip() const;
  size_t matchNumbers(uint32_t maxDigits) const;
  size_t matchPunctuation(bool withGrave) const;
  size_t matchAsciiTriples() const;
  size_t matchSpaceRuns() const;
  size_t matchBloom() const;
  size_t matchSetRuns(fb::CodePointSet set, bool withSpace) const;
  size_t matchTrailingSpace() const;
  size_t matchLineBreak() const;
  size_t matchLines() const;

private:
  const TokenizerTables &tables;
  std::string_view text;
};

} // namespace

/// End of 's|'t|'re|'ve|'m|'ll|'d at `begin`, or `begin` if there is none.
size_t Scanner::matchContraction(size_t begin, bool ignoreCase) const {
  if (begin + 1 >= text.size() || text[begin] != '\'')
    return begin;
  auto letterAt = [&](size_t i) -> char {
    char c = i < text.size() ? text[i] : '\0';
    return ignoreCase && c >= 'A' && c <= 'Z' ? char(c + ('a' - 'A')) : c;
  };
  Char first = at(begin + 1);
  if (ignoreCase && first.codePoint == 0x17f) // folds to s
    return begin + 1 + first.length;
  switch (letterAt(begin + 1)) {
  case 's':
  case 't':
  case 'm':
  case 'd':
    return begin + 2;
  case 'r':
  case 'v':
    return letterAt(begin + 2) == 'e' ? begin + 3 : begin;
  case 'l':
    return letterAt(begin + 2) == 'l' ? begin + 3 : begin;
  default:
    return begin;
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

/// Cuts what cl100k leaves of white space: a piece that begins with two such characters, or is one,
/// holds nothing else, and has a line break only if it ends in one.
size_t Scanner::matchSpacePowers() const {
  constexpr uint32_t longest = 512;
  size_t end = 0;
  uint32_t count = 0;
  for (Char c = at(0); c.is(classSpace) && count < longest; c = at(end)) {
    end += c.length;
    ++count;
  }
  bool isSpace = count > 1 || end == text.size();
  if (!isSpace || text.back() == '\n' || text.back() == '\r')
    return text.size();
  return skip(0, classSpace, std::bit_floor(count));
}

/// \s*[\r\n]+: up to the last line break of the white space. 0 if there is none.
size_t Scanner::matchLineBreaks() const {
  size_t afterNewline = 0;
  size_t position = 0;
  for (Char c = at(0); c.is(classSpace); c = at(position)) {
    position += c.length;
    if (c.isNewline())
      afterNewline = position;
  }
  return afterNewline;
}

size_t Scanner::matchGpt2() const {
  if (size_t length = matchContraction(0, false))
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

size_t Scanner::matchCl100k(const Cl100k &variant) const {
  uint8_t letters = variant.letters;
  if (size_t length = matchContraction(0, true))
    return length;
  Char first = at(0);
  if (first.is(letters))
    return skip(0, letters);
  if (first.is(classNumber))
    return skip(0, classNumber, variant.maxDigits ? variant.maxDigits : SIZE_MAX);
  if (!first.isNewline() && at(first.length).is(letters))
    return skip(first.length, letters);

  uint8_t notOther = classSpace | classNumber | letters;
  size_t begin = text[0] == ' ' ? 1 : 0;
  size_t end = skipOther(begin, notOther);
  if (end > begin) {
    while (variant.breaksAfterOther && at(end).isNewline())
      ++end;
    return end;
  }
  if (size_t breaks = matchLineBreaks())
    return breaks;
  return matchSpaces();
}

/// End of U*L+ at `begin`, or `begin`. U is upper case, L lower case; other letters and marks are
/// both, so that a run of U without L behind it gives back what follows its last such character.
size_t Scanner::matchLowerWord(size_t begin) const {
  constexpr uint8_t both = classOtherLetter | classMark;
  size_t end = begin, afterBoth = begin;
  for (Char c = at(end); c.length && c.is(classUpper | both); c = at(end)) {
    end += c.length;
    if (c.is(both))
      afterBoth = end;
  }
  size_t lower = skip(end, classLower | both);
  return lower > end ? lower : afterBoth;
}

/// End of U+L* at `begin`, or `begin`.
size_t Scanner::matchUpperWord(size_t begin) const {
  constexpr uint8_t both = classOtherLetter | classMark;
  size_t end = skip(begin, classUpper | both);
  return end == begin ? begin : skip(end, classLower | both);
}

size_t Scanner::matchTekken(uint32_t maxDigits, bool contractions) const {
  Char first = at(0);
  bool mayPrecedeWord = !first.isNewline() && !first.is(classLetter | classNumber);
  for (auto matchWord : {&Scanner::matchLowerWord, &Scanner::matchUpperWord})
    for (size_t begin : {size_t(first.length), size_t(0)})
      if (size_t end = (this->*matchWord)(begin); end > begin && (begin == 0 || mayPrecedeWord))
        return contractions ? matchContraction(end, true) : end;

  if (first.is(classNumber))
    return skip(0, classNumber, maxDigits);
  size_t begin = text[0] == ' ' ? 1 : 0;
  size_t end = skipOther(begin, classSpace | classNumber | classLetter);
  if (end > begin) {
    while (at(end).isNewline() || at(end).codePoint == '/')
      ++end;
    return end;
  }
  if (size_t breaks = matchLineBreaks())
    return breaks;
  return matchSpaces();
}

/// 0 if nothing matches here.
size_t Scanner::matchDeepSeekV3() const {
  auto isAsciiLetter = [&](size_t i) {
    char c = i < text.size() ? char(text[i] | 0x20) : '\0';
    return c >= 'a' && c <= 'z';
  };
  Char first = at(0);
  if (first.codePoint < 0x80 && first.is(classPunctuation | classSymbol) && isAsciiLetter(1)) {
    size_t end = 2;
    while (isAsciiLetter(end))
      ++end;
    return end;
  }
  constexpr uint8_t word = classLetter | classMark, other = classPunctuation | classSymbol;
  bool mayPrecedeWord = !first.isNewline() && !first.is(classLetter | other);
  if (mayPrecedeWord && at(first.length).is(word))
    return skip(first.length, word);
  if (first.is(word))
    return skip(0, word);
  size_t begin = text[0] == ' ' ? 1 : 0;
  if (size_t end = skip(begin, other); end > begin) {
    while (at(end).isNewline())
      ++end;
    return end;
  }
  if (size_t breaks = matchLineBreaks())
    return breaks;
  return matchSpaces();
}

/// The expression leaves out numbers and characters of no class; what it skips is a piece.
size_t Scanner::matchDeepSeekV3OrSkip() const {
  if (size_t length = matchDeepSeekV3())
    return length;
  size_t end = at(0).length;
  while (end < text.size() && !Scanner(tables, text.substr(end)).matchDeepSeekV3())
    end += at(end).length;
  return end;
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

size_t Scanner::matchBloom() const {
  auto isInWord = [&](const Char &c) {
    return c.length && !c.is(classSpace) && !endsBloomWord(c.codePoint);
  };
  // Text between two words is a piece of its own; a space before a word belongs to the word.
  auto wordBeginsAt = [&](size_t i) {
    return isInWord(at(i)) || (text[i] == ' ' && isInWord(at(i + 1)));
  };
  size_t end = 0;
  if (!wordBeginsAt(0)) {
    while (end < text.size() && !wordBeginsAt(end))
      end += at(end).length;
    return end;
  }
  end = text[0] == ' ' ? 1 : 0;
  for (Char c = at(end); isInWord(c); c = at(end))
    end += c.length;
  return end;
}

size_t Scanner::matchSetRuns(CodePointSet set, bool withSpace) const {
  auto isMember = [&](const Char &c) {
    switch (set) {
    case CodePointSet::letters:
      return c.is(classLetter);
    case CodePointSet::punctuation:
      return c.is(classPunctuation);
    default:
      return c.length && isInSet(set, c.codePoint);
    }
  };
  auto runBeginsAt = [&](size_t i) {
    Char c = at(i);
    return isMember(c) || (withSpace && c.is(classSpace) && isMember(at(i + c.length)));
  };
  size_t end = 0;
  if (!runBeginsAt(0)) {
    while (end < text.size() && !runBeginsAt(end))
      end += at(end).length;
    return end;
  }
  // The first character may be the space before a run, or a space that is itself a member.
  do
    end += at(end).length;
  while (isMember(at(end)));
  return end;
}

/// \s+$ : the white space at the end, or what is before it.
size_t Scanner::matchTrailingSpace() const {
  size_t runBegin = 0;
  for (size_t i = 0; i < text.size();) {
    Char c = at(i);
    i += c.length;
    if (!c.is(classSpace))
      runBegin = i;
  }
  return runBegin ? runBegin : text.size();
}

/// [\r\n]: one line break, or what is before it.
size_t Scanner::matchLineBreak() const {
  size_t found = std::min(text.size(), text.find_first_of("\r\n"));
  return found ? found : 1;
}

size_t Scanner::matchLines() const {
  bool breaks = text[0] == '\n';
  return std::min(text.size(), breaks ? text.find_first_not_of('\n') : text.find('\n'));
}

size_t Scanner::matchSpaceRuns() const {
  size_t word = text.find_first_not_of(' ');
  return std::min(text.size(), text.find(' ', std::min(word, text.size())));
}

size_t tern::text::pieceLength(const TokenizerTables &tables, const fb::SplitStage &stage,
                               std::string_view text) {
  Scanner scanner(tables, text);
  uint8_t parameter = stage.parameter();
  switch (stage.kind()) {
  case SplitKind::gpt2:
    return scanner.matchGpt2();
  case SplitKind::cl100k:
    return scanner.matchCl100k({.maxDigits = parameter});
  case SplitKind::cl100k_marks:
    return scanner.matchCl100k({.maxDigits = parameter, .letters = classLetter | classMark});
  case SplitKind::cl100k_bare:
    return scanner.matchCl100k({.maxDigits = parameter, .breaksAfterOther = false});
  case SplitKind::space_powers:
    return scanner.matchSpacePowers();
  case SplitKind::tekken:
    return scanner.matchTekken(parameter, false);
  case SplitKind::o200k:
    return scanner.matchTekken(parameter, true);
  case SplitKind::deepseek_v3:
    return scanner.matchDeepSeekV3OrSkip();
  case SplitKind::numbers:
    return scanner.matchNumbers(parameter);
  case SplitKind::ascii_triples:
    return scanner.matchAsciiTriples();
  case SplitKind::punctuation:
    return scanner.matchPunctuation(parameter != 0);
  case SplitKind::space_runs:
    return scanner.matchSpaceRuns();
  case SplitKind::bloom:
    return scanner.matchBloom();
  case SplitKind::set_runs:
    return scanner.matchSetRuns(CodePointSet(parameter), false);
  case SplitKind::spaced_set_runs:
    return scanner.matchSetRuns(CodePointSet(parameter), true);
  case SplitKind::trailing_space:
    return scanner.matchTrailingSpace();
  case SplitKind::line_breaks:
    return scanner.matchLineBreak();
  case SplitKind::lines:
    return scanner.matchLines();
  }
  return text.size();
}
