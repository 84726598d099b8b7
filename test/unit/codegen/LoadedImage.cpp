#include "LoadedImage.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cstring>
#include <elf.h>
#include <sys/mman.h>
#include <vector>

namespace tern {

LoadedImage::~LoadedImage() {
  if (base)
    munmap(base, size);
}

void LoadedImage::load(const std::string &bytes) {
  Elf64_Ehdr header;
  ASSERT_GE(bytes.size(), sizeof header);
  memcpy(&header, bytes.data(), sizeof header);
  ASSERT_EQ(header.e_type, ET_DYN);
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  memcpy(segments.data(), bytes.data() + header.e_phoff, segments.size() * sizeof(Elf64_Phdr));
  for (const Elf64_Phdr &segment : segments)
    size = std::max<size_t>(size, segment.p_vaddr + segment.p_memsz);
  size = (size + 4095) & ~size_t(4095);
  void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  base = static_cast<char *>(memory);
  for (const Elf64_Phdr &segment : segments)
    if (segment.p_type == PT_LOAD)
      memcpy(base + segment.p_vaddr, bytes.data() + segment.p_offset, segment.p_filesz);
  for (const Elf64_Phdr &segment : segments)
    if (segment.p_type == PT_DYNAMIC)
      relocate(base + segment.p_vaddr);
  for (const Elf64_Phdr &segment : segments) {
    if (segment.p_type != PT_LOAD)
      continue;
    bool writable = segment.p_flags & PF_W, executable = segment.p_flags & PF_X;
    ASSERT_FALSE(writable && executable);
    size_t begin = segment.p_vaddr & ~size_t(4095);
    ASSERT_EQ(mprotect(base + begin, segment.p_vaddr + segment.p_memsz - begin,
                       PROT_READ | (writable ? PROT_WRITE : 0) | (executable ? PROT_EXEC : 0)),
              0);
  }
}

void LoadedImage::relocate(const void *section) {
  auto *dynamic = static_cast<const Elf64_Dyn *>(section);
  const char *table = nullptr;
  size_t bytes = 0;
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    ASSERT_NE(dynamic->d_tag, DT_NEEDED);
    ASSERT_NE(dynamic->d_tag, DT_JMPREL);
    ASSERT_NE(dynamic->d_tag, DT_TEXTREL);
    if (dynamic->d_tag == DT_RELA)
      table = base + dynamic->d_un.d_ptr;
    if (dynamic->d_tag == DT_RELASZ)
      bytes = dynamic->d_un.d_val;
  }
  for (size_t at = 0; at < bytes; at += sizeof(Elf64_Rela)) {
    Elf64_Rela relocation;
    memcpy(&relocation, table + at, sizeof relocation);
    ASSERT_EQ(ELF64_R_TYPE(relocation.r_info), unsigned(R_X86_64_RELATIVE));
    uint64_t value = reinterpret_cast<uint64_t>(base) + relocation.r_addend;
    memcpy(base + relocation.r_offset, &value, sizeof value);
  }
}

} // namespace tern
