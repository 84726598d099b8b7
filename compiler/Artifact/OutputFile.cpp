// Temporary file, checked writes, rename.
#include "compiler/Artifact/OutputFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Signals.h"
#include <cerrno>
#include <system_error>
#include <unistd.h>

using namespace llvm;

namespace tern {

Expected<std::unique_ptr<OutputFile>> OutputFile::create(StringRef path) {
  std::unique_ptr<OutputFile> file(new OutputFile(path));
  sys::fs::file_status status;
  if (!sys::fs::status(path, status) && status.type() != sys::fs::file_type::regular_file)
    return createStringError(path + ": exists and is not a regular file; name another output");
  if (std::error_code error =
          sys::fs::createUniqueFile(path + ".%%%%%%%%.tmp", file->descriptor, file->temporary))
    return createStringError(path + ": cannot create a file in its directory: " + error.message());
  sys::RemoveFileOnSignal(file->temporary);
  return std::move(file);
}

OutputFile::~OutputFile() {
  if (descriptor >= 0)
    ::close(descriptor);
  if (!committed && !temporary.empty()) {
    (void)sys::fs::remove(temporary);
    sys::DontRemoveFileOnSignal(temporary);
  }
}

Error OutputFile::fail(const char *what, int number) const {
  return createStringError(path + ": " + what + ": " + std::generic_category().message(number));
}

Error OutputFile::write(uint64_t offset, ArrayRef<uint8_t> bytes) {
  while (!bytes.empty()) {
    ssize_t written = pwrite(descriptor, bytes.data(), bytes.size(), off_t(offset));
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return fail("cannot write", errno);
    offset += uint64_t(written);
    bytes = bytes.drop_front(size_t(written));
  }
  return Error::success();
}

Error OutputFile::commit() {
  int closed = ::close(descriptor);
  descriptor = -1;
  if (closed != 0)
    return fail("cannot write", errno);
  if (std::error_code error = sys::fs::rename(temporary, path))
    return createStringError(path + ": cannot rename the finished file: " + error.message());
  committed = true;
  sys::DontRemoveFileOnSignal(temporary);
  return Error::success();
}

} // namespace tern
