// Typed access to metadata values.
#include "compiler/Import/GGUF/Reader.h"

#include <bit>
#include <cstdio>
#include <cstring>

namespace tern::gguf {

static_assert(std::endian::native == std::endian::little, "GGUF values are read in place");

namespace {
template <typename T> T load(const uint8_t *at) {
  T value;
  memcpy(&value, at, sizeof value);
  return value;
}
} // namespace

const char *spelling(ValueType type) {
  static constexpr const char *names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                          "bool", "string", "array", "u64", "i64", "f64"};
  return names[unsigned(type)];
}

std::optional<int64_t> Value::signedAt(uint64_t index) const {
  switch (scalarType()) {
  case ValueType::uint8:
    return load<uint8_t>(data + index);
  case ValueType::int8:
    return load<int8_t>(data + index);
  case ValueType::uint16:
    return load<uint16_t>(data + 2 * index);
  case ValueType::int16:
    return load<int16_t>(data + 2 * index);
  case ValueType::uint32:
    return load<uint32_t>(data + 4 * index);
  case ValueType::int32:
    return load<int32_t>(data + 4 * index);
  case ValueType::int64:
    return load<int64_t>(data + 8 * index);
  case ValueType::uint64: {
    uint64_t value = load<uint64_t>(data + 8 * index);
    return value <= uint64_t(INT64_MAX) ? std::optional(int64_t(value)) : std::nullopt;
  }
  default:
    return std::nullopt;
  }
}

std::optional<uint64_t> Value::unsignedAt(uint64_t index) const {
  if (scalarType() == ValueType::uint64)
    return load<uint64_t>(data + 8 * index);
  std::optional<int64_t> value = signedAt(index);
  return value && *value >= 0 ? std::optional(uint64_t(*value)) : std::nullopt;
}

std::optional<double> Value::doubleAt(uint64_t index) const {
  if (scalarType() == ValueType::float32)
    return load<float>(data + 4 * index);
  if (scalarType() == ValueType::float64)
    return load<double>(data + 8 * index);
  std::optional<int64_t> value = signedAt(index);
  return value ? std::optional(double(*value)) : std::nullopt;
}

std::optional<bool> Value::boolAt(uint64_t index) const {
  return scalarType() == ValueType::boolean ? std::optional(data[index] != 0) : std::nullopt;
}

std::optional<std::string_view> Value::asString() const {
  if (type != ValueType::string)
    return std::nullopt;
  return std::string_view(reinterpret_cast<const char *>(data), size);
}

std::optional<std::vector<std::string_view>> Value::asStrings() const {
  if (!isArray() || elementType != ValueType::string)
    return std::nullopt;
  std::vector<std::string_view> strings;
  strings.reserve(count);
  const uint8_t *at = data;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t length = load<uint64_t>(at);
    strings.emplace_back(reinterpret_cast<const char *>(at + 8), length);
    at += 8 + length;
  }
  return strings;
}

std::string Value::typeName() const {
  return isArray() ? std::string("array of ") + spelling(elementType) : spelling(type);
}

std::string Value::text(uint64_t maxLength) const {
  auto number = [this](uint64_t index) -> std::string {
    char buffer[32];
    if (scalarType() == ValueType::boolean)
      return data[index] ? "true" : "false";
    if (auto value = unsignedAt(index))
      return std::to_string(*value);
    if (auto value = signedAt(index))
      return std::to_string(*value);
    snprintf(buffer, sizeof buffer, "%g", doubleAt(index).value_or(0));
    return buffer;
  };
  if (auto string = asString())
    return string->size() <= maxLength ? std::string(*string)
                                       : std::string(string->substr(0, maxLength)) + "...";
  if (!isArray())
    return number(0);
  std::string result = "[";
  // Only the elements that are shown are looked at: an array may have millions.
  const uint8_t *at = data;
  for (uint64_t i = 0; i < count; ++i) {
    if (i)
      result += ", ";
    if (result.size() > maxLength)
      return result + "... " + std::to_string(count) + " elements]";
    if (elementType == ValueType::string) {
      uint64_t length = load<uint64_t>(at);
      result += quotedText({reinterpret_cast<const char *>(at + 8), length});
      at += 8 + length;
    } else {
      result += number(i);
    }
  }
  return result + "]";
}

std::string quotedText(std::string_view text) {
  constexpr size_t longest = 64;
  std::string result = "'";
  for (unsigned char c : text.substr(0, longest)) {
    char buffer[8];
    if (c < 0x20 || c == 0x7f || c == '\\' || c == '\'') {
      snprintf(buffer, sizeof buffer, "\\x%02x", c);
      result += buffer;
    } else {
      result += char(c);
    }
  }
  return result + (text.size() > longest ? "...'" : "'");
}

} // namespace tern::gguf
