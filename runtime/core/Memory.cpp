// The default allocator: malloc below a megabyte, anonymous mappings above, so that large blocks
// are zero without being touched and go back to the system when freed.
#include "runtime/core/Memory.h"

#include <cinttypes>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

using namespace tern;

static constexpr size_t mappingThreshold = size_t(1) << 20;

static void *mapAnonymous(size_t size) {
  // Over-allocate to reach a 2 MB boundary, then give the ends back.
  const size_t slack = size >= hugePageSize ? hugePageSize : 0;
  if (size > SIZE_MAX - slack)
    return nullptr;
  void *raw =
      mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED)
    return nullptr;
  if (!slack)
    return raw;
  const uintptr_t start = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = (start + hugePageSize - 1) & ~uintptr_t(hugePageSize - 1);
  const size_t head = aligned - start;
  if (head)
    munmap(raw, head);
  if (slack > head)
    munmap(reinterpret_cast<void *>(aligned + size), slack - head);
  return reinterpret_cast<void *>(aligned);
}

/// Mapped sizes are whole pages (of the largest page size in use), so that the trims above are too.
static size_t mappedSize(size_t size) {
  constexpr size_t page = size_t(1) << 16;
  return size > SIZE_MAX - page ? size : (size + page - 1) & ~(page - 1);
}

void *Allocator::allocate(size_t size) const {
  if (allocateMemory) {
    void *memory = allocateMemory(context, size, blockAlignment);
    if (memory)
      memset(memory, 0, size);
    return memory;
  }
  if (size >= mappingThreshold)
    return mapAnonymous(mappedSize(size));
  void *memory = nullptr;
  if (posix_memalign(&memory, blockAlignment, size))
    return nullptr;
  return memset(memory, 0, size);
}

void Allocator::deallocate(void *memory, size_t size) const {
  if (!memory)
    return;
  if (deallocateMemory)
    deallocateMemory(context, memory, size);
  else if (size >= mappingThreshold)
    munmap(memory, mappedSize(size));
  else
    free(memory);
}

Status Block::allocate(const Allocator &from, uint64_t size, const char *what) {
  release();
  // Half the address space: pointer differences inside a block stay representable.
  if (size <= uint64_t(PTRDIFF_MAX))
    memory = from.allocate(size ? size_t(size) : 1);
  if (!memory)
    return Status::error(StatusCode::outOfMemory,
                         "cannot allocate %" PRIu64 " bytes for %s; free memory, or ask for fewer "
                         "slots or a shorter context",
                         size, what);
  allocator = from;
  bytes = size_t(size);
  return {};
}

void Block::release() {
  if (memory)
    allocator.deallocate(memory, bytes ? bytes : 1);
  memory = nullptr;
  bytes = 0;
}

void Block::adviseHugePages() {
#ifdef MADV_HUGEPAGE
  if (!allocator.allocateMemory && bytes >= hugePageSize)
    (void)madvise(memory, mappedSize(bytes), MADV_HUGEPAGE);
#endif
}
