// The lexer.
#include "compiler/Text/JinjaLexer.h"

#include "llvm/ADT/StringExtras.h"

using namespace tern::jinja;

namespace {

class Lexer {
public:
  explicit Lexer(llvm::StringRef source) : source(source) {
    this->source.consume_back("\n"); // keep_trailing_newline is off
  }

  llvm::Expected<std::vector<Token>> run();

private:
  /// What the end of a tag does to the text behind it.
  enum class Trim { nothing, newline, whiteSpace };

  llvm::Error readTag(bool isOutput);
  llvm::Error readToken();
  llvm::Error readString(char quote);
  void addText(llvm::StringRef text);
  void emit(Token::Kind kind, llvm::StringRef text = "") {
    tokens.push_back({kind, text.str(), line()});
  }
  /// The line of `position`, which only grows.
  size_t line() {
    lines += source.slice(counted, position).count('\n');
    counted = position;
    return lines;
  }
  llvm::Error error(const char *what) {
    return llvm::createStringError("line %zu: %s", line(), what);
  }
  llvm::StringRef rest() const { return source.drop_front(position); }

  llvm::StringRef source;
  size_t position = 0;
  size_t counted = 0;
  size_t lines = 1;
  Trim trim = Trim::nothing;
  std::vector<Token> tokens;
};

} // namespace

/// Text up to the tag at `position + text.size()`, or the end.
void Lexer::addText(llvm::StringRef text) {
  llvm::StringRef tag = rest().drop_front(text.size());
  bool atLineStart = position == 0;
  if (trim == Trim::whiteSpace) {
    text = text.ltrim(" \t\r\n\v\f");
    atLineStart = false;
  } else if (trim == Trim::newline && text.consume_front("\n")) {
    atLineStart = true;
  }
  if (tag.size() >= 3 && tag[2] == '-') {
    text = text.rtrim(" \t\r\n\v\f");
  } else if ((tag.starts_with("{%") || tag.starts_with("{#")) && tag.size() >= 3 && tag[2] != '+') {
    // lstrip_blocks: blanks between the line's start and a block tag go away.
    llvm::StringRef stripped = text.rtrim(" \t\v\f");
    if (stripped.ends_with("\n") || (stripped.empty() && atLineStart))
      text = stripped;
  }
  if (!text.empty())
    emit(Token::Kind::text, text);
}

llvm::Error Lexer::readString(char quote) {
  std::string text;
  for (++position; position < source.size() && source[position] != quote; ++position) {
    char c = source[position];
    if (c == '\\' && position + 1 < source.size()) {
      char escaped = source[++position];
      switch (escaped) {
      case 'n':
        c = '\n';
        break;
      case 't':
        c = '\t';
        break;
      case 'r':
        c = '\r';
        break;
      case '\\':
      case '\'':
      case '"':
        c = escaped;
        break;
      default:
        text += '\\';
        c = escaped;
        break;
      }
    }
    text += c;
  }
  if (position == source.size())
    return error("a string has no end");
  ++position;
  emit(Token::Kind::string, text);
  return llvm::Error::success();
}

llvm::Error Lexer::readToken() {
  char c = source[position];
  if (c == '\'' || c == '"')
    return readString(c);
  if (llvm::isAlpha(c) || c == '_') {
    llvm::StringRef name = rest().take_while([](char c) { return llvm::isAlnum(c) || c == '_'; });
    emit(Token::Kind::name, name);
    position += name.size();
    return llvm::Error::success();
  }
  if (llvm::isDigit(c)) {
    llvm::StringRef digits = rest().take_while([](char c) { return llvm::isDigit(c); });
    if (digits.size() > 18)
      return error("a number is too large");
    emit(Token::Kind::integer, digits);
    position += digits.size();
    return llvm::Error::success();
  }
  static const llvm::StringLiteral symbols[] = {"==", "!=", "<=", ">=", "//", "**", "(", ")", "[",
                                                "]",  "{",  "}",  ",",  ":",  ".",  "|", "~", "+",
                                                "-",  "*",  "/",  "%",  "<",  ">",  "="};
  for (llvm::StringRef symbol : symbols)
    if (rest().starts_with(symbol)) {
      emit(Token::Kind::symbol, symbol);
      position += symbol.size();
      return llvm::Error::success();
    }
  return error("a character has no meaning in an expression");
}

/// A {{ }} or {% %} tag, `position` at its first brace.
llvm::Error Lexer::readTag(bool isOutput) {
  llvm::StringRef close = isOutput ? "}}" : "%}";
  position += 2;
  if (rest().starts_with("-") || rest().starts_with("+"))
    ++position;
  emit(isOutput ? Token::Kind::outputBegin : Token::Kind::tagBegin);
  int depth = 0; // of brackets: }} may close two dictionaries
  while (true) {
    position += rest().take_while([](char c) { return llvm::isSpace(c); }).size();
    if (rest().empty())
      return error("a tag has no end");
    llvm::StringRef tail = rest();
    bool dash = tail.consume_front("-");
    bool plus = !dash && tail.consume_front("+");
    if (depth == 0 && tail.starts_with(close)) {
      position += close.size() + (dash || plus);
      trim = dash ? Trim::whiteSpace : isOutput || plus ? Trim::nothing : Trim::newline;
      emit(isOutput ? Token::Kind::outputEnd : Token::Kind::tagEnd);
      return llvm::Error::success();
    }
    if (llvm::Error failed = readToken())
      return failed;
    if (tokens.back().kind == Token::Kind::symbol) {
      llvm::StringRef symbol = tokens.back().text;
      depth += symbol == "(" || symbol == "[" || symbol == "{";
      depth -= symbol == ")" || symbol == "]" || symbol == "}";
    }
  }
}

llvm::Expected<std::vector<Token>> Lexer::run() {
  while (position < source.size()) {
    size_t tag = llvm::StringRef::npos;
    for (size_t i = source.find('{', position); i != llvm::StringRef::npos;
         i = source.find('{', i + 1))
      if (i + 1 < source.size() && llvm::StringRef("{%#").contains(source[i + 1])) {
        tag = i;
        break;
      }
    llvm::StringRef text = source.slice(position, tag);
    addText(text);
    position += text.size();
    if (tag == llvm::StringRef::npos)
      break;
    trim = Trim::nothing;
    if (source[tag + 1] == '#') {
      size_t end = source.find("#}", tag + 2);
      if (end == llvm::StringRef::npos)
        return error("a comment has no end");
      trim = source[end - 1] == '-' ? Trim::whiteSpace : Trim::newline;
      position = end + 2;
    } else if (llvm::Error failed = readTag(source[tag + 1] == '{')) {
      return failed;
    }
  }
  emit(Token::Kind::end);
  return std::move(tokens);
}

llvm::Expected<std::vector<Token>> tern::jinja::tokenize(llvm::StringRef source) {
  return Lexer(source).run();
}
