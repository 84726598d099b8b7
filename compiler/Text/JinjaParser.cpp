// Recursive descent over the lexer's tokens. After the first error the parser runs to the end
// without effect, so that only the public function deals with errors.
#include "compiler/Text/JinjaLexer.h"
#include "compiler/Text/JinjaSyntax.h"

#include "llvm/ADT/STLExtras.h"

using namespace tern::jinja;
using Kind = Expression::Kind;

namespace {

/// Nesting and chains of operators beyond these are no chat template; both become recursion.
constexpr int maxDepth = 100;
constexpr int maxLinks = 10000;

class Parser {
public:
  explicit Parser(std::vector<Token> tokens) : tokens(std::move(tokens)) {}

  llvm::Expected<std::vector<Statement>> run() {
    std::vector<Statement> statements = parseStatements({});
    if (!failure.empty())
      return llvm::createStringError(failure);
    return std::move(statements);
  }

private:
  const Token &peek(size_t ahead = 0) const {
    return tokens[std::min(position + ahead, tokens.size() - 1)];
  }
  bool isSymbol(llvm::StringRef text, size_t ahead = 0) const {
    return peek(ahead).kind == Token::Kind::symbol && peek(ahead).text == text;
  }
  bool isName(llvm::StringRef text, size_t ahead = 0) const {
    return peek(ahead).kind == Token::Kind::name && peek(ahead).text == text;
  }
  bool takeSymbol(llvm::StringRef text) { return isSymbol(text) && ++position; }
  bool takeName(llvm::StringRef text) { return isName(text) && ++position; }
  void expectSymbol(llvm::StringRef text) {
    if (!takeSymbol(text))
      fail("expected '" + text.str() + "'");
  }
  std::string expectIdentifier() {
    if (peek().kind != Token::Kind::name) {
      fail("expected a name");
      return {};
    }
    return tokens[position++].text;
  }
  void expectTagEnd() {
    if (peek().kind == Token::Kind::tagEnd)
      ++position;
    else
      fail("a tag holds more than is understood");
  }
  void fail(const std::string &what) {
    if (failure.empty())
      failure = "line " + std::to_string(peek().line) + ": " + what +
                (peek().text.empty() ? "" : ", found '" + peek().text + "'");
    position = tokens.size() - 1;
  }

  /// Bounds the operators of one expression, and with them the depth of its tree.
  bool countLink() {
    if (++links > maxLinks)
      fail("an expression is too long");
    return failure.empty();
  }

  std::vector<Statement> parseStatements(llvm::ArrayRef<llvm::StringRef> endTags);
  Statement parseTag();
  Statement parseCondition();
  Statement parseLoop();
  Statement parseSet();
  /// The statements up to {% end %}, which is taken.
  std::vector<Statement> parseBody(llvm::StringRef end);

  ExpressionPtr parseExpression();
  ExpressionPtr parseBinary(size_t level);
  ExpressionPtr parseNot();
  ExpressionPtr parseCompare();
  ExpressionPtr parseUnary(bool withFilters = true);
  ExpressionPtr parsePostfix(ExpressionPtr operand);
  ExpressionPtr parseFilters(ExpressionPtr operand);
  ExpressionPtr parsePrimary();
  ExpressionPtr parseSubscript(ExpressionPtr operand);
  ExpressionPtr parseSequence(Kind kind, llvm::StringRef close);
  void parseArguments(Expression &call);

  static ExpressionPtr make(Kind kind, std::string text = {}, ExpressionPtr a = nullptr,
                            ExpressionPtr b = nullptr) {
    auto made = std::make_unique<Expression>();
    made->kind = kind;
    made->text = std::move(text);
    if (a)
      made->operands.push_back(std::move(a));
    if (b)
      made->operands.push_back(std::move(b));
    return made;
  }

  std::vector<Token> tokens;
  size_t position = 0;
  int depth = 0;
  int links = 0;
  std::string failure;
};

} // namespace

