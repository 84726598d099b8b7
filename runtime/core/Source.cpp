// Opening, mapping and reading artifact bytes with POSIX calls.
#include "runtime/core/Source.h"

#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace tern;
using namespace tern::runtime;

/// One system call reads at most this much.
static constexpr size_t readLimit = size_t(1) << 30;

/// A path in an error message: its end says most, and the message has little room.
static const char *pathTail(const char *path) {
  constexpr size_t shown = 120;
  const size_t size = strlen(path);
  return size > shown ? path + size - shown : path;
}

Source::~Source() {
  closeDescriptor();
  if (state.mapping)
    munmap(state.mapping, state.mappingSize);
}

void Source::closeDescriptor() {
  if (state.ownsDescriptor)
    close(state.descriptor);
  state.descriptor = -1;
  state.ownsDescriptor = false;
  state.callback = nullptr;
}

Status Source::keepDescriptor() {
  if (state.descriptor < 0 || state.ownsDescriptor)
    return {};
  const int copy = fcntl(state.descriptor, F_DUPFD_CLOEXEC, 0);
  if (copy < 0)
    return Status::error(StatusCode::ioError, "descriptor %d: cannot duplicate it: %s",
                         state.descriptor, strerror(errno));
  state.descriptor = copy;
  state.ownsDescriptor = true;
  return {};
}

Status Source::openFile(const char *path, Source &result) {
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0)
    return Status::error(StatusCode::ioError, "%s: cannot open: %s", pathTail(path),
                         strerror(errno));
  struct stat info;
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor);
    return Status::error(StatusCode::ioError, "%s: not a regular file; pass a .tern file",
                         pathTail(path));
  }
  Status status = openDescriptor(descriptor, 0, uint64_t(info.st_size), result);
  if (!status.isOk()) {
    close(descriptor);
    return status;
  }
  result.state.ownsDescriptor = true;
  return {};
}

Status Source::openDescriptor(int descriptor, uint64_t offset, uint64_t length, Source &result) {
  struct stat info;
  if (fstat(descriptor, &info) != 0)
    return Status::error(StatusCode::ioError, "descriptor %d: %s", descriptor, strerror(errno));
  // A mapping past the end of the file would turn an access into a signal.
  if (info.st_size < 0 || offset > uint64_t(info.st_size) ||
      length > uint64_t(info.st_size) - offset)
    return Status::error(StatusCode::invalidArgument,
                         "bytes [%" PRIu64 ", +%" PRIu64 ") do not lie within the file's %" PRIu64
                         " bytes",
                         offset, length, uint64_t(info.st_size));
  Source source;
  State &state = source.state;
  state.length = length;
  state.descriptor = descriptor;
  state.descriptorOffset = offset;
  const uint64_t pageOffset = offset % uint64_t(sysconf(_SC_PAGESIZE));
  if (length && length <= PTRDIFF_MAX - pageOffset && pageOffset % blockAlignment == 0) {
    void *address = mmap(nullptr, length + pageOffset, PROT_READ, MAP_PRIVATE, descriptor,
                         off_t(offset - pageOffset));
    // Without a mapping (a file system that has none) the bytes are still readable.
    if (address != MAP_FAILED) {
      state.mapping = address;
      state.mappingSize = length + pageOffset;
      state.bytes = static_cast<const uint8_t *>(address) + pageOffset;
    }
  }
  result = std::move(source);
  return {};
}

void Source::adviseHugePages() const {
#ifdef MADV_HUGEPAGE
  // Linux then reads a file 2 MB at a time into pages of that size; those it has stay as they are.
  if (state.mapping)
    (void)madvise(state.mapping, state.mappingSize, MADV_HUGEPAGE);
#endif
}

Source Source::fromMemory(const void *data, uint64_t size) {
  Source source;
  State &state = source.state;
  state.length = size;
  state.unaligned = static_cast<const uint8_t *>(data);
  if (reinterpret_cast<uintptr_t>(data) % blockAlignment == 0)
    state.bytes = state.unaligned;
  return source;
}

Source Source::fromCallback(ReadCallback read, void *context, uint64_t length) {
  Source source;
  State &state = source.state;
  state.length = length;
  state.callback = read;
  state.callbackContext = context;
  return source;
}

Status Source::read(uint64_t offset, void *destination, uint64_t count) const {
  if (offset > state.length || count > state.length - offset)
    return Status::error(StatusCode::invalidArtifact,
                         "bytes [%" PRIu64 ", +%" PRIu64 ") lie beyond the %" PRIu64 " bytes there",
                         offset, count, state.length);
  uint8_t *out = static_cast<uint8_t *>(destination);
  if (state.descriptor >= 0) {
    while (count) {
      const ssize_t got =
          pread(state.descriptor, out, count < readLimit ? size_t(count) : readLimit,
                off_t(state.descriptorOffset + offset));
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        return Status::error(StatusCode::ioError,
                             "reading %" PRIu64 " bytes at offset %" PRIu64 ": %s", count, offset,
                             got < 0 ? strerror(errno) : "the file became shorter");
      out += got;
      offset += uint64_t(got);
      count -= uint64_t(got);
    }
    return {};
  }
  if (state.callback) {
    if (int code = state.callback(state.callbackContext, offset, size_t(count), out))
      return Status::error(StatusCode::ioError,
                           "the read callback returned %d for %" PRIu64 " bytes at offset %" PRIu64,
                           code, count, offset);
    return {};
  }
  memcpy(out, (state.unaligned ? state.unaligned : state.bytes) + offset, count);
  return {};
}
