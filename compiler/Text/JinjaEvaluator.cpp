// A tree-walking evaluator. The first failure sticks; everything after it is skipped.
#include "compiler/Text/JinjaEvaluator.h"

#include "compiler/Text/JinjaBuiltins.h"

#include "llvm/ADT/STLExtras.h"

#include <map>

using namespace tern::jinja;
using Kind = Expression::Kind;
using Outcome = RenderResult::Outcome;

namespace {

/// Far more than any chat template needs for a short conversation.
constexpr size_t maxSteps = 100000;
constexpr size_t maxBytes = 1 << 20;

class Evaluator {
public:
  explicit Evaluator(const Value &variables) : variables(variables) { scopes.emplace_back(); }

  RenderResult run(llvm::ArrayRef<Statement> statements) {
    std::string text;
    execute(statements, text);
    return outcome == Outcome::rendered ? RenderResult{outcome, text}
                                        : RenderResult{outcome, failure};
  }

private:
  enum class Flow { next, leaveLoop, continueLoop };

  bool failed() const { return outcome != Outcome::rendered; }
  Value fail(const std::string &what, Outcome kind = Outcome::unsupported) {
    if (!failed()) {
      outcome = kind;
      failure = what;
    }
    return {};
  }
  bool countStep(size_t bytes) {
    if (++steps > maxSteps || bytes > maxBytes)
      fail("the template does not end");
    return !failed();
  }

  Flow execute(llvm::ArrayRef<Statement> statements, std::string &output);
  Flow executeLoop(const Statement &statement, std::string &output);
  bool bindTargets(const std::vector<std::string> &targets, const Value &item);
  void assign(const Statement &statement, Value value);

  Value evaluate(const Expression &expression);
  Value evaluateBinary(const Expression &expression);
  Value evaluateAttribute(const Value &object, const Value &key);
  Value evaluateSlice(const Expression &expression);
  Value evaluateCall(const Expression &expression);
  Value callFunction(llvm::StringRef name, const Expression &call, llvm::ArrayRef<Value> arguments);
  Value lookUp(const std::string &name);
  /// The operands from `first` on.
  std::vector<Value> evaluateOperands(const Expression &expression, size_t first);
  std::string concatenate(const Value &left, const Value &right);

  const Value &variables;
  std::vector<std::map<std::string, Value>> scopes;
  size_t steps = 0;
  Outcome outcome = Outcome::rendered;
  std::string failure;
};

} // namespace

Evaluator::Flow Evaluator::execute(llvm::ArrayRef<Statement> statements, std::string &output) {
  for (const Statement &statement : statements) {
    if (failed() || !countStep(output.size()))
      return Flow::next;
    Flow flow = Flow::next;
    switch (statement.kind) {
    case Statement::Kind::text:
      output += statement.text;
      break;
    case Statement::Kind::output:
      output += evaluate(*statement.expression).toText();
      break;
    case Statement::Kind::condition: {
      bool holds = evaluate(*statement.expression).isTrue();
      flow = execute(holds ? statement.body : statement.otherwise, output);
      break;
    }
    case Statement::Kind::loop:
      flow = executeLoop(statement, output);
      break;
    case Statement::Kind::set:
      assign(statement, evaluate(*statement.expression));
      break;
    case Statement::Kind::setBlock: {
      std::string text;
      flow = execute(statement.body, text);
      assign(statement, text);
      break;
    }
    case Statement::Kind::block:
      flow = execute(statement.body, output);
      break;
    case Statement::Kind::loopBreak:
      return Flow::leaveLoop;
    case Statement::Kind::loopContinue:
      return Flow::continueLoop;
    }
    if (flow != Flow::next)
      return flow;
  }
  return Flow::next;
}

void Evaluator::assign(const Statement &statement, Value value) {
  if (failed())
    return;
  const std::string &name = statement.targets[0];
  if (statement.targets.size() == 1) {
    scopes.back()[name] = std::move(value);
    return;
  }
  Value object = lookUp(name);
  if (!object.dictionary())
    fail("'" + name + "' is no namespace");
  else
    object.set(statement.targets[1], std::move(value));
}

bool Evaluator::bindTargets(const std::vector<std::string> &targets, const Value &item) {
  if (targets.size() == 1) {
    scopes.back()[targets[0]] = item;
    return true;
  }
  Value::List *parts = item.list();
  if (!parts || parts->size() != targets.size())
    return false;
  for (auto [target, part] : llvm::zip_equal(targets, *parts))
    scopes.back()[target] = part;
  return true;
}