std::vector<Statement> Parser::parseStatements(llvm::ArrayRef<llvm::StringRef> endTags) {
  std::vector<Statement> statements;
  while (failure.empty()) {
    const Token &token = peek();
    if (token.kind == Token::Kind::end) {
      if (!endTags.empty())
        fail("expected {% " + endTags.back().str() + " %}");
      break;
    }
    if (token.kind == Token::Kind::text) {
      Statement text;
      text.kind = Statement::Kind::text;
      text.text = token.text;
      statements.push_back(std::move(text));
      ++position;
    } else if (token.kind == Token::Kind::outputBegin) {
      ++position;
      Statement output;
      output.kind = Statement::Kind::output;
      output.expression = parseExpression();
      if (peek().kind != Token::Kind::outputEnd)
        fail("an expression holds more than is understood");
      else
        ++position;
      statements.push_back(std::move(output));
    } else { // tagBegin
      if (llvm::any_of(endTags, [&](llvm::StringRef tag) { return isName(tag, 1); }))
        break;
      ++position;
      statements.push_back(parseTag());
    }
  }
  return statements;
}

std::vector<Statement> Parser::parseBody(llvm::StringRef end) {
  std::vector<Statement> body = parseStatements({end});
  position += 2;
  expectTagEnd();
  return body;
}

Statement Parser::parseTag() {
  if (++depth > maxDepth)
    fail("statements are nested too deeply");
  Statement statement;
  statement.kind = Statement::Kind::block;
  if (takeName("if")) {
    statement = parseCondition();
  } else if (takeName("for")) {
    statement = parseLoop();
  } else if (takeName("set")) {
    statement = parseSet();
  } else if (takeName("generation")) { // marks training targets, renders its body
    expectTagEnd();
    statement.body = parseBody("endgeneration");
  } else if (takeName("break")) {
    statement.kind = Statement::Kind::loopBreak;
    expectTagEnd();
  } else if (takeName("continue")) {
    statement.kind = Statement::Kind::loopContinue;
    expectTagEnd();
  } else {
    fail("unsupported statement");
  }
  --depth;
  return statement;
}

/// After "if" or "elif"; takes everything up to and with "endif".
Statement Parser::parseCondition() {
  Statement statement;
  statement.kind = Statement::Kind::condition;
  statement.expression = parseExpression();
  expectTagEnd();
  statement.body = parseStatements({"elif", "else", "endif"});
  ++position;
  if (takeName("elif")) {
    if (++depth > maxDepth)
      fail("statements are nested too deeply");
    statement.otherwise.push_back(parseCondition());
    --depth;
    return statement;
  }
  if (takeName("else")) {
    expectTagEnd();
    statement.otherwise = parseBody("endif");
    return statement;
  }
  ++position;
  expectTagEnd();
  return statement;
}

Statement Parser::parseLoop() {
  Statement statement;
  statement.kind = Statement::Kind::loop;
  do
    statement.targets.push_back(expectIdentifier());
  while (takeSymbol(","));
  if (!takeName("in"))
    fail("expected 'in'");
  statement.expression = parseBinary(0);
  if (takeName("if"))
    statement.filter = parseExpression();
  expectTagEnd();
  statement.body = parseStatements({"else", "endfor"});
  ++position;
  if (takeName("else")) {
    expectTagEnd();
    statement.otherwise = parseBody("endfor");
    return statement;
  }
  ++position;
  expectTagEnd();
  return statement;
}

Statement Parser::parseSet() {
  Statement statement;
  statement.kind = Statement::Kind::set;
  statement.targets.push_back(expectIdentifier());
  if (takeSymbol("."))
    statement.targets.push_back(expectIdentifier());
  if (takeSymbol("=")) {
    statement.expression = parseExpression();
    expectTagEnd();
    return statement;
  }
  expectTagEnd();
  statement.kind = Statement::Kind::setBlock;
  statement.body = parseBody("endset");
  return statement;
}

