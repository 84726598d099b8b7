// Reads GGUF headers, versions 2 and 3, of one file or of all parts of a split model.
//
// Nothing in a file is trusted: counts are held against the bytes that remain, sizes are computed
// without overflow, every tensor lies inside its file and overlaps no other. Values and names stay
// in the mapped file and are views into it, valid as long as the File. No LLVM here: `tern inspect`
// uses this too. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#ifndef TERN_COMPILER_IMPORT_GGUF_READER_H
#define TERN_COMPILER_IMPORT_GGUF_READER_H

#include "compiler/Encoding/GGUFTypes.h"
#include "compiler/Import/GGUF/MappedFile.h"
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tern::gguf {

/// Numbers as in the file.
enum class ValueType : uint32_t {
  uint8,
  int8,
  uint16,
  int16,
  uint32,
  int32,
  float32,
  boolean,
  string,
  array,
  uint64,
  int64,
  float64
};
const char *spelling(ValueType type);

/// A metadata value. The getters return nothing when the type does not fit; integers of every width
/// and sign are accepted where the value fits, and 32-bit floats as doubles.
class Value {
public:
  ValueType type = ValueType::uint8;
  ValueType elementType = ValueType::uint8; ///< of an array
  uint64_t count = 1;                       ///< elements of an array
  const uint8_t *data = nullptr;            ///< first element, or the string's bytes
  uint64_t size = 0;                        ///< bytes at data

  bool isArray() const { return type == ValueType::array; }
  std::optional<uint64_t> asUnsigned() const { return isArray() ? std::nullopt : unsignedAt(0); }
  std::optional<int64_t> asSigned() const { return isArray() ? std::nullopt : signedAt(0); }
  std::optional<double> asDouble() const { return isArray() ? std::nullopt : doubleAt(0); }
  std::optional<bool> asBool() const { return isArray() ? std::nullopt : boolAt(0); }
  std::optional<std::string_view> asString() const;

  /// Elements of an array (or, at 0, a scalar). `index` < count.
  std::optional<uint64_t> unsignedAt(uint64_t index) const;
  std::optional<int64_t> signedAt(uint64_t index) const;
  std::optional<double> doubleAt(uint64_t index) const;
  std::optional<bool> boolAt(uint64_t index) const;
  /// All strings of an array of strings.
  std::optional<std::vector<std::string_view>> asStrings() const;
  /// "u32", "array of string": for messages.
  std::string typeName() const;
  /// The value as text for people; long arrays and strings are cut.
  std::string text(uint64_t maxLength = 80) const;

private:
  ValueType scalarType() const { return isArray() ? elementType : type; }
};

struct Entry {
  std::string_view key;
  Value value;
};

struct Tensor {
  std::string_view name;
  std::vector<uint64_t> shape; ///< row-major: the last dimension is contiguous
  uint32_t typeNumber = 0;
  const TensorType *type = nullptr; ///< null: a type the reader does not know; size is then 0
  uint32_t part = 0;
  uint64_t offset = 0; ///< in the part's file
  uint64_t size = 0;   ///< bytes
  uint64_t elements = 0;
};

class File {
public:
  struct Part {
    std::string path;
    std::span<const uint8_t> bytes;
    uint64_t headerBytes = 0; ///< magic, metadata and tensor table
    uint64_t dataOffset = 0;
  };

  /// Opens `path` and, if it is a part of a split model, all its parts. Null on failure, with one
  /// line in `error` that begins with the file's name.
  static std::unique_ptr<File> open(const std::string &path, std::string &error);
  /// Reads one file from memory, which must outlive the result.
  static std::unique_ptr<File> parse(std::span<const uint8_t> bytes, const std::string &name,
                                     std::string &error);

  uint32_t version() const { return formatVersion; }
  const std::vector<Part> &parts() const { return fileParts; }
  /// Metadata of the first part.
  const std::vector<Entry> &metadata() const { return entries; }
  /// Tensors of all parts, in file order.
  const std::vector<Tensor> &tensors() const { return tensorTable; }
  const Value *find(std::string_view key) const;
  const Tensor *findTensor(std::string_view name) const;
  std::span<const uint8_t> bytesOf(const Tensor &tensor) const {
    return fileParts[tensor.part].bytes.subspan(tensor.offset, tensor.size);
  }
  /// The pages of `length` bytes from `begin` of the tensor are not needed for now. Does nothing
  /// for a file in memory.
  void release(const Tensor &tensor, uint64_t begin, uint64_t length) const {
    if (tensor.part < mappings.size())
      mappings[tensor.part].release(tensor.offset + begin, length);
  }

private:
  bool addPart(std::span<const uint8_t> bytes, const std::string &path, std::string &error);
  bool openParts(const std::string &path, std::string &error);

  std::vector<MappedFile> mappings;
  std::vector<Part> fileParts;
  std::vector<Entry> entries;
  std::vector<Tensor> tensorTable;
  std::unordered_map<std::string_view, size_t> entryIndex, tensorIndex;
  uint32_t formatVersion = 0;
};

/// Text from a file made fit for a message: quoted, unprintable bytes escaped, cut at 64 bytes.
std::string quotedText(std::string_view text);

} // namespace tern::gguf
#endif
