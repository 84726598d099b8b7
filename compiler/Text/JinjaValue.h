// Values of the Jinja evaluator. Lists and dictionaries are shared, as in Python.
#ifndef TERN_COMPILER_TEXT_JINJAVALUE_H
#define TERN_COMPILER_TEXT_JINJAVALUE_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace tern::jinja {

class Value {
public:
  struct Undefined {};
  struct None {};
  using List = std::vector<Value>;
  /// In order of insertion.
  using Dictionary = std::vector<std::pair<std::string, Value>>;

  Value() : storage(Undefined()) {}
  Value(None) : storage(None()) {}
  Value(bool value) : storage(value) {}
  Value(int64_t value) : storage(value) {}
  Value(std::string value) : storage(std::move(value)) {}
  Value(const char *value) : storage(std::string(value)) {}
  Value(List value) : storage(std::make_shared<List>(std::move(value))) {}
  Value(Dictionary value) : storage(std::make_shared<Dictionary>(std::move(value))) {}

  bool isUndefined() const { return std::holds_alternative<Undefined>(storage); }
  bool isNone() const { return std::holds_alternative<None>(storage); }
  const bool *boolean() const { return std::get_if<bool>(&storage); }
  const std::string *string() const { return std::get_if<std::string>(&storage); }
  List *list() const { return pointer<List>(); }
  Dictionary *dictionary() const { return pointer<Dictionary>(); }
  /// Booleans count as numbers, as in Python.
  std::optional<int64_t> integer() const {
    if (const bool *value = boolean())
      return *value;
    if (const int64_t *value = std::get_if<int64_t>(&storage))
      return *value;
    return std::nullopt;
  }

  bool isTrue() const;
  /// What {{ value }} writes.
  std::string toText() const;
  bool operator==(const Value &other) const;

  /// The entry of a dictionary, or null.
  Value *find(const std::string &key) const;
  /// Adds or replaces an entry of a dictionary.
  void set(const std::string &key, Value value) const;

private:
  template <typename T> T *pointer() const {
    const std::shared_ptr<T> *held = std::get_if<std::shared_ptr<T>>(&storage);
    return held ? held->get() : nullptr;
  }

  std::variant<Undefined, None, bool, int64_t, std::string, std::shared_ptr<List>,
               std::shared_ptr<Dictionary>>
      storage;
};

} // namespace tern::jinja

#endif