Evaluator::Flow Evaluator::executeLoop(const Statement &statement, std::string &output) {
  Value sequence = evaluate(*statement.expression);
  Value::List items;
  if (Value::List *list = sequence.list())
    items = *list;
  else if (Value::Dictionary *entries = sequence.dictionary())
    for (const auto &entry : *entries)
      items.push_back(entry.first);
  else if (!sequence.isUndefined())
    fail("a loop over something that is no list");
  scopes.emplace_back();
  if (statement.filter) {
    llvm::erase_if(items, [&](const Value &item) {
      return !bindTargets(statement.targets, item) || !evaluate(*statement.filter).isTrue();
    });
  }
  for (size_t i = 0; i < items.size() && !failed(); ++i) {
    scopes.back().clear();
    if (!bindTargets(statement.targets, items[i]))
      fail("a loop variable cannot be unpacked");
    int64_t count = int64_t(items.size()), index = int64_t(i);
    scopes.back()["loop"] =
        Value::Dictionary{{"index", index + 1},
                          {"index0", index},
                          {"revindex", count - index},
                          {"revindex0", count - index - 1},
                          {"first", i == 0},
                          {"last", index + 1 == count},
                          {"length", count},
                          {"previtem", i == 0 ? Value() : items[i - 1]},
                          {"nextitem", index + 1 == count ? Value() : items[i + 1]}};
    if (execute(statement.body, output) == Flow::leaveLoop)
      break;
  }
  scopes.pop_back();
  return items.empty() ? execute(statement.otherwise, output) : Flow::next;
}

Value Evaluator::lookUp(const std::string &name) {
  for (auto &scope : llvm::reverse(scopes))
    if (auto found = scope.find(name); found != scope.end())
      return found->second;
  Value *found = variables.find(name);
  return found ? *found : Value();
}

std::vector<Value> Evaluator::evaluateOperands(const Expression &expression, size_t first) {
  std::vector<Value> values;
  for (const ExpressionPtr &operand : llvm::drop_begin(expression.operands, first))
    values.push_back(evaluate(*operand));
  return values;
}

Value Evaluator::evaluate(const Expression &expression) {
  if (failed() || !countStep(0))
    return {};
  switch (expression.kind) {
  case Kind::string:
    return expression.text;
  case Kind::integer:
    return expression.number;
  case Kind::boolean:
    return expression.number != 0;
  case Kind::none:
    return Value::None();
  case Kind::list:
    return evaluateOperands(expression, 0);
  case Kind::dictionary: {
    Value dictionary(Value::Dictionary{});
    std::vector<Value> entries = evaluateOperands(expression, 0);
    for (size_t i = 0; i < entries.size(); i += 2)
      dictionary.set(entries[i].toText(), entries[i + 1]);
    return dictionary;
  }
  case Kind::name:
    return lookUp(expression.text);
  case Kind::attribute:
    return evaluateAttribute(evaluate(*expression.operands[0]), expression.text);
  case Kind::index: {
    Value object = evaluate(*expression.operands[0]);
    return evaluateAttribute(object, evaluate(*expression.operands[1]));
  }
  case Kind::slice:
    return evaluateSlice(expression);
  case Kind::call:
    return evaluateCall(expression);
  case Kind::filter: {
    Value input = evaluate(*expression.operands[0]);
    std::vector<Value> arguments = evaluateOperands(expression, 1);
    std::optional<Value> result;
    if (expression.named.empty())
      result = applyFilter(expression.text, input, arguments);
    return result ? *result : fail("unsupported use of the filter '" + expression.text + "'");
  }
  case Kind::test: {
    Value input = evaluate(*expression.operands[0]);
    std::optional<bool> result = applyTest(expression.text, input, evaluateOperands(expression, 1));
    return result ? *result : fail("unsupported use of the test '" + expression.text + "'");
  }
  case Kind::logicalNot:
    return !evaluate(*expression.operands[0]).isTrue();
  case Kind::negate:
    if (std::optional<int64_t> number = evaluate(*expression.operands[0]).integer())
      return -*number;
    return fail("a minus before something that is no integer");
  case Kind::binary:
    return evaluateBinary(expression);
  case Kind::conditional: {
    bool holds = evaluate(*expression.operands[0]).isTrue();
    const ExpressionPtr &chosen = expression.operands[holds ? 1 : 2];
    return chosen ? evaluate(*chosen) : Value();
  }
  }
  return {};
}

std::string Evaluator::concatenate(const Value &left, const Value &right) {
  std::string text = left.toText() + right.toText();
  countStep(text.size());
  return text;
}

