// Mapping by POSIX calls.
#include "compiler/Import/GGUF/MappedFile.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace tern::gguf {

MappedFile::MappedFile(MappedFile &&other) noexcept
    : data(std::exchange(other.data, nullptr)), size(std::exchange(other.size, 0)) {}

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(data, other.data);
  std::swap(size, other.size);
  return *this;
}

MappedFile::~MappedFile() {
  if (data)
    munmap(const_cast<uint8_t *>(data), size);
}

void MappedFile::release(uint64_t offset, uint64_t length) const {
  uint64_t page = uint64_t(sysconf(_SC_PAGESIZE));
  uint64_t begin = (offset + page - 1) / page * page, end = (offset + length) / page * page;
  if (begin < end)
    madvise(const_cast<uint8_t *>(data) + begin, end - begin, MADV_DONTNEED);
}

bool MappedFile::open(const std::string &path, std::string &error) {
  auto fail = [&](const char *what) {
    error = path + ": " + what + ": " + strerror(errno);
    return false;
  };
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe would wait
  if (descriptor < 0)
    return fail("cannot open");
  struct stat status;
  if (fstat(descriptor, &status) != 0) {
    fail("cannot read its size");
    close(descriptor);
    return false;
  }
  if (!S_ISREG(status.st_mode)) {
    error = path + ": not a regular file; a model file must be one, so that it can be mapped";
    close(descriptor);
    return false;
  }
  void *mapping = nullptr;
  if (status.st_size > 0)
    mapping = mmap(nullptr, size_t(status.st_size), PROT_READ, MAP_SHARED, descriptor, 0);
  if (mapping == MAP_FAILED) {
    fail("cannot map");
    close(descriptor);
    return false;
  }
  close(descriptor);
  MappedFile opened;
  opened.data = static_cast<const uint8_t *>(mapping);
  opened.size = uint64_t(status.st_size);
  *this = std::move(opened);
  return true;
}

} // namespace tern::gguf
