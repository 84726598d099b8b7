// Output that is complete or an error: files under their names only when whole, standard output.
#ifndef TERN_COMPILER_ARTIFACT_OUTPUTFILE_H
#define TERN_COMPILER_ARTIFACT_OUTPUTFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>
#include <system_error>

namespace tern {

/// Bytes go to a temporary file beside `path`, or beside what a symbolic link leads to. It
/// is removed by the destructor and by SIGINT, SIGTERM and the like, unless commit() has given it
/// its name.
class OutputFile {
public:
  static llvm::Expected<std::unique_ptr<OutputFile>> create(llvm::StringRef path);
  ~OutputFile();

  /// Writes at a file offset, any offset, from any thread.
  llvm::Error write(uint64_t offset, llvm::ArrayRef<uint8_t> bytes);
  /// Closes and renames.
  llvm::Error commit();

private:
  OutputFile(llvm::StringRef path) : path(path) {}
  llvm::Error fail(const char *what, int number) const;

  std::string path;
  std::string target; ///< what `path` leads to
  std::string temporary;
  int descriptor = -1;
  bool committed = false;
};

/// Creates and opens a file `path`.XXXXXXXX.tmp of random digits that SIGINT, SIGTERM and the like
/// remove. `name` is empty after an error.
std::error_code createTemporaryBeside(llvm::StringRef path, std::string &name, int &descriptor);

/// Whether `path` leads to what standard output is, by whatever name (/dev/stdout).
bool isStandardOutput(llvm::StringRef path);

/// Writes all of `text` to standard output, or says why not.
llvm::Error writeStandardOutput(llvm::StringRef text);

} // namespace tern
#endif
