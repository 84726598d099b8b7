// Any bytes as a GGUF file: parsing fails with a message, or everything it gives can be read.
#include "compiler/Import/GGUF/Reader.h"
#include <cstdlib>

using namespace tern::gguf;

static uint64_t readEverything(const File &file) {
  uint64_t sum = 0;
  for (const Entry &entry : file.metadata()) {
    const Value &value = entry.value;
    sum += entry.key.size() + value.text().size() + value.typeName().size();
    sum += value.asUnsigned().value_or(0) + uint64_t(value.asSigned().value_or(0));
    sum += value.asBool().value_or(false) + value.asString().value_or("").size();
    sum += value.asDouble().has_value();
    if (auto strings = value.asStrings())
      for (std::string_view text : *strings)
        sum += text.empty() ? 0 : uint8_t(text.back());
    for (uint64_t i = 0; value.isArray() && i < value.count; ++i)
      sum += value.unsignedAt(i).value_or(0) + value.doubleAt(i).has_value();
    if (file.find(entry.key) != &entry.value)
      abort();
  }
  for (const Tensor &tensor : file.tensors()) {
    for (uint8_t byte : file.bytesOf(tensor))
      sum += byte;
    if (file.findTensor(tensor.name) != &tensor)
      abort();
  }
  return sum;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string error;
  std::unique_ptr<File> file = File::parse({data, size}, "input", error);
  if (!file == error.empty())
    abort();
  if (file) {
    volatile uint64_t sum = readEverything(*file);
    (void)sum;
  }
  return 0;
}
