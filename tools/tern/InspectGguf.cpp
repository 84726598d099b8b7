// tern inspect on a GGUF file: version, metadata, tensors by type.
#include "compiler/Import/GGUF/Reader.h"
#include "tools/tern/InputError.h"
#include "tools/tern/Inspect.h"
#include "tools/tern/Report.h"
#include "tools/tern/Stream.h"

#include <map>
#include <memory>

namespace tern::cli {

namespace {

std::string typeName(const gguf::Tensor &tensor) {
  return tensor.type ? tensor.type->name : "unknown type " + std::to_string(tensor.typeNumber);
}

/// Scalars as JSON values; arrays and long strings as the reader's shortened text.
Json valueJson(const gguf::Value &value) {
  if (value.isArray())
    return value.typeName() + ", " + std::to_string(value.count) + " elements";
  if (auto boolean = value.asBool())
    return *boolean;
  if (auto number = value.asUnsigned())
    return *number;
  if (auto number = value.asSigned())
    return *number;
  if (auto number = value.asDouble())
    return *number;
  return value.text();
}

} // namespace

Json describeGguf(const std::string &path) {
  std::string error;
  const std::unique_ptr<gguf::File> file = gguf::File::open(path, error);
  if (!file) {
    // The reader's message begins with the file's name.
    const std::string prefix = path + ": ";
    throw InputError(path, error.rfind(prefix, 0) == 0 ? error.substr(prefix.size()) : error);
  }
  Json result{{"format", "gguf"}, {"version", file->version()}};
  for (const gguf::File::Part &part : file->parts())
    result["parts"].push_back(
        {{"file", part.path}, {"bytes", part.bytes.size()}, {"header_bytes", part.headerBytes}});
  result["metadata"] = Json::object();
  for (const gguf::Entry &entry : file->metadata())
    result["metadata"][std::string(entry.key)] = valueJson(entry.value);

  struct Total {
    uint64_t tensors = 0, elements = 0, bytes = 0;
  };
  std::map<std::string, Total> totals;
  result["tensors"] = Json::array();
  for (const gguf::Tensor &tensor : file->tensors()) {
    result["tensors"].push_back({{"name", std::string(tensor.name)},
                                 {"type", typeName(tensor)},
                                 {"shape", tensor.shape},
                                 {"bytes", tensor.size}});
    Total &total = totals[typeName(tensor)];
    ++total.tensors;
    total.elements += tensor.elements;
    total.bytes += tensor.size;
  }
  result["types"] = Json::object();
  for (const auto &[name, total] : totals)
    result["types"][name] = {
        {"tensors", total.tensors}, {"elements", total.elements}, {"bytes", total.bytes}};
  return result;
}

void printGguf(const Json &gguf) {
  printField("format", "GGUF version " + gguf["version"].dump());
  for (const Json &part : gguf["parts"])
    printField("file",
               part["file"].get<std::string>() + ", " + bytesText(part["bytes"].get<uint64_t>()));
  writeStandardOutput("\nmetadata\n");
  for (const auto &[key, value] : gguf["metadata"].items())
    writeStandardOutput("  " + key + " = " +
                        value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  writeStandardOutput(formatText("\n%zu tensors\n", gguf["tensors"].size()));
  for (const auto &[name, total] : gguf["types"].items())
    writeStandardOutput(formatText("  %-10s%5llu tensors  %s\n", name.c_str(),
                                   total["tensors"].get<unsigned long long>(),
                                   bytesText(total["bytes"].get<uint64_t>()).c_str()));
}

} // namespace tern::cli
