// The GGUF header parser and the joining of split files.
#include "compiler/Import/GGUF/Reader.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

namespace tern::gguf {

namespace {

constexpr uint64_t defaultAlignment = 32;
constexpr uint64_t largestAlignment = uint64_t(1) << 30;
constexpr uint32_t largestRank = 4; // GGML_MAX_DIMS
constexpr uint64_t largestKey = 65535;
constexpr uint64_t largestSplit = 65535;
// The fewest bytes one record can take: what bounds a count by the bytes that remain.
constexpr uint64_t smallestEntry = 8 + 1 + 4 + 1;      // key length, key, type, value
constexpr uint64_t smallestTensor = 8 + 1 + 4 + 4 + 8; // name length, name, rank, type, offset

uint64_t sizeOf(ValueType type) {
  switch (type) {
  case ValueType::uint8:
  case ValueType::int8:
  case ValueType::boolean:
    return 1;
  case ValueType::uint16:
  case ValueType::int16:
    return 2;
  case ValueType::uint32:
  case ValueType::int32:
  case ValueType::float32:
    return 4;
  case ValueType::uint64:
  case ValueType::int64:
  case ValueType::float64:
  case ValueType::string: // their lengths; the bytes follow
  case ValueType::array:
    return 8;
  }
  return 0;
}

// Reads forward through a header. The first failure is kept; later reads return zeros.
class Cursor {
public:
  Cursor(std::span<const uint8_t> bytes, const std::string &name) : bytes(bytes), name(name) {}

  bool failed() const { return !message.empty(); }
  const std::string &error() const { return message; }
  uint64_t offset() const { return at; }
  uint64_t remaining() const { return bytes.size() - at; }

  bool fail(const std::string &what) {
    if (message.empty())
      message = name + ": " + what;
    return false;
  }

  template <typename T> T number(const char *what) {
    T value = 0;
    if (const uint8_t *data = take(sizeof value, what))
      memcpy(&value, data, sizeof value);
    return value;
  }

  std::string_view string(const char *what) {
    uint64_t length = number<uint64_t>(what);
    const uint8_t *data = failed() ? nullptr : take(length, what);
    return data ? std::string_view(reinterpret_cast<const char *>(data), length)
                : std::string_view();
  }

