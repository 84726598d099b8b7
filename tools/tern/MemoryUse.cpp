#include "tools/tern/MemoryUse.h"

#include <fstream>
#include <string>

namespace tern::cli {

namespace {

/// Value of a "Name:   123 kB" line in bytes; 0 if there is none.
uint64_t kilobyteLine(const char *path, const std::string &name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line))
    if (line.rfind(name, 0) == 0)
      return std::stoull(line.substr(name.size())) * 1024;
  return 0;
}

} // namespace

uint64_t peakResidentBytes() { return kilobyteLine("/proc/self/status", "VmHWM:"); }

uint64_t privateBytes() {
  // smaps_rollup walks the page tables; the counter in status may lag by some pages per thread.
  if (const uint64_t anonymous = kilobyteLine("/proc/self/smaps_rollup", "Anonymous:"))
    return anonymous;
  return kilobyteLine("/proc/self/status", "RssAnon:");
}

} // namespace tern::cli
