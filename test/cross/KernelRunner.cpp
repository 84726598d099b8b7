// Runs a kernel on a machine that the tests do not run on, under an emulator or there: loads an
// image with the runtime's own loader, then answers requests on standard input until it ends.
//
//   start     u64 size of the image, u64 offset of the entry, the image
//   request   i32[8] integers, i32 tasks, i32 step, u64 scratch bytes, u64 n, u64[n] sizes,
//   contents answer    the contents after all tasks ran, `step` at a time
// In the phases of a split kernel its partial results are the last buffer.
// Numbers are little-endian. Each buffer ends at a page that nobody may touch.
#include "runtime/core/Image.h"
#include "runtime/core/KernelABI.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace {

bool receive(void *data, size_t size) { return fread(data, 1, size, stdin) == size; }

[[noreturn]] void fail(const char *what) {
  fprintf(stderr, "kernel-runner: %s\n", what);
  exit(1);
}

template <typename T> T receive() {
  T value;
  if (!receive(&value, sizeof value))
    fail("the request ended early");
  return value;
}

class GuardedMemory {
public:
  explicit GuardedMemory(size_t size) : size(size) {
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    const size_t payload = (size + 63) / 64 * 64, pages = (payload + page - 1) / page * page;
    mapped = pages + page;
    mapping = static_cast<char *>(
        mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (mapping == MAP_FAILED || mprotect(mapping + pages, page, PROT_NONE) != 0)
      fail("no memory");
    data = mapping + pages - payload;
  }
  GuardedMemory(GuardedMemory &&other) noexcept
      : data(other.data), size(other.size), mapping(other.mapping), mapped(other.mapped) {
    other.mapping = nullptr;
  }
  ~GuardedMemory() {
    if (mapping)
      munmap(mapping, mapped);
  }

  char *data;
  size_t size;

private:
  char *mapping;
  size_t mapped;
};

void answer(TernKernelFunction kernel, const int32_t (&integers)[TERN_INT_COUNT]) {
  const auto tasks = receive<int32_t>(), step = receive<int32_t>();
  const GuardedMemory scratch(receive<uint64_t>());
  std::vector<uint64_t> sizes(receive<uint64_t>());
  if (!receive(sizes.data(), sizes.size() * sizeof(uint64_t)))
    fail("the request ended early");
  std::vector<GuardedMemory> buffers;
  std::vector<void *> pointers;
  for (const uint64_t size : sizes) {
    buffers.emplace_back(size);
    pointers.push_back(buffers.back().data);
    if (!receive(buffers.back().data, size))
      fail("the request ended early");
  }
  void *const partials = integers[TERN_INT_PHASE] && !pointers.empty() ? pointers.back() : nullptr;
  const TernArgs args{pointers.data(), integers, scratch.size ? scratch.data : partials};
  for (int32_t first = 0; first < tasks; first += step)
    kernel(&args, first, first + step < tasks ? first + step : tasks);
  for (const GuardedMemory &buffer : buffers)
    fwrite(buffer.data, 1, buffer.size, stdout);
  if (fflush(stdout) != 0)
    fail("cannot answer");
}

} // namespace

int main() {
  const auto size = receive<uint64_t>(), entry = receive<uint64_t>();
  std::vector<uint64_t> bytes((size + 7) / 8);
  if (!receive(bytes.data(), size))
    fail("the image ended early");
  tern::runtime::Image image;
  const tern::Status status =
      tern::runtime::Image::load(reinterpret_cast<const uint8_t *>(bytes.data()), size, image);
  if (!status.isOk())
    fail(status.message());
  TernKernelFunction kernel;
  const void *address = image.at(entry);
  memcpy(&kernel, &address, sizeof kernel);
  for (int32_t integers[TERN_INT_COUNT]; receive(integers, sizeof integers);)
    answer(kernel, integers);
  return 0;
}