Value Evaluator::evaluateBinary(const Expression &expression) {
  const std::string &operation = expression.text;
  Value left = evaluate(*expression.operands[0]);
  if (operation == "and")
    return left.isTrue() ? evaluate(*expression.operands[1]) : left;
  if (operation == "or")
    return left.isTrue() ? left : evaluate(*expression.operands[1]);
  Value right = evaluate(*expression.operands[1]);
  if (failed())
    return {};
  if (operation == "==")
    return left == right;
  if (operation == "!=")
    return !(left == right);
  if (operation == "~")
    return concatenate(left, right);
  if (operation == "in") {
    if (right.string() && left.string())
      return right.string()->find(*left.string()) != std::string::npos;
    if (Value::List *items = right.list())
      return llvm::is_contained(*items, left);
    if (right.dictionary() && left.string())
      return right.find(*left.string()) != nullptr;
    return fail("unsupported use of 'in'");
  }
  if (operation == "+" && left.string() && right.string())
    return concatenate(left, right);
  if (operation == "+" && left.list() && right.list()) {
    Value::List joined = *left.list();
    llvm::append_range(joined, *right.list());
    countStep(joined.size());
    return joined;
  }
  if (left.integer() && right.integer()) {
    int64_t a = *left.integer(), b = *right.integer(), result;
    if (operation == "<" || operation == ">")
      return operation == "<" ? a < b : a > b;
    if (operation == "<=" || operation == ">=")
      return operation == "<=" ? a <= b : a >= b;
    if (operation == "+" && !__builtin_add_overflow(a, b, &result))
      return result;
    if (operation == "-" && !__builtin_sub_overflow(a, b, &result))
      return result;
    if (operation == "*" && !__builtin_mul_overflow(a, b, &result))
      return result;
    // Python rounds towards minus infinity; negative operands do not occur in templates.
    if (operation == "%" && a >= 0 && b > 0)
      return a % b;
    if (operation == "//" && a >= 0 && b > 0)
      return a / b;
  }
  return fail("unsupported operands of '" + operation + "'");
}

Value Evaluator::evaluateAttribute(const Value &object, const Value &key) {
  if (failed())
    return {};
  if (object.isUndefined() || object.isNone())
    return fail("'" + key.toText() + "' is taken of something undefined");
  if (key.string()) {
    Value *found = object.find(*key.string());
    return found ? *found : Value();
  }
  std::optional<int64_t> index = key.integer();
  if (Value::List *items = object.list(); items && index) {
    int64_t size = int64_t(items->size());
    int64_t position = *index < 0 ? *index + size : *index;
    return position >= 0 && position < size ? (*items)[size_t(position)] : Value();
  }
  return fail("unsupported subscript");
}

Value Evaluator::evaluateSlice(const Expression &expression) {
  Value object = evaluate(*expression.operands[0]);
  std::optional<int64_t> bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    const ExpressionPtr &bound = expression.operands[i + 1];
    if (!bound)
      continue;
    bounds[i] = evaluate(*bound).integer();
    if (!bounds[i])
      return fail("a slice bound is no integer");
  }
  int64_t step = bounds[2].value_or(1);
  bool whole = !bounds[0] && !bounds[1];
  if (step != 1 && !(step == -1 && whole))
    return fail("unsupported slice step");
  auto range = [&](int64_t size) {
    auto clamp = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size); };
    int64_t begin = clamp(bounds[0].value_or(0)), end = clamp(bounds[1].value_or(size));
    return std::pair(begin, std::max(begin, end));
  };
  if (const std::string *text = object.string(); text && step == 1) {
    auto [begin, end] = range(int64_t(text->size()));
    return text->substr(size_t(begin), size_t(end - begin));
  }
  Value::List *items = object.list();
  if (!items)
    return fail("a slice of something that is no list");
  if (step == -1)
    return Value::List(items->rbegin(), items->rend());
  auto [begin, end] = range(int64_t(items->size()));
  return Value::List(items->begin() + begin, items->begin() + end);
}

Value Evaluator::evaluateCall(const Expression &expression) {
  const Expression &callee = *expression.operands[0];
  if (callee.kind == Kind::name)
    return callFunction(callee.text, expression, evaluateOperands(expression, 1));
  if (callee.kind == Kind::attribute && expression.named.empty()) {
    Value object = evaluate(*callee.operands[0]);
    std::optional<Value> result = callMethod(object, callee.text, evaluateOperands(expression, 1));
    if (result)
      return *result;
    return fail("unsupported use of the method '" + callee.text + "'");
  }
  return fail("unsupported call");
}

Value Evaluator::callFunction(llvm::StringRef name, const Expression &call,
                              llvm::ArrayRef<Value> arguments) {
  if (failed())
    return {};
  if (name == "raise_exception")
    return fail(arguments.empty() ? "" : arguments[0].toText(), Outcome::refused);
  if ((name == "namespace" || name == "dict") && arguments.empty()) {
    Value made(Value::Dictionary{});
    for (const NamedArgument &argument : call.named)
      made.set(argument.name, evaluate(*argument.value));
    return made;
  }
  if (name == "range" && !arguments.empty() && arguments.size() <= 2) {
    std::optional<int64_t> first = arguments.size() == 2 ? arguments[0].integer() : 0;
    std::optional<int64_t> end = arguments.back().integer();
    Value::List numbers;
    if (first && end && *end - *first < 10000)
      for (int64_t i = *first; i < *end; ++i)
        numbers.push_back(i);
    else
      return fail("unsupported range");
    return numbers;
  }
  return fail("unknown function '" + name.str() + "'");
}

RenderResult tern::jinja::render(llvm::ArrayRef<Statement> statements, const Value &variables) {
  return Evaluator(variables).run(statements);
}
