// The functions chat templates call on values.
#include "compiler/Text/JinjaBuiltins.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <algorithm>

using namespace tern::jinja;

/// ASCII only: the evaluator sees the compiler's probe messages, never users' text.
static constexpr llvm::StringLiteral whiteSpace = " \t\n\r\v\f\x1c\x1d\x1e\x1f";

std::string tern::jinja::strip(llvm::StringRef text, bool left, bool right) {
  if (left)
    text = text.ltrim(whiteSpace);
  if (right)
    text = text.rtrim(whiteSpace);
  return text.str();
}

static std::string replaceAll(llvm::StringRef text, llvm::StringRef from, llvm::StringRef to) {
  std::string result;
  while (!from.empty()) {
    auto [before, after] = text.split(from);
    if (before.size() == text.size())
      break;
    result += before;
    result += to;
    text = after;
  }
  return result + text.str();
}

static Value splitAt(llvm::StringRef text, llvm::StringRef separator) {
  Value::List parts;
  while (text.contains(separator)) {
    auto [before, after] = text.split(separator);
    parts.push_back(before.str());
    text = after;
  }
  parts.push_back(text.str());
  return parts;
}

/// items() of a dictionary.
static Value pairsOf(const Value::Dictionary &entries) {
  Value::List pairs;
  for (const auto &[key, value] : entries)
    pairs.push_back(Value::List{key, value});
  return pairs;
}

static std::optional<Value> filterString(llvm::StringRef name, const std::string &text,
                                         llvm::ArrayRef<Value> arguments) {
  if (name == "trim" && arguments.empty())
    return strip(text, true, true);
  if (name == "upper")
    return llvm::StringRef(text).upper();
  if (name == "lower")
    return llvm::StringRef(text).lower();
  if (name == "length" || name == "count")
    return int64_t(text.size());
  if (name == "capitalize" && !text.empty())
    return llvm::StringRef(text).take_front(1).upper() +
           llvm::StringRef(text).drop_front(1).lower();
  if (name == "replace" && arguments.size() == 2 && arguments[0].string() && arguments[1].string())
    return replaceAll(text, *arguments[0].string(), *arguments[1].string());
  if (name == "string" || name == "safe")
    return text;
  return std::nullopt;
}

/// selectattr("name") and selectattr("name", "equalto", value), or the opposite.
static std::optional<Value> selectAttribute(const Value::List &items,
                                            llvm::ArrayRef<Value> arguments, bool wanted) {
  if (arguments.empty() || !arguments[0].string())
    return std::nullopt;
  Value::List selected;
  for (const Value &item : items) {
    Value *found = item.find(*arguments[0].string());
    Value attribute = found ? *found : Value();
    bool matches = attribute.isTrue();
    if (arguments.size() > 1) {
      if (!arguments[1].string())
        return std::nullopt;
      std::optional<bool> tested =
          applyTest(*arguments[1].string(), attribute, arguments.drop_front(2));
      if (!tested)
        return std::nullopt;
      matches = *tested;
    }
    if (matches == wanted)
      selected.push_back(item);
  }
  return Value(selected);
}

static std::optional<Value> filterList(llvm::StringRef name, const Value::List &items,
                                       llvm::ArrayRef<Value> arguments) {
  if (name == "length" || name == "count")
    return int64_t(items.size());
  if (name == "first")
    return items.empty() ? Value() : items.front();
  if (name == "last")
    return items.empty() ? Value() : items.back();
  if (name == "list")
    return Value(items);
  if (name == "reverse")
    return Value(Value::List(items.rbegin(), items.rend()));
  if (name == "join" && arguments.size() <= 1) {
    std::string separator = arguments.empty() ? "" : arguments[0].toText();
    std::string text;
    for (const auto &[i, item] : llvm::enumerate(items))
      text += (i ? separator : "") + item.toText();
    return text;
  }
  if (name == "selectattr" || name == "rejectattr")
    return selectAttribute(items, arguments, name == "selectattr");
  return std::nullopt;
}

