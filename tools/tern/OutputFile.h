// A result file that appears under its name only when it is complete.
#ifndef TERN_TOOLS_TERN_OUTPUTFILE_H
#define TERN_TOOLS_TERN_OUTPUTFILE_H

#include <cstddef>
#include <cstdio>
#include <string>

namespace tern::cli {

/// Writes to a temporary name in the target's folder. commit() renames it; without commit, and on
/// SIGINT, SIGTERM or SIGHUP, it is removed. A target that exists and is no regular file (a device,
/// a pipe) is written directly. One at a time in a process, because of the signal handlers.
class OutputFile {
public:
  explicit OutputFile(std::string path);
  OutputFile(const OutputFile &) = delete;
  OutputFile &operator=(const OutputFile &) = delete;
  ~OutputFile();

  void write(const void *data, size_t size);
  void commit();

private:
  [[noreturn]] void fail(const std::string &action, int error);
  void abandon();

  std::string path;
  std::string temporary; ///< empty: the target is written directly
  std::FILE *file = nullptr;
};

} // namespace tern::cli

#endif
