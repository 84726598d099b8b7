// ELF64 little-endian ET_DYN: PT_LOAD segments and RELATIVE relocations, nothing else.
#include "runtime/core/Image.h"

#include "runtime/core/CheckedMath.h"

#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

using namespace tern;
using namespace tern::runtime;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are little endian");

#if defined(__x86_64__)
static constexpr uint16_t hostMachine = EM_X86_64;
#elif defined(__aarch64__)
static constexpr uint16_t hostMachine = EM_AARCH64;
#endif

static constexpr unsigned maxSegments = 16;
/// Kernel images are tens of kilobytes; this only bounds what a hostile file can ask for.
static constexpr uint64_t maxSpan = uint64_t(1) << 28;

namespace {
/// What loading needs to know of a checked image.
struct Layout {
  const Elf64_Phdr *headers = nullptr;
  unsigned headerCount = 0;
  uint64_t span = 0;        ///< bytes of address space from 0
  uint64_t relocations = 0; ///< address of the Elf64_Rela table
  uint64_t relocationCount = 0;
  uint32_t relativeRelocation = 0; ///< the one type allowed
};
} // namespace

static Status damaged(const char *what) {
  return Status::error(StatusCode::invalidArtifact, "kernel image: %s", what);
}

static uint64_t pageSize() { return uint64_t(sysconf(_SC_PAGESIZE)); }

/// The loaded segment that holds [address, address + size), or null.
static const Elf64_Phdr *segmentOf(const Layout &layout, uint64_t address, uint64_t size) {
  for (unsigned i = 0; i < layout.headerCount; ++i) {
    const Elf64_Phdr &h = layout.headers[i];
    if (h.p_type == PT_LOAD && address >= h.p_vaddr && size <= h.p_memsz &&
        address - h.p_vaddr <= h.p_memsz - size)
      return &h;
  }
  return nullptr;
}

static Status checkFileHeader(const uint8_t *data, size_t size, Layout &layout) {
  if (size < sizeof(Elf64_Ehdr))
    return damaged("shorter than an ELF header");
  const Elf64_Ehdr &header = *reinterpret_cast<const Elf64_Ehdr *>(data);
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return damaged("no ELF magic");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_type != ET_DYN || header.e_version != EV_CURRENT)
    return damaged("not a 64-bit little-endian shared object");
  if (header.e_machine != EM_X86_64 && header.e_machine != EM_AARCH64)
    return Status::error(StatusCode::unsupported, "kernel image: ELF machine %u is not known",
                         header.e_machine);
  layout.relativeRelocation =
      header.e_machine == EM_X86_64 ? R_X86_64_RELATIVE : R_AARCH64_RELATIVE;
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
      header.e_phnum > maxSegments)
    return damaged("its program header table has an unexpected shape");
  const CheckedSize end =
      CheckedSize(header.e_phoff) + uint64_t(header.e_phnum) * sizeof(Elf64_Phdr);
  if (header.e_phoff % alignof(Elf64_Phdr) != 0 || !end.isAtMost(size))
    return damaged("its program header table lies outside of it");
  layout.headers = reinterpret_cast<const Elf64_Phdr *>(data + header.e_phoff);
  layout.headerCount = header.e_phnum;
  return {};
}

static Status checkSegments(size_t size, Layout &layout) {
  const uint64_t page = pageSize();
  uint64_t previousEnd = 0; // whole pages: two segments never share one
  bool any = false;
  for (unsigned i = 0; i < layout.headerCount; ++i) {
    const Elf64_Phdr &h = layout.headers[i];
    if (h.p_type == PT_INTERP || h.p_type == PT_TLS)
      return damaged("has an interpreter or thread-local storage");
    if (h.p_type != PT_LOAD)
      continue;
    if ((h.p_flags & PF_W) && (h.p_flags & PF_X))
      return damaged("has a segment that is writable and executable");
    if (h.p_filesz > h.p_memsz || !(CheckedSize(h.p_offset) + h.p_filesz).isAtMost(size))
      return damaged("a segment lies outside of it");
    const CheckedSize end = CheckedSize(h.p_vaddr) + h.p_memsz;
    if (!end.isAtMost(maxSpan))
      return damaged("a segment's addresses are out of bounds");
    if (h.p_vaddr < previousEnd)
      return damaged("segments overlap, share a page or are out of order; link it with "
                     "-z separate-code and a max-page-size of at least this system's");
    previousEnd = end.alignedTo(page).value();
    any = true;
  }
  if (!any)
    return damaged("has nothing to load");
  layout.span = previousEnd;
  return {};
}