  const uint8_t *take(uint64_t count, const char *what) {
    if (failed())
      return nullptr;
    if (count > remaining()) {
      fail("truncated or damaged: " + std::string(what) + " at offset " + std::to_string(at) +
           " needs " + std::to_string(count) + " bytes, the file has " +
           std::to_string(remaining()) + " left");
      return nullptr;
    }
    const uint8_t *data = bytes.data() + at;
    at += count;
    return data;
  }

private:
  std::span<const uint8_t> bytes;
  const std::string &name;
  uint64_t at = 0;
  std::string message;
};

bool readValueType(Cursor &cursor, std::string_view key, ValueType &type) {
  uint64_t offset = cursor.offset();
  uint32_t number = cursor.number<uint32_t>("a value's type");
  if (!cursor.failed() && number > uint32_t(ValueType::float64))
    cursor.fail("metadata key " + quotedText(key) + ": unknown value type " +
                std::to_string(number) + " at offset " + std::to_string(offset) +
                ", expected 0 to 12");
  type = ValueType(number);
  return !cursor.failed();
}

bool readArray(Cursor &cursor, std::string_view key, Value &value) {
  if (!readValueType(cursor, key, value.elementType))
    return false;
  if (value.elementType == ValueType::array)
    return cursor.fail("metadata key " + quotedText(key) +
                       ": an array of arrays; only flat arrays are supported");
  value.count = cursor.number<uint64_t>("an array's length");
  uint64_t elementSize = sizeOf(value.elementType);
  if (!cursor.failed() && value.count > cursor.remaining() / elementSize)
    return cursor.fail("metadata key " + quotedText(key) + ": an array of " +
                       std::to_string(value.count) + " elements does not fit in the " +
                       std::to_string(cursor.remaining()) + " bytes that are left");
  if (cursor.failed())
    return false;
  value.data = cursor.take(0, "an array");
  uint64_t begin = cursor.offset();
  if (value.elementType != ValueType::string)
    cursor.take(value.count * elementSize, "an array");
  else
    for (uint64_t i = 0; i < value.count && !cursor.failed(); ++i)
      cursor.string("a string of an array");
  value.size = cursor.offset() - begin;
  return !cursor.failed();
}

bool readEntry(Cursor &cursor, Entry &entry) {
  uint64_t offset = cursor.offset();
  entry.key = cursor.string("a metadata key");
  if (cursor.failed())
    return false;
  if (entry.key.empty() || entry.key.size() > largestKey)
    return cursor.fail("metadata key at offset " + std::to_string(offset) + " has " +
                       std::to_string(entry.key.size()) + " bytes, expected 1 to " +
                       std::to_string(largestKey));
  Value &value = entry.value;
  if (!readValueType(cursor, entry.key, value.type))
    return false;
  if (value.isArray())
    return readArray(cursor, entry.key, value);
  if (value.type == ValueType::string) {
    std::string_view text = cursor.string("a string value");
    value.data = reinterpret_cast<const uint8_t *>(text.data());
    value.size = text.size();
  } else {
    value.size = sizeOf(value.type);
    value.data = cursor.take(value.size, "a value");
  }
  return !cursor.failed();
}

// Elements and bytes of a tensor; false with a message on overflow or a partial block.
bool measure(Cursor &cursor, Tensor &tensor) {
  std::string who = "tensor " + quotedText(tensor.name);
  tensor.elements = 1;
  for (uint64_t dimension : tensor.shape) {
    if (dimension == 0)
      return cursor.fail(who + " has a dimension of 0");
    // Elements stay below 2^63, so that every later product of two dimensions is safe in 64 bits.
    if (__builtin_mul_overflow(tensor.elements, dimension, &tensor.elements) ||
        tensor.elements > uint64_t(INT64_MAX))
      return cursor.fail(who + ": the product of its dimensions overflows");
  }
  tensor.type = findTensorType(tensor.typeNumber);
  if (!tensor.type)
    return true;
  uint64_t rowElements = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (rowElements % tensor.type->blockElements != 0)
    return cursor.fail(who + ": rows of " + std::to_string(rowElements) +
                       " elements are no multiple of the " +
                       std::to_string(tensor.type->blockElements) + " elements of a " +
                       tensor.type->name + " block");
  if (__builtin_mul_overflow(tensor.elements / tensor.type->blockElements,
                             uint64_t(tensor.type->blockBytes), &tensor.size) ||
      __builtin_add_overflow(tensor.size, uint64_t(tensor.type->tailBytes), &tensor.size))
    return cursor.fail(who + ": its size in bytes overflows");
  return true;
}

// Leaves Tensor::offset relative to the data section.
bool readTensor(Cursor &cursor, Tensor &tensor) {
  uint64_t offset = cursor.offset();
  tensor.name = cursor.string("a tensor's name");
  uint32_t rank = cursor.number<uint32_t>("a tensor's rank");
  if (cursor.failed())
    return false;
  if (tensor.name.empty())
    return cursor.fail("the tensor at offset " + std::to_string(offset) + " has no name");
  if (rank > largestRank)
    return cursor.fail("tensor " + quotedText(tensor.name) + " has rank " + std::to_string(rank) +
                       ", expected at most " + std::to_string(largestRank));
  tensor.shape.resize(rank);
  for (uint32_t i = 0; i < rank; ++i) // the file lists the contiguous dimension first
    tensor.shape[rank - 1 - i] = cursor.number<uint64_t>("a tensor's dimension");
  tensor.typeNumber = cursor.number<uint32_t>("a tensor's type");
  tensor.offset = cursor.number<uint64_t>("a tensor's offset");
  return !cursor.failed() && measure(cursor, tensor);
}

struct Header {
  uint64_t tensors = 0, entries = 0;
  uint32_t version = 0;
};

bool readPreamble(Cursor &cursor, Header &header) {
  if (cursor.remaining() < 4)
    return cursor.fail("not a GGUF file: " + std::to_string(cursor.remaining()) +
                       " bytes, expected the magic 'GGUF'");
  const uint8_t *magic = cursor.take(4, "the magic");
  if (memcmp(magic, "GGUF", 4) != 0)
    return cursor.fail("not a GGUF file: it begins with " +
                       quotedText({reinterpret_cast<const char *>(magic), 4}) +
                       ", expected 'GGUF'");
  header.version = cursor.number<uint32_t>("the version");
  if (cursor.failed())
    return false;
  if (header.version != 2 && header.version != 3) {
    bool bigEndian = header.version == 0x02000000 || header.version == 0x03000000;
    return cursor.fail(
        bigEndian ? std::string("a big-endian GGUF file; convert it to little-endian")
                  : "GGUF version " + std::to_string(header.version) + ", expected 2 or 3");
  }
  header.tensors = cursor.number<uint64_t>("the number of tensors");
  header.entries = cursor.number<uint64_t>("the number of metadata keys");
  auto checkCount = [&](uint64_t count, uint64_t smallest, const char *what) {
    if (!cursor.failed() && count > cursor.remaining() / smallest)
      cursor.fail(std::to_string(count) + " " + what + " do not fit in a file with " +
                  std::to_string(cursor.remaining()) + " bytes left");
  };
  checkCount(header.entries, smallestEntry, "metadata keys");
  checkCount(header.tensors, smallestTensor, "tensors");
  return !cursor.failed();
}

bool readAlignment(Cursor &cursor, const std::vector<Entry> &entries, uint64_t &alignment) {
  alignment = defaultAlignment;
  for (const Entry &entry : entries) {
    if (entry.key != "general.alignment")
      continue;
    std::optional<uint64_t> value = entry.value.asUnsigned();
    if (!value || !std::has_single_bit(*value) || *value > largestAlignment)
      return cursor.fail("general.alignment is " + entry.value.text() + " (" +
                         entry.value.typeName() + "), expected a power of two up to 2^30");
    alignment = *value;
  }
  return true;
}

// Turns offsets into file offsets; every tensor must be aligned, inside the file, and apart from
// the rest.
bool placeTensors(Cursor &cursor, std::span<Tensor> tensors, uint64_t dataOffset, uint64_t fileSize,
                  uint64_t alignment) {
  uint64_t dataBytes = fileSize > dataOffset ? fileSize - dataOffset : 0;
  std::vector<const Tensor *> order;
  for (Tensor &tensor : tensors) {
    std::string who = "tensor " + quotedText(tensor.name);
    if (tensor.offset % alignment != 0)
      return cursor.fail(who + ": offset " + std::to_string(tensor.offset) +
                         " is no multiple of the alignment " + std::to_string(alignment));
    if (tensor.offset > dataBytes || tensor.size > dataBytes - tensor.offset)
      return cursor.fail(who + ": " + std::to_string(tensor.size) + " bytes at offset " +
                         std::to_string(tensor.offset) + " end past the file's " +
                         std::to_string(dataBytes) +
                         " bytes of data; the file is truncated or damaged");
    tensor.offset += dataOffset;
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(),
            [](const Tensor *a, const Tensor *b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i]->offset < order[i - 1]->offset + std::max<uint64_t>(order[i - 1]->size, 1))
      return cursor.fail("tensors " + quotedText(order[i - 1]->name) + " and " +
                         quotedText(order[i]->name) + " overlap at offset " +
                         std::to_string(order[i]->offset));
  return true;
}

uint64_t roundUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

const Value *findEntry(const std::vector<Entry> &entries, std::string_view key) {
  for (const Entry &entry : entries)
    if (entry.key == key)
      return &entry.value;
  return nullptr;
}

// "PREFIX-00002-of-00003.gguf": the prefix and the two numbers.
struct SplitName {
  std::string prefix;
  uint64_t number = 0, count = 0;