ExpressionPtr Parser::parseExpression() {
  if (++depth > maxDepth)
    fail("expressions are nested too deeply");
  if (depth == 1)
    links = 0;
  ExpressionPtr value = parseBinary(0);
  while (countLink() && takeName("if")) {
    ExpressionPtr condition = parseBinary(0);
    ExpressionPtr otherwise = takeName("else") ? parseExpression() : nullptr;
    ExpressionPtr chosen = make(Kind::conditional, {}, std::move(condition), std::move(value));
    chosen->operands.push_back(std::move(otherwise));
    value = std::move(chosen);
  }
  --depth;
  return value;
}

/// Left-associative operators from the loosest (0, "or") to the tightest.
ExpressionPtr Parser::parseBinary(size_t level) {
  static const std::vector<llvm::StringRef> levels[] = {{"or"},     {"and"}, {},
                                                        {"+", "-"}, {"~"},   {"*", "/", "//", "%"}};
  constexpr size_t notLevel = 2;
  if (level == notLevel)
    return parseNot();
  if (level == std::size(levels))
    return parseUnary();
  ExpressionPtr left = parseBinary(level + 1);
  while (countLink() && llvm::any_of(levels[level], [&](llvm::StringRef operation) {
           return isSymbol(operation) || isName(operation);
         })) {
    std::string operation = tokens[position++].text;
    left = make(Kind::binary, operation, std::move(left), parseBinary(level + 1));
  }
  return left;
}

ExpressionPtr Parser::parseNot() {
  if (!takeName("not"))
    return parseCompare();
  if (++depth > maxDepth)
    fail("expressions are nested too deeply");
  ExpressionPtr operand = make(Kind::logicalNot, {}, parseNot());
  --depth;
  return operand;
}

ExpressionPtr Parser::parseCompare() {
  constexpr size_t sumLevel = 3;
  ExpressionPtr left = parseBinary(sumLevel);
  while (countLink()) {
    if (isName("not") && isName("in", 1)) {
      position += 2;
      left = make(Kind::logicalNot, {},
                  make(Kind::binary, "in", std::move(left), parseBinary(sumLevel)));
      continue;
    }
    static const llvm::StringRef operations[] = {"==", "!=", "<", ">", "<=", ">=", "in"};
    if (!llvm::any_of(operations, [&](llvm::StringRef o) { return isSymbol(o) || isName(o); }))
      break;
    std::string operation = tokens[position++].text;
    left = make(Kind::binary, operation, std::move(left), parseBinary(sumLevel));
  }
  return left;
}

ExpressionPtr Parser::parseUnary(bool withFilters) {
  if (++depth > maxDepth)
    fail("expressions are nested too deeply");
  ExpressionPtr operand;
  if (takeSymbol("-"))
    operand = make(Kind::negate, {}, parseUnary(false));
  else if (takeSymbol("+"))
    operand = parseUnary(false);
  else
    operand = parsePostfix(parsePrimary());
  --depth;
  return withFilters ? parseFilters(std::move(operand)) : std::move(operand);
}

ExpressionPtr Parser::parsePostfix(ExpressionPtr operand) {
  while (countLink()) {
    if (takeSymbol(".")) {
      operand = make(Kind::attribute, expectIdentifier(), std::move(operand));
    } else if (takeSymbol("[")) {
      operand = parseSubscript(std::move(operand));
    } else if (takeSymbol("(")) {
      operand = make(Kind::call, {}, std::move(operand));
      parseArguments(*operand);
    } else {
      break;
    }
  }
  return operand;
}

ExpressionPtr Parser::parseSubscript(ExpressionPtr operand) {
  ExpressionPtr parts[3];
  size_t count = 0;
  bool isSlice = false;
  while (failure.empty() && count < 3) {
    if (!isSymbol(":") && !isSymbol("]"))
      parts[count] = parseExpression();
    ++count;
    if (!takeSymbol(":"))
      break;
    isSlice = true;
  }
  expectSymbol("]");
  if (!isSlice && parts[0])
    return make(Kind::index, {}, std::move(operand), std::move(parts[0]));
  ExpressionPtr slice = make(Kind::slice, {}, std::move(operand));
  for (ExpressionPtr &part : parts)
    slice->operands.push_back(std::move(part));
  return slice;
}