/// Reads the dynamic section, if there is one, into `layout`.
static Status checkDynamic(const uint8_t *data, Layout &layout) {
  const Elf64_Phdr *dynamic = nullptr;
  for (unsigned i = 0; i < layout.headerCount; ++i)
    if (layout.headers[i].p_type == PT_DYNAMIC) {
      if (dynamic)
        return damaged("has two dynamic sections");
      dynamic = &layout.headers[i];
    }
  if (!dynamic)
    return {};
  const Elf64_Phdr *home = segmentOf(layout, dynamic->p_vaddr, dynamic->p_filesz);
  // It is read from the file, so its bytes must be those that get loaded there.
  if (!home || dynamic->p_offset % alignof(Elf64_Dyn) != 0 || dynamic->p_offset < home->p_offset ||
      dynamic->p_offset - home->p_offset != dynamic->p_vaddr - home->p_vaddr ||
      dynamic->p_vaddr - home->p_vaddr > home->p_filesz ||
      dynamic->p_filesz > home->p_filesz - (dynamic->p_vaddr - home->p_vaddr))
    return damaged("its dynamic section lies outside of its segments");

  const Elf64_Dyn *entries = reinterpret_cast<const Elf64_Dyn *>(data + dynamic->p_offset);
  uint64_t relocationBytes = 0, entryBytes = sizeof(Elf64_Rela);
  const uint64_t entryCount = dynamic->p_filesz / sizeof(Elf64_Dyn);
  for (uint64_t i = 0; i < entryCount && entries[i].d_tag != DT_NULL; ++i) {
    const uint64_t value = entries[i].d_un.d_val;
    switch (entries[i].d_tag) {
    case DT_NEEDED:
      return damaged("needs another library");
    case DT_RELA:
      layout.relocations = value;
      break;
    case DT_RELASZ:
      relocationBytes = value;
      break;
    case DT_RELAENT:
      entryBytes = value;
      break;
    case DT_TEXTREL:
    case DT_REL:
    case DT_RELR:
    case DT_JMPREL:
    case DT_INIT:
    case DT_FINI:
    case DT_INIT_ARRAY:
    case DT_FINI_ARRAY:
    case DT_PREINIT_ARRAY:
      return Status::error(StatusCode::invalidArtifact,
                           "kernel image: dynamic tag 0x%" PRIx64
                           " is not allowed; kernels have neither imports nor constructors",
                           uint64_t(entries[i].d_tag));
    default: // symbol, string and hash tables are not used; flags carry no obligations here
      break;
    }
  }
  if (entryBytes != sizeof(Elf64_Rela) || relocationBytes % sizeof(Elf64_Rela) != 0)
    return damaged("its relocation table has an unexpected shape");
  layout.relocationCount = relocationBytes / sizeof(Elf64_Rela);
  return {};
}

/// The relocation table as it lies in the file.
static const uint8_t *relocationBytes(const uint8_t *data, const Layout &layout) {
  const Elf64_Phdr *home =
      segmentOf(layout, layout.relocations, layout.relocationCount * sizeof(Elf64_Rela));
  return home ? data + home->p_offset + (layout.relocations - home->p_vaddr) : nullptr;
}

static Status checkRelocations(const uint8_t *data, const Layout &layout) {
  if (!layout.relocationCount)
    return {};
  const uint64_t bytes = layout.relocationCount * sizeof(Elf64_Rela);
  const Elf64_Phdr *home = segmentOf(layout, layout.relocations, bytes);
  if (!home || layout.relocations - home->p_vaddr > home->p_filesz ||
      bytes > home->p_filesz - (layout.relocations - home->p_vaddr))
    return damaged("its relocation table lies outside of its segments");
  const uint8_t *table = relocationBytes(data, layout);
  for (uint64_t i = 0; i < layout.relocationCount; ++i) {
    Elf64_Rela entry;
    memcpy(&entry, table + i * sizeof(entry), sizeof(entry));
    if (entry.r_info != ELF64_R_INFO(0, layout.relativeRelocation))
      return Status::error(StatusCode::invalidArtifact,
                           "kernel image: relocation type %u of symbol %u; only RELATIVE ones are "
                           "allowed, kernels have no imports",
                           unsigned(ELF64_R_TYPE(entry.r_info)),
                           unsigned(ELF64_R_SYM(entry.r_info)));
    const Elf64_Phdr *target = segmentOf(layout, entry.r_offset, sizeof(uint64_t));
    if (!target || (target->p_flags & PF_X))
      return damaged("a relocation points outside of its data");
    if (entry.r_addend < 0 || uint64_t(entry.r_addend) > layout.span)
      return damaged("a relocation's value lies outside of it");
  }
  return {};
}

