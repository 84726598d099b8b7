#include "compiler/CodeGen/KernelCache.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Chrono.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <array>

using namespace llvm;

namespace tern {
namespace {

constexpr StringLiteral extension = ".kernel";
constexpr StringLiteral partialExtension = ".partial";
/// A temporary of this age was left by a compiler that was killed.
constexpr std::chrono::hours abandonedAfter(1);
constexpr size_t digestBytes = 32;

std::array<uint8_t, digestBytes> digestOf(StringRef bytes) {
  return SHA256::hash(arrayRefFromStringRef(bytes));
}

// Marks the entry as used now; another compiler may have removed it meanwhile.
void touch(const std::string &path) {
  int fd = -1;
  if (sys::fs::openFileForReadWrite(path, fd, sys::fs::CD_OpenExisting, sys::fs::OF_None))
    return;
  auto now = std::chrono::system_clock::now();
  (void)sys::fs::setLastAccessAndModificationTime(fd, now, now);
  (void)sys::Process::SafelyCloseFileDescriptor(fd);
}

} // namespace

KernelCache::KernelCache(std::string directory, uint64_t limitBytes)
    : directory(std::move(directory)), limitBytes(limitBytes) {}

std::string KernelCache::defaultDirectory() {
  if (std::optional<std::string> chosen = sys::Process::GetEnv("TERN_CACHE_DIR"))
    return *chosen;
  SmallString<128> path;
  if (std::optional<std::string> base = sys::Process::GetEnv("XDG_CACHE_HOME");
      base && !base->empty())
    path = *base;
  else if (sys::path::home_directory(path))
    sys::path::append(path, ".cache");
  else
    return {};
  sys::path::append(path, "tern");
  return std::string(path);
}

std::string KernelCache::pathOf(StringRef key) const {
  SmallString<128> path(directory);
  sys::path::append(path, key + extension);
  return std::string(path);
}

std::optional<std::string> KernelCache::load(StringRef key) const {
  if (!isEnabled())
    return std::nullopt;
  std::string path = pathOf(key);
  ErrorOr<std::unique_ptr<MemoryBuffer>> file = MemoryBuffer::getFile(path, false, false, true);
  if (!file)
    return std::nullopt;
  StringRef bytes = (*file)->getBuffer();
  StringRef payload = bytes.drop_front(std::min(digestBytes, bytes.size()));
  if (bytes.size() < digestBytes ||
      arrayRefFromStringRef(bytes.take_front(digestBytes)) != ArrayRef(digestOf(payload))) {
    (void)sys::fs::remove(path);
    return std::nullopt;
  }
  touch(path);
  return payload.str();
}

Error KernelCache::store(StringRef key, StringRef payload) const {
  if (!isEnabled())
    return Error::success();
  if (std::error_code code = sys::fs::create_directories(directory))
    return createStringError(code, "cannot create the kernel cache " + directory + ": " +
                                       code.message() + "; set TERN_CACHE_DIR to another place");
  std::string path = pathOf(key);
  auto failed = [&](std::error_code code) {
    return createStringError(code, "cannot write the kernel cache entry " + path + ": " +
                                       code.message() + "; set TERN_CACHE_DIR to another place");
  };
  Expected<sys::fs::TempFile> temporary =
      sys::fs::TempFile::create(path + ".%%%%%%%%" + partialExtension);
  if (!temporary)
    return failed(errorToErrorCode(temporary.takeError()));
  auto digest = digestOf(payload);
  raw_fd_ostream stream(temporary->FD, /*shouldClose=*/false);
  stream << toStringRef(digest) << payload;
  stream.flush();
  if (std::error_code code = stream.error()) {
    stream.clear_error();
    consumeError(temporary->discard());
    return failed(code);
  }
  return temporary->keep(path);
}

void KernelCache::trim() const {
  if (!isEnabled())
    return;
  struct Entry {
    std::string path;
    uint64_t size;
    sys::TimePoint<> used;
  };
  std::vector<Entry> entries;
  uint64_t total = 0;
  std::error_code code;
  for (sys::fs::directory_iterator it(directory, code), end; !code && it != end;
       it.increment(code)) {
    ErrorOr<sys::fs::basic_file_status> status = it->status();
    if (!status)
      continue;
    StringRef name = sys::path::filename(it->path());
    if (name.ends_with(partialExtension) && name.contains(extension) &&
        status->getLastModificationTime() + abandonedAfter < std::chrono::system_clock::now())
      (void)sys::fs::remove(it->path());
    if (!name.ends_with(extension))
      continue;
    entries.push_back({it->path(), status->getSize(), status->getLastModificationTime()});
    total += entries.back().size;
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry &a, const Entry &b) { return a.used < b.used; });
  for (const Entry &entry : entries) {
    if (total <= limitBytes)
      break;
    if (!sys::fs::remove(entry.path))
      total -= entry.size;
  }
}

} // namespace tern