/// After "(": positional arguments into operands, named ones into named.
void Parser::parseArguments(Expression &call) {
  while (failure.empty() && !isSymbol(")")) {
    if (peek().kind == Token::Kind::name && isSymbol("=", 1)) {
      std::string name = expectIdentifier();
      ++position;
      call.named.push_back({name, parseExpression()});
    } else {
      call.operands.push_back(parseExpression());
    }
    if (!takeSymbol(","))
      break;
  }
  expectSymbol(")");
}

ExpressionPtr Parser::parseFilters(ExpressionPtr operand) {
  while (countLink()) {
    if (takeSymbol("|")) {
      operand = make(Kind::filter, expectIdentifier(), std::move(operand));
      if (takeSymbol("("))
        parseArguments(*operand);
    } else if (takeName("is")) {
      bool negated = takeName("not");
      operand = make(Kind::test, expectIdentifier(), std::move(operand));
      static const llvm::StringRef operators[] = {"and", "or", "not", "in", "is", "if", "else"};
      bool isOperator = llvm::any_of(operators, [&](llvm::StringRef text) { return isName(text); });
      Token::Kind next = peek().kind;
      if (takeSymbol("("))
        parseArguments(*operand);
      else if ((next == Token::Kind::name && !isOperator) || next == Token::Kind::string ||
               next == Token::Kind::integer)
        operand->operands.push_back(parsePostfix(parsePrimary()));
      if (negated)
        operand = make(Kind::logicalNot, {}, std::move(operand));
    } else {
      break;
    }
  }
  return operand;
}

/// After "[" or "(": expressions up to `close`.
ExpressionPtr Parser::parseSequence(Kind kind, llvm::StringRef close) {
  ExpressionPtr sequence = make(kind);
  while (failure.empty() && !isSymbol(close)) {
    sequence->operands.push_back(parseExpression());
    if (kind == Kind::dictionary) {
      expectSymbol(":");
      sequence->operands.push_back(parseExpression());
    }
    if (!takeSymbol(","))
      break;
  }
  expectSymbol(close);
  return sequence;
}

ExpressionPtr Parser::parsePrimary() {
  const Token token = peek();
  ++position;
  switch (token.kind) {
  case Token::Kind::string: {
    ExpressionPtr text = make(Kind::string, token.text);
    while (peek().kind == Token::Kind::string)
      text->text += tokens[position++].text;
    return text;
  }
  case Token::Kind::integer: {
    ExpressionPtr number = make(Kind::integer);
    number->number = std::stoll(token.text);
    return number;
  }
  case Token::Kind::name: {
    llvm::StringRef name = token.text;
    if (name == "none" || name == "None")
      return make(Kind::none);
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      ExpressionPtr boolean = make(Kind::boolean);
      boolean->number = name.lower() == "true";
      return boolean;
    }
    return make(Kind::name, token.text);
  }
  case Token::Kind::symbol:
    if (token.text == "[")
      return parseSequence(Kind::list, "]");
    if (token.text == "{")
      return parseSequence(Kind::dictionary, "}");
    if (token.text == "(") {
      ExpressionPtr first = parseExpression();
      if (takeSymbol(")"))
        return first;
      expectSymbol(",");
      ExpressionPtr tuple = parseSequence(Kind::list, ")");
      tuple->operands.insert(tuple->operands.begin(), std::move(first));
      return tuple;
    }
    break;
  default:
    break;
  }
  --position;
  fail("expected an expression");
  return make(Kind::none);
}

llvm::Expected<std::vector<Statement>> tern::jinja::parse(llvm::StringRef source) {
  llvm::Expected<std::vector<Token>> tokens = tokenize(source);
  if (!tokens)
    return tokens.takeError();
  return Parser(std::move(*tokens)).run();
}
