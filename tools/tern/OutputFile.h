// A result file that appears under its name only when it is complete.
#ifndef TERN_TOOLS_TERN_OUTPUTFILE_H
#define TERN_TOOLS_TERN_OUTPUTFILE_H

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace tern::cli {

/// Throws if `output` is an existing file that one of `inputs` names too, by whatever path: it
/// would be replaced.
void requireNoInput(const std::string &output, const std::vector<std::string> &inputs);

/// Whether two names are of one file, which need not exist yet.
bool leadToOneFile(const std::string &one, const std::string &other);

/// Writes to a temporary name in the target's folder. commit() renames it; without commit, and on
/// SIGINT, SIGTERM or SIGHUP, it is removed. Of a symbolic link the file it leads to is replaced or
/// created. A target that exists and is no regular file (a device, a pipe) is written directly, and
/// what is standard output or error already (/dev/stdout) through that stream. Few at a time in a
/// process (maxOutputFiles), because of the signal handlers.
class OutputFile {
public:
  explicit OutputFile(std::string path);
  OutputFile(const OutputFile &) = delete;
  OutputFile &operator=(const OutputFile &) = delete;
  ~OutputFile();

  void write(const void *data, size_t size);
  void commit();

private:
  void createTemporary();
  [[noreturn]] void fail(const std::string &action, int error);
  void abandon();

  std::string path;
  std::string target;      ///< what `path` leads to
  std::string temporary;   ///< empty: the target is written directly
  char *pending = nullptr; ///< where the signal handler finds `temporary`
  std::FILE *file = nullptr;
};

} // namespace tern::cli

#endif
