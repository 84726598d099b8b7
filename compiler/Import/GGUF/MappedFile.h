// A whole file mapped read-only; pages are loaded as they are touched.
#ifndef TERN_COMPILER_IMPORT_GGUF_MAPPEDFILE_H
#define TERN_COMPILER_IMPORT_GGUF_MAPPEDFILE_H

#include <cstdint>
#include <span>
#include <string>

namespace tern::gguf {

class MappedFile {
public:
  MappedFile() = default;
  MappedFile(MappedFile &&other) noexcept;
  MappedFile &operator=(MappedFile &&other) noexcept;
  ~MappedFile();

  /// Maps the regular file `path`. On failure returns false and says why in `error`.
  bool open(const std::string &path, std::string &error);
  std::span<const uint8_t> bytes() const { return {data, size}; }
  /// Gives the pages that lie wholly in the range back to the system; they are read again when
  /// touched.
  void release(uint64_t offset, uint64_t length) const;

private:
  const uint8_t *data = nullptr; ///< null for an empty file
  uint64_t size = 0;
};

} // namespace tern::gguf
#endif