  static std::optional<SplitName> parse(const std::string &path) {
    constexpr size_t tail = sizeof("-00001-of-00003.gguf") - 1;
    if (path.size() < tail)
      return std::nullopt;
    SplitName result;
    result.prefix = path.substr(0, path.size() - tail);
    unsigned number = 0, count = 0;
    int consumed = 0;
    const char *rest = path.c_str() + result.prefix.size();
    // Five digits at most fit. NOLINTNEXTLINE(bugprone-unchecked-string-to-number-conversion)
    if (sscanf(rest, "-%5u-of-%5u.gguf%n", &number, &count, &consumed) != 2 ||
        consumed != int(tail) || number < 1 || number > count)
      return std::nullopt;
    result.number = number;
    result.count = count;
    return result;
  }

  std::string path(uint64_t part) const {
    char buffer[32];
    snprintf(buffer, sizeof buffer, "-%05u-of-%05u.gguf", unsigned(part), unsigned(count));
    return prefix + buffer;
  }
};

} // namespace

const Value *File::find(std::string_view key) const {
  auto found = entryIndex.find(key);
  return found == entryIndex.end() ? nullptr : &entries[found->second].value;
}

const Tensor *File::findTensor(std::string_view name) const {
  auto found = tensorIndex.find(name);
  return found == tensorIndex.end() ? nullptr : &tensorTable[found->second];
}

bool File::addPart(std::span<const uint8_t> bytes, const std::string &path, std::string &error) {
  Cursor cursor(bytes, path);
  Header header;
  bool first = fileParts.empty();
  auto read = [&] {
    if (!readPreamble(cursor, header))
      return false;
    std::vector<Entry> partEntries;
    std::unordered_map<std::string_view, size_t> partIndex;
    for (uint64_t i = 0; i < header.entries; ++i) {
      Entry entry;
      if (!readEntry(cursor, entry))
        return false;
      if (!partIndex.emplace(entry.key, i).second)
        return cursor.fail("metadata key " + quotedText(entry.key) + " appears twice");
      partEntries.push_back(entry);
    }
    uint64_t alignment;
    if (!readAlignment(cursor, partEntries, alignment))
      return false;
    size_t begin = tensorTable.size();
    for (uint64_t i = 0; i < header.tensors; ++i) {
      Tensor tensor;
      if (!readTensor(cursor, tensor))
        return false;
      tensor.part = uint32_t(fileParts.size());
      if (!tensorIndex.emplace(tensor.name, tensorTable.size()).second)
        return cursor.fail("tensor " + quotedText(tensor.name) + " appears twice");
      tensorTable.push_back(std::move(tensor));
    }
    uint64_t dataOffset = roundUp(cursor.offset(), alignment);
    if (!placeTensors(cursor, std::span(tensorTable).subspan(begin), dataOffset, bytes.size(),
                      alignment))
      return false;
    fileParts.push_back({path, bytes, cursor.offset(), dataOffset});
    if (first) {
      entries = std::move(partEntries);
      entryIndex = std::move(partIndex);
      formatVersion = header.version;
      return true;
    }
    const Value *number = findEntry(partEntries, "split.no"),
                *count = findEntry(partEntries, "split.count");
    if (!number || !count || number->asUnsigned() != fileParts.size() - 1 ||
        count->asUnsigned() != find("split.count")->asUnsigned())
      return cursor.fail("its metadata does not say that it is part " +
                         std::to_string(fileParts.size()) + " of the model that begins with " +
                         fileParts[0].path);
    return true;
  };
  if (read())
    return true;
  error = cursor.error();
  return false;
}

std::unique_ptr<File> File::parse(std::span<const uint8_t> bytes, const std::string &name,
                                  std::string &error) {
  auto file = std::make_unique<File>();
  return file->addPart(bytes, name, error) ? std::move(file) : nullptr;
}

bool File::openParts(const std::string &path, std::string &error) {
  auto add = [&](const std::string &part) {
    return mappings.emplace_back().open(part, error) &&
           addPart(mappings.back().bytes(), part, error);
  };
  std::optional<SplitName> split = SplitName::parse(path);
  // Metadata lies in the first part, whichever was named.
  if (split && split->count > 1 && !add(split->path(1)))
    return false;
  if (fileParts.empty() && !add(path))
    return false;
  const Value *count = find("split.count");
  uint64_t parts = count ? count->asUnsigned().value_or(0) : 1;
  if (parts <= 1 && (!split || split->count == 1 || split->number == 1))
    return true; // one file, whatever it is called
  if (!split || split->count != parts || parts > largestSplit) {
    error = fileParts[0].path + ": says that its model has " + std::to_string(parts) +
            " parts; name a file like MODEL-00001-of-" +
            "0000N.gguf that lies beside its other parts";
    return false;
  }
  for (uint64_t part = 2; part <= parts; ++part)
    if (!add(split->path(part)))
      return false;
  const Value *total = find("split.tensors.count");
  if (total && total->asUnsigned() != tensorTable.size()) {
    error = fileParts[0].path + ": split.tensors.count is " + total->text() + ", but its " +
            std::to_string(parts) + " parts hold " + std::to_string(tensorTable.size()) +
            " tensors";
    return false;
  }
  return true;
}

std::unique_ptr<File> File::open(const std::string &path, std::string &error) {
  auto file = std::make_unique<File>();
  return file->openParts(path, error) ? std::move(file) : nullptr;
}

} // namespace tern::gguf