static Status check(const uint8_t *data, size_t size, Layout &layout) {
  TERN_RETURN_IF_ERROR(checkFileHeader(data, size, layout));
  TERN_RETURN_IF_ERROR(checkSegments(size, layout));
  TERN_RETURN_IF_ERROR(checkDynamic(data, layout));
  return checkRelocations(data, layout);
}

Status Image::verify(const uint8_t *data, size_t size) {
  Layout layout;
  return check(data, size, layout);
}

bool Image::isCode(const uint8_t *data, uint64_t offset) {
  const Elf64_Ehdr &header = *reinterpret_cast<const Elf64_Ehdr *>(data);
  Layout layout;
  layout.headers = reinterpret_cast<const Elf64_Phdr *>(data + header.e_phoff);
  layout.headerCount = header.e_phnum;
  const Elf64_Phdr *segment = segmentOf(layout, offset, 1);
  return segment && (segment->p_flags & PF_X) && offset - segment->p_vaddr < segment->p_filesz;
}

static Status protect(uint8_t *memory, const Layout &layout) {
  const uint64_t page = pageSize();
  // Gaps between segments stay inaccessible.
  if (mprotect(memory, layout.span, PROT_NONE) != 0)
    return Status::error(StatusCode::ioError, "cannot protect the kernel image: %s",
                         strerror(errno));
  for (unsigned i = 0; i < layout.headerCount; ++i) {
    const Elf64_Phdr &h = layout.headers[i];
    if (h.p_type != PT_LOAD || h.p_memsz == 0)
      continue;
    const uint64_t begin = h.p_vaddr & ~(page - 1);
    const uint64_t end = (h.p_vaddr + h.p_memsz + page - 1) & ~(page - 1);
    const int protection = (h.p_flags & PF_R || h.p_flags & PF_X ? PROT_READ : 0) |
                           (h.p_flags & PF_W ? PROT_WRITE : 0) | (h.p_flags & PF_X ? PROT_EXEC : 0);
#if defined(__aarch64__)
    if (h.p_flags & PF_X)
      __builtin___clear_cache(reinterpret_cast<char *>(memory + begin),
                              reinterpret_cast<char *>(memory + end));
#endif
    if (mprotect(memory + begin, end - begin, protection) != 0)
      return Status::error(
          StatusCode::ioError,
          "cannot make kernel code executable: %s; this system may forbid it, then "
          "link the kernels into the program",
          strerror(errno));
  }
  return {};
}

Status Image::load(const uint8_t *data, size_t size, Image &result) {
  Layout layout;
  TERN_RETURN_IF_ERROR(check(data, size, layout));
  if (const uint16_t machine = reinterpret_cast<const Elf64_Ehdr *>(data)->e_machine;
      machine != hostMachine)
    return Status::error(StatusCode::wrongCpu, "kernel image: ELF machine %u, this CPU is %u",
                         machine, hostMachine);
  void *address =
      mmap(nullptr, layout.span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED)
    return Status::error(StatusCode::outOfMemory,
                         "cannot allocate %" PRIu64 " bytes for the kernel image", layout.span);
  Image image;
  image.memory = static_cast<uint8_t *>(address);
  image.span = layout.span;
  for (unsigned i = 0; i < layout.headerCount; ++i) {
    const Elf64_Phdr &h = layout.headers[i];
    if (h.p_type == PT_LOAD && h.p_filesz)
      memcpy(image.memory + h.p_vaddr, data + h.p_offset, h.p_filesz);
  }
  const uint8_t *table = layout.relocationCount ? relocationBytes(data, layout) : nullptr;
  for (uint64_t i = 0; i < layout.relocationCount; ++i) {
    Elf64_Rela entry;
    memcpy(&entry, table + i * sizeof(entry), sizeof(entry));
    const uint64_t value = reinterpret_cast<uintptr_t>(image.memory) + uint64_t(entry.r_addend);
    memcpy(image.memory + entry.r_offset, &value, sizeof(value));
  }
  TERN_RETURN_IF_ERROR(protect(image.memory, layout));
  result = std::move(image);
  return {};
}

Image::Image(Image &&other) noexcept { *this = std::move(other); }

Image &Image::operator=(Image &&other) noexcept {
  std::swap(memory, other.memory);
  std::swap(span, other.span);
  return *this;
}

Image::~Image() {
  if (memory)
    munmap(memory, span);
}
