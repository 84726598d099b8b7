// Truth, equality and text of values, as Python has them.
#include "compiler/Text/JinjaValue.h"

using namespace tern::jinja;

bool Value::isTrue() const {
  if (std::optional<int64_t> number = integer())
    return *number != 0;
  if (const std::string *text = string())
    return !text->empty();
  if (List *items = list())
    return !items->empty();
  if (Dictionary *entries = dictionary())
    return !entries->empty();
  return false;
}

std::string Value::toText() const {
  if (isNone())
    return "None";
  if (const bool *value = boolean())
    return *value ? "True" : "False";
  if (std::optional<int64_t> number = integer())
    return std::to_string(*number);
  if (const std::string *text = string())
    return *text;
  // Templates that print whole containers are not reproduced by chat data anyway.
  return list() ? "[...]" : dictionary() ? "{...}" : "";
}

bool Value::operator==(const Value &other) const {
  if (integer() && other.integer())
    return *integer() == *other.integer();
  if (string() && other.string())
    return *string() == *other.string();
  if (list() && other.list())
    return *list() == *other.list();
  if (dictionary() && other.dictionary())
    return *dictionary() == *other.dictionary();
  return (isNone() && other.isNone()) || (isUndefined() && other.isUndefined());
}

Value *Value::find(const std::string &key) const {
  if (Dictionary *entries = dictionary())
    for (auto &[name, value] : *entries)
      if (name == key)
        return &value;
  return nullptr;
}

void Value::set(const std::string &key, Value value) const {
  if (Value *existing = find(key))
    *existing = std::move(value);
  else
    dictionary()->emplace_back(key, std::move(value));
}
