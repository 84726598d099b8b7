// Temporary file, checked writes, rename.
#include "compiler/Artifact/OutputFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"
#include <cerrno>
#include <climits>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

using namespace llvm;

namespace tern {

/// Of a symbolic link what it leads to, there or to be created, so that the link stays; other names
/// as they are.
static std::error_code followLinks(StringRef path, SmallVectorImpl<char> &target) {
  constexpr int maxLinks = 40; // as Linux has it
  if (!sys::fs::real_path(path, target))
    return {};
  target.assign(path.begin(), path.end());
  for (int links = 0; links < maxLinks; ++links) {
    const std::string link(target.begin(), target.end());
    if (sys::fs::exists(link) || !sys::fs::is_symlink_file(link)) // there, but without a name
      return {};
    char next[PATH_MAX];
    const ssize_t size = readlink(link.c_str(), next, sizeof next);
    if (size < 0 || size == ssize_t(sizeof next))
      return std::make_error_code(std::errc::filename_too_long);
    target.clear();
    if (next[0] != '/')
      sys::path::append(target, sys::path::parent_path(link));
    sys::path::append(target, StringRef(next, size_t(size)));
  }
  return std::make_error_code(std::errc::too_many_symbolic_link_levels);
}

bool isStandardOutput(StringRef path) {
  struct stat file, stream;
  return stat(path.str().c_str(), &file) == 0 && fstat(STDOUT_FILENO, &stream) == 0 &&
         file.st_dev == stream.st_dev && file.st_ino == stream.st_ino;
}

Expected<std::unique_ptr<OutputFile>> OutputFile::create(StringRef path) {
  std::unique_ptr<OutputFile> file(new OutputFile(path));
  sys::fs::file_status status;
  if (!sys::fs::status(path, status) && status.type() != sys::fs::file_type::regular_file)
    return createStringError(path + ": exists and is not a regular file; name another output");
  if (isStandardOutput(path))
    return createStringError(path + ": standard output goes there too; name another output");
  SmallString<128> target;
  if (std::error_code error = followLinks(path, target))
    return createStringError(path + ": cannot follow the link: " + error.message());
  file->target = target.str().str();
  if (std::error_code error =
          createTemporaryBeside(file->target, file->temporary, file->descriptor))
    return createStringError(path + ": cannot create a file in its directory: " + error.message());
  return std::move(file);
}

/// Not createUniqueFile, which takes every '%' of a path for a random digit.
std::error_code createTemporaryBeside(StringRef path, std::string &name, int &descriptor) {
  for (int attempt = 0;; ++attempt) {
    name = formatv("{0}.{1:x-8}.tmp", path, sys::Process::GetRandomNumber()).str();
    sys::RemoveFileOnSignal(name); // before there is a file that a signal could leave behind
    std::error_code error =
        sys::fs::openFileForReadWrite(name, descriptor, sys::fs::CD_CreateNew, sys::fs::OF_None,
                                      sys::fs::all_read | sys::fs::all_write);
    if (!error)
      return error;
    sys::DontRemoveFileOnSignal(name);
    name.clear();
    if (error != std::errc::file_exists || attempt == 64)
      return error;
  }
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
  if (std::error_code error = sys::fs::rename(temporary, target))
    return createStringError(path + ": cannot rename the finished file: " + error.message());
  committed = true;
  sys::DontRemoveFileOnSignal(temporary);
  return Error::success();
}

Error writeStandardOutput(StringRef text) {
  outs() << text;
  outs().flush();
  if (!outs().has_error())
    return Error::success();
  std::string reason = outs().error().message();
  outs().clear_error();
  return createStringError("standard output: cannot be written: " + reason);
}

} // namespace tern
