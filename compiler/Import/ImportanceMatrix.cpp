// Both forms hold sums of squares and how many rows were summed. Formats: tools/imatrix of
// llama.cpp.
#include "compiler/Import/ImportanceMatrix.h"

#include "compiler/Import/GGUF/Reader.h"
#include "llvm/Support/Endian.h"
#include <cmath>
#include <cstring>

using namespace llvm;

namespace tern {

namespace {

constexpr uint32_t f32Type = 0;

// Takes values off the front of a file's bytes.
class ByteReader {
public:
  explicit ByteReader(ArrayRef<uint8_t> bytes) : bytes(bytes) {}

  /// A count of at least 0 of things of `unit` bytes that lie in the file.
  std::optional<uint32_t> count(size_t unit) {
    std::optional<int32_t> value = integer();
    if (!value || *value < 0 || uint64_t(*value) * unit > bytes.size())
      return std::nullopt;
    return uint32_t(*value);
  }
  std::optional<int32_t> integer() {
    if (bytes.size() < 4)
      return std::nullopt;
    int32_t value = int32_t(support::endian::read32le(bytes.data()));
    bytes = bytes.drop_front(4);
    return value;
  }
  /// `length` has come from count().
  StringRef text(uint32_t length) {
    StringRef result(reinterpret_cast<const char *>(bytes.data()), length);
    bytes = bytes.drop_front(length);
    return result;
  }
  std::vector<float> floats(uint32_t length) {
    std::vector<float> result(length);
    memcpy(result.data(), bytes.data(), size_t(length) * 4);
    bytes = bytes.drop_front(size_t(length) * 4);
    return result;
  }

private:
  ArrayRef<uint8_t> bytes;
};

std::vector<float> floatsOf(const gguf::File &file, const gguf::Tensor &tensor) {
  std::vector<float> values(tensor.elements);
  memcpy(values.data(), file.bytesOf(tensor).data(), values.size() * sizeof(float));
  return values;
}

} // namespace

Expected<ImportanceMatrix> ImportanceMatrix::open(StringRef path) {
  gguf::MappedFile file;
  std::string message;
  if (!file.open(path.str(), message))
    return createStringError(message);
  return parse(ArrayRef<uint8_t>(file.bytes().data(), file.bytes().size()), path);
}

Expected<ImportanceMatrix> ImportanceMatrix::parse(ArrayRef<uint8_t> bytes, StringRef name) {
  ImportanceMatrix result(name);
  bool isGGUF = bytes.size() >= 4 && memcmp(bytes.data(), "GGUF", 4) == 0;
  if (Error error = isGGUF ? result.readGGUF(bytes) : result.readBinary(bytes))
    return error;
  if (result.entries.empty())
    return createStringError(name + ": an importance matrix without entries");
  return result;
}

Error ImportanceMatrix::readGGUF(ArrayRef<uint8_t> bytes) {
  std::string message;
  std::unique_ptr<gguf::File> file = gguf::File::parse({bytes.data(), bytes.size()}, path, message);
  if (!file)
    return createStringError(message);
  const gguf::Value *type = file->find("general.type");
  if (!type || type->asString() != "imatrix")
    return createStringError(path + ": metadata key 'general.type' is " +
                             (type ? type->text() : "missing") +
                             ", expected 'imatrix': not an importance matrix");
  for (const gguf::Tensor &sums : file->tensors()) {
    StringRef name(sums.name.data(), sums.name.size());
    if (!name.consume_back(".in_sum2"))
      continue;
    const gguf::Tensor *counts = file->findTensor((name + ".counts").str());
    auto fail = [&](const Twine &what) {
      return createStringError(path + ": entry " + gguf::quotedText(sums.name) + " " + what);
    };
    if (!counts)
      return fail("has no .counts");
    if (sums.typeNumber != f32Type || counts->typeNumber != f32Type)
      return fail("is not stored as f32");
    if (counts->elements == 0 || sums.elements % counts->elements != 0)
      return fail("has " + Twine(sums.elements) + " sums for " + Twine(counts->elements) +
                  " counts");
    std::vector<float> means = floatsOf(*file, sums), rows = floatsOf(*file, *counts);
    size_t columns = means.size() / rows.size();
    for (size_t i = 0; i < means.size(); ++i) // a matrix that saw no row says nothing
      means[i] = rows[i / columns] > 0 ? means[i] / rows[i / columns] : 1;
    if (Error error = add(name, std::move(means)))
      return error;
  }
  return Error::success();
}

Error ImportanceMatrix::readBinary(ArrayRef<uint8_t> bytes) {
  ByteReader reader(bytes);
  auto damaged = [&] {
    return createStringError(path + ": not an importance matrix, or a damaged one");
  };
  std::optional<uint32_t> count = reader.count(1);
  if (!count)
    return damaged();
  for (uint32_t i = 0; i < *count; ++i) {
    std::optional<uint32_t> length = reader.count(1);
    if (!length || *length == 0)
      return damaged();
    StringRef name = reader.text(*length);
    std::optional<int32_t> calls = reader.integer();
    std::optional<uint32_t> columns = reader.count(sizeof(float));
    if (!calls || *calls < 0 || !columns || *columns == 0)
      return damaged();
    std::vector<float> means = reader.floats(*columns);
    for (float &mean : means)
      mean = *calls > 0 ? mean / float(*calls) : mean;
    if (Error error = add(name, std::move(means)))
      return error;
  }
  return Error::success();
}

Error ImportanceMatrix::add(StringRef name, std::vector<float> means) {
  for (float mean : means)
    if (!std::isfinite(mean) || mean < 0)
      return createStringError(path + ": entry " + gguf::quotedText({name.data(), name.size()}) +
                               " has values that are negative or not finite");
  if (!entries.try_emplace(name, std::move(means)).second)
    return createStringError(path + ": entry " + gguf::quotedText({name.data(), name.size()}) +
                             " is there twice");
  return Error::success();
}

ArrayRef<float> ImportanceMatrix::find(StringRef weight) const {
  if (auto entry = entries.find(weight); entry != entries.end())
    return entry->second;
  for (auto [part, whole] : {std::pair("attn_q.", "attn_qkv."),
                             {"attn_k.", "attn_qkv."},
                             {"attn_v.", "attn_qkv."},
                             {"ffn_gate.", "ffn_up."}})
    if (size_t at = weight.find(part); at != StringRef::npos) {
      std::string joined =
          (weight.take_front(at) + whole + weight.drop_front(at + strlen(part))).str();
      if (auto entry = entries.find(joined); entry != entries.end())
        return entry->second;
    }
  return {};
}

} // namespace tern
