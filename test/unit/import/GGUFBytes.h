// Builds GGUF files byte by byte for tests, right or wrong on purpose.
#ifndef TERN_TEST_UNIT_IMPORT_GGUFBYTES_H
#define TERN_TEST_UNIT_IMPORT_GGUFBYTES_H

#include "compiler/Import/GGUF/Reader.h"
#include <cstring>
#include <string>
#include <vector>

namespace tern::gguf {

class GGUFBytes {
public:
  uint32_t version = 3;
  uint64_t alignment = 32;                     ///< written only if not 32
  uint64_t extraTensors = 0, extraEntries = 0; ///< added to the counts without records

  GGUFBytes &add(const std::string &key, const std::string &text) {
    begin(key, ValueType::string);
    string(entries, text);
    return *this;
  }
  GGUFBytes &add(const std::string &key, const char *text) { return add(key, std::string(text)); }
  GGUFBytes &add(const std::string &key, uint32_t value) {
    return scalar(key, ValueType::uint32, value);
  }
  GGUFBytes &add(const std::string &key, int32_t value) {
    return scalar(key, ValueType::int32, value);
  }
  GGUFBytes &add(const std::string &key, uint64_t value) {
    return scalar(key, ValueType::uint64, value);
  }
  GGUFBytes &add(const std::string &key, uint16_t value) {
    return scalar(key, ValueType::uint16, value);
  }
  GGUFBytes &add(const std::string &key, float value) {
    return scalar(key, ValueType::float32, value);
  }
  GGUFBytes &add(const std::string &key, bool value) {
    return scalar(key, ValueType::boolean, uint8_t(value));
  }
  GGUFBytes &add(const std::string &key, const std::vector<std::string> &strings) {
    beginArray(key, ValueType::string, strings.size());
    for (const std::string &text : strings)
      string(entries, text);
    return *this;
  }
  GGUFBytes &add(const std::string &key, const std::vector<uint32_t> &values) {
    beginArray(key, ValueType::uint32, values.size());
    for (uint32_t value : values)
      number(entries, value);
    return *this;
  }
  /// A key whose type and payload are the caller's.
  GGUFBytes &raw(const std::string &key, uint32_t type, const std::vector<uint8_t> &payload) {
    ++entryCount;
    string(entries, key);
    number(entries, type);
    entries.insert(entries.end(), payload.begin(), payload.end());
    return *this;
  }

  /// A tensor of row-major `shape`, its bytes appended to the data section.
  GGUFBytes &tensor(const std::string &name, const std::vector<uint64_t> &shape, uint32_t type,
                    const std::vector<uint8_t> &bytes) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    tensorAt(name, shape, type, data.size());
    data.insert(data.end(), bytes.begin(), bytes.end());
    return *this;
  }
  /// A tensor record alone.
  GGUFBytes &tensorAt(const std::string &name, const std::vector<uint64_t> &shape, uint32_t type,
                      uint64_t offset) {
    ++tensorCount;
    string(tensors, name);
    number(tensors, uint32_t(shape.size()));
    for (size_t i = shape.size(); i-- > 0;)
      number(tensors, shape[i]);
    number(tensors, type);
    number(tensors, offset);
    return *this;
  }

  std::vector<uint8_t> bytes() const {
    GGUFBytes copy = *this;
    if (alignment != 32)
      copy.add("general.alignment", uint32_t(alignment));
    std::vector<uint8_t> file = {'G', 'G', 'U', 'F'};
    number(file, version);
    number(file, copy.tensorCount + extraTensors);
    number(file, copy.entryCount + extraEntries);
    file.insert(file.end(), copy.entries.begin(), copy.entries.end());
    file.insert(file.end(), tensors.begin(), tensors.end());
    file.resize((file.size() + alignment - 1) / alignment * alignment);
    file.insert(file.end(), data.begin(), data.end());
    return file;
  }

  template <typename T> static void number(std::vector<uint8_t> &to, T value) {
    const auto *bytes = reinterpret_cast<const uint8_t *>(&value);
    to.insert(to.end(), bytes, bytes + sizeof value);
  }
  static void string(std::vector<uint8_t> &to, const std::string &text) {
    number(to, uint64_t(text.size()));
    to.insert(to.end(), text.begin(), text.end());
  }

private:
  void begin(const std::string &key, ValueType type) {
    ++entryCount;
    string(entries, key);
    number(entries, uint32_t(type));
  }
  void beginArray(const std::string &key, ValueType type, uint64_t count) {
    begin(key, ValueType::array);
    number(entries, uint32_t(type));
    number(entries, count);
  }
  template <typename T> GGUFBytes &scalar(const std::string &key, ValueType type, T value) {
    begin(key, type);
    number(entries, value);
    return *this;
  }

  uint64_t entryCount = 0, tensorCount = 0;
  std::vector<uint8_t> entries, tensors, data;
};

} // namespace tern::gguf
#endif
