#include "tools/tern/Stream.h"
#include "tools/tern/InputError.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace tern::cli {

std::string readStandardInput() {
  std::string text;
  char buffer[65536];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, stdin))
    text.append(buffer, count);
  if (std::ferror(stdin))
    throw InputError("standard input", std::strerror(errno));
  return text;
}

void writeStandardOutput(std::string_view bytes, bool flush) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size() ||
      (flush && std::fflush(stdout) != 0))
    throw InputError("standard output", std::strerror(errno));
}

void finishStandardOutput() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    throw InputError("standard output", std::strerror(errno));
}

} // namespace tern::cli
