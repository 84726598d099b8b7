#include "tools/tern/NpyFile.h"

#include "tools/tern/Report.h"

#include <bit>

namespace tern::cli {

static_assert(std::endian::native == std::endian::little, "the header below says '<f4'");

std::string npyHeader(size_t rows, size_t columns) {
  constexpr size_t prefixSize = 10, alignment = 64;
  std::string dictionary =
      formatText("{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, columns);
  const size_t unpadded = prefixSize + dictionary.size() + 1;
  dictionary.append((alignment - unpadded % alignment) % alignment, ' ');
  dictionary += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += char(dictionary.size() & 0xff);
  header += char(dictionary.size() >> 8);
  return header + dictionary;
}

} // namespace tern::cli