std::optional<Value> tern::jinja::applyFilter(llvm::StringRef name, const Value &input,
                                              llvm::ArrayRef<Value> arguments) {
  if (name == "default" || name == "d") {
    if (arguments.empty())
      return std::nullopt;
    bool falsyToo = arguments.size() > 1 && arguments[1].isTrue();
    return input.isUndefined() || (falsyToo && !input.isTrue()) ? arguments[0] : input;
  }
  if (const std::string *text = input.string())
    return filterString(name, *text, arguments);
  if (Value::List *items = input.list())
    return filterList(name, *items, arguments);
  if (Value::Dictionary *entries = input.dictionary()) {
    if (name == "length" || name == "count")
      return int64_t(entries->size());
    if (name == "items")
      return pairsOf(*entries);
  }
  if (name == "string" && !input.isUndefined())
    return input.toText();
  return std::nullopt;
}

std::optional<bool> tern::jinja::applyTest(llvm::StringRef name, const Value &input,
                                           llvm::ArrayRef<Value> arguments) {
  if (name == "defined")
    return !input.isUndefined();
  if (name == "undefined")
    return input.isUndefined();
  if (name == "none")
    return input.isNone();
  if (name == "string")
    return input.string() != nullptr;
  if (name == "mapping")
    return input.dictionary() != nullptr;
  if (name == "iterable" || name == "sequence")
    return input.string() || input.list() || input.dictionary();
  if (name == "boolean")
    return input.boolean() != nullptr;
  if (name == "true" || name == "false")
    return input.boolean() && *input.boolean() == (name == "true");
  if (name == "number" || name == "integer")
    return input.integer().has_value() && (name == "number" || !input.boolean());
  if ((name == "odd" || name == "even") && input.integer())
    return (*input.integer() % 2 == 0) == (name == "even");
  if ((name == "equalto" || name == "eq") && arguments.size() == 1)
    return input == arguments[0];
  if (name == "ne" && arguments.size() == 1)
    return !(input == arguments[0]);
  if (name == "in" && arguments.size() == 1 && arguments[0].list())
    return llvm::is_contained(*arguments[0].list(), input);
  return std::nullopt;
}

static std::optional<Value> callStringMethod(const std::string &text, llvm::StringRef name,
                                             llvm::ArrayRef<Value> arguments) {
  llvm::StringRef view = text;
  if (arguments.empty()) {
    if (name == "strip" || name == "lstrip" || name == "rstrip")
      return strip(text, name != "rstrip", name != "lstrip");
    if (name == "upper")
      return view.upper();
    if (name == "lower")
      return view.lower();
    if (name == "capitalize" || name == "title")
      return view.take_front(1).upper() + view.drop_front(1).lower();
    return std::nullopt;
  }
  const std::string *first = arguments[0].string();
  if (!first)
    return std::nullopt;
  if (name == "startswith" && arguments.size() == 1)
    return view.starts_with(*first);
  if (name == "endswith" && arguments.size() == 1)
    return view.ends_with(*first);
  if (name == "split" && arguments.size() == 1 && !first->empty())
    return splitAt(view, *first);
  if (name == "replace" && arguments.size() == 2 && arguments[1].string())
    return replaceAll(view, *first, *arguments[1].string());
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    if (name != "rstrip")
      view = view.ltrim(*first);
    if (name != "lstrip")
      view = view.rtrim(*first);
    return view.str();
  }
  return std::nullopt;
}

std::optional<Value> tern::jinja::callMethod(const Value &object, llvm::StringRef name,
                                             llvm::ArrayRef<Value> arguments) {
  if (const std::string *text = object.string())
    return callStringMethod(*text, name, arguments);
  if (Value::Dictionary *entries = object.dictionary()) {
    if (name == "items" && arguments.empty())
      return pairsOf(*entries);
    if (name == "keys" && arguments.empty()) {
      Value::List keys;
      for (const auto &entry : *entries)
        keys.push_back(entry.first);
      return Value(keys);
    }
    if (name == "get" && !arguments.empty() && arguments[0].string()) {
      Value *found = object.find(*arguments[0].string());
      if (found)
        return *found;
      return arguments.size() > 1 ? arguments[1] : Value(Value::None());
    }
  }
  if (Value::List *items = object.list(); items && name == "append" && arguments.size() == 1) {
    items->push_back(arguments[0]);
    return Value(Value::None());
  }
  return std::nullopt;
}
