// The image loader: protections, relocations, and refusal of everything a kernel has no need of.
#include "runtime/core/Image.h"
#include "test/unit/runtime/ToyArtifact.h"

#include <cstring>
#include <elf.h>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <string>

using namespace tern;
using namespace tern::runtime;
using namespace tern::test;

static AlignedBytes imageBytes() { return {toyImage().data(), toyImage().size()}; }

static Elf64_Ehdr *header(AlignedBytes &image) {
  return reinterpret_cast<Elf64_Ehdr *>(image.data());
}

/// The first program header that satisfies a condition.
static Elf64_Phdr *program(AlignedBytes &image, const std::function<bool(const Elf64_Phdr &)> &is) {
  auto *programs = reinterpret_cast<Elf64_Phdr *>(image.data() + header(image)->e_phoff);
  for (int i = 0; i < header(image)->e_phnum; ++i)
    if (is(programs[i]))
      return &programs[i];
  throw std::runtime_error("no such program header");
}
static Elf64_Phdr *code(AlignedBytes &image) {
  return program(image, [](const auto &p) { return p.p_type == PT_LOAD && (p.p_flags & PF_X); });
}
static Elf64_Phdr *dynamic(AlignedBytes &image) {
  return program(image, [](const auto &p) { return p.p_type == PT_DYNAMIC; });
}
static Elf64_Dyn *dynamicEntry(AlignedBytes &image, int64_t tag) {
  auto *entry = reinterpret_cast<Elf64_Dyn *>(image.data() + dynamic(image)->p_offset);
  while (entry->d_tag != tag)
    ++entry;
  return entry;
}
static Elf64_Rela *relocation(AlignedBytes &image) {
  const uint64_t address = dynamicEntry(image, DT_RELA)->d_un.d_ptr;
  const Elf64_Phdr *home = program(image, [&](const auto &p) {
    return p.p_type == PT_LOAD && address >= p.p_vaddr && address < p.p_vaddr + p.p_filesz;
  });
  return reinterpret_cast<Elf64_Rela *>(image.data() + home->p_offset + address - home->p_vaddr);
}

/// Permissions of the mapping that holds an address, as /proc/self/maps shows them.
static std::string protectionOf(const void *address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t first, last;
    char permissions[5];
    if (sscanf(line.c_str(), "%lx-%lx %4s", &first, &last, permissions) == 3 &&
        reinterpret_cast<uintptr_t>(address) >= first &&
        reinterpret_cast<uintptr_t>(address) < last)
      return permissions;
  }
  return "";
}

TEST(Image, LoadsCodeThatIsNotWritableAndDataThatIsNotExecutable) {
  AlignedBytes bytes = imageBytes();
  Image image;
  ASSERT_TRUE(Image::load(bytes.data(), bytes.size(), image).isOk());
  const auto *programs =
      reinterpret_cast<const Elf64_Phdr *>(bytes.data() + header(bytes)->e_phoff);
  int segments = 0;
  for (int i = 0; i < header(bytes)->e_phnum; ++i) {
    if (programs[i].p_type != PT_LOAD || programs[i].p_memsz == 0)
      continue;
    const std::string expected = std::string("r") + (programs[i].p_flags & PF_W ? "w" : "-") +
                                 (programs[i].p_flags & PF_X ? "x" : "-") + "p";
    EXPECT_EQ(protectionOf(image.at(programs[i].p_vaddr)), expected);
    ++segments;
  }
  EXPECT_GE(segments, 2);
}

TEST(Image, AppliesRelocations) {
  AlignedBytes bytes = imageBytes();
  ASSERT_GT(dynamicEntry(bytes, DT_RELASZ)->d_un.d_val, 0u) << "the toy image has none";
  Image image;
  ASSERT_TRUE(Image::load(bytes.data(), bytes.size(), image).isOk());
  const Elf64_Rela entry = *relocation(bytes);
  uint64_t value;
  memcpy(&value, image.at(entry.r_offset), sizeof(value));
  EXPECT_EQ(value, reinterpret_cast<uintptr_t>(image.at(uint64_t(entry.r_addend))));
}

TEST(Image, KnowsWhatIsCode) {
  AlignedBytes bytes = imageBytes();
  const Elf64_Phdr segment = *code(bytes);
  EXPECT_TRUE(Image::isCode(bytes.data(), imageSymbol(toyImage(), "toy_embed")));
  EXPECT_TRUE(Image::isCode(bytes.data(), segment.p_vaddr));
  EXPECT_TRUE(Image::isCode(bytes.data(), segment.p_vaddr + segment.p_filesz - 1));
  EXPECT_FALSE(Image::isCode(bytes.data(), segment.p_vaddr + segment.p_memsz));
  EXPECT_FALSE(Image::isCode(bytes.data(), 0));
  EXPECT_FALSE(Image::isCode(bytes.data(), UINT64_MAX));
}

TEST(Image, RefusesWhatKernelsHaveNoNeedOf) {
  const std::pair<const char *, std::function<void(AlignedBytes &)>> cases[] = {
      {"magic", [](auto &i) { i[1] = 'F'; }},
      {"64-bit", [](auto &i) { i[EI_CLASS] = ELFCLASS32; }},
      {"64-bit", [](auto &i) { header(i)->e_type = ET_EXEC; }},
      {"machine", [](auto &i) { header(i)->e_machine = EM_MIPS; }},
      {"program header", [](auto &i) { header(i)->e_phnum = 0; }},
      {"program header", [](auto &i) { header(i)->e_phnum = 1000; }},
      {"program header", [](auto &i) { header(i)->e_phoff = UINT64_MAX - 8; }},
      {"program header", [](auto &i) { header(i)->e_phoff = i.size() - 7; }},
      {"writable and executable", [](auto &i) { code(i)->p_flags |= PF_W; }},
      {"interpreter",
       [](auto &i) {
         program(i, [](const auto &p) {
           return p.p_type != PT_LOAD && p.p_type != PT_DYNAMIC;
         })->p_type = PT_TLS;
       }},
      {"outside", [](auto &i) { code(i)->p_filesz = code(i)->p_memsz + 1; }},
      {"outside", [](auto &i) { code(i)->p_offset = UINT64_MAX; }},
      {"out of bounds", [](auto &i) { code(i)->p_memsz = UINT64_MAX; }},
      {"out of bounds", [](auto &i) { code(i)->p_memsz = uint64_t(1) << 40; }},
      {"overlap", [](auto &i) { code(i)->p_vaddr = 0; }},
      {"dynamic", [](auto &i) { dynamic(i)->p_vaddr = UINT64_MAX; }},
      {"dynamic", [](auto &i) { dynamic(i)->p_offset += 16; }},
      {"dynamic", [](auto &i) { dynamic(i)->p_filesz = UINT64_MAX; }},
      {"needs another library", [](auto &i) { dynamicEntry(i, DT_SYMENT)->d_tag = DT_NEEDED; }},
      {"dynamic tag", [](auto &i) { dynamicEntry(i, DT_SYMENT)->d_tag = DT_INIT_ARRAY; }},
      {"dynamic tag", [](auto &i) { dynamicEntry(i, DT_SYMENT)->d_tag = DT_JMPREL; }},
      {"dynamic tag", [](auto &i) { dynamicEntry(i, DT_SYMENT)->d_tag = DT_TEXTREL; }},
      {"relocation table", [](auto &i) { dynamicEntry(i, DT_RELASZ)->d_un.d_val += 1; }},
      {"relocation table", [](auto &i) { dynamicEntry(i, DT_RELAENT)->d_un.d_val = 8; }},
      {"relocation table", [](auto &i) { dynamicEntry(i, DT_RELA)->d_un.d_val = UINT64_MAX; }},
      {"relocation table",
       [](auto &i) { dynamicEntry(i, DT_RELASZ)->d_un.d_val = sizeof(Elf64_Rela) << 40; }},
      {"relocation type", [](auto &i) { relocation(i)->r_info = ELF64_R_INFO(1, R_X86_64_64); }},
      {"relocation type", [](auto &i) { relocation(i)->r_info |= uint64_t(1) << 32; }},
      {"outside of its data", [](auto &i) { relocation(i)->r_offset = code(i)->p_vaddr; }},
      {"outside of its data", [](auto &i) { relocation(i)->r_offset = UINT64_MAX - 3; }},
      {"value lies outside", [](auto &i) { relocation(i)->r_addend = -1; }},
      {"value lies outside", [](auto &i) { relocation(i)->r_addend = int64_t(1) << 40; }},
  };
  for (const auto &[expected, damage] : cases) {
    AlignedBytes bytes = imageBytes();
    damage(bytes);
    const Status status = Image::verify(bytes.data(), bytes.size());
    EXPECT_FALSE(status.isOk()) << expected;
    EXPECT_NE(std::string(status.message()).find(expected), std::string::npos) << status.message();
    Image image;
    EXPECT_FALSE(Image::load(bytes.data(), bytes.size(), image).isOk());
  }
}

TEST(Image, RefusesAnotherArchitecture) {
  AlignedBytes bytes = imageBytes();
  header(bytes)->e_machine = header(bytes)->e_machine == EM_X86_64 ? EM_AARCH64 : EM_X86_64;
  Image image;
  EXPECT_FALSE(Image::load(bytes.data(), bytes.size(), image).isOk());
}

TEST(Image, SurvivesTruncation) {
  for (size_t size = 0; size < toyImage().size(); size += 16) {
    const AlignedBytes bytes(toyImage().data(), size);
    Image image;
    // What a truncation leaves may still be loadable if it only cut section headers away.
    (void)Image::load(bytes.data(), bytes.size(), image).isOk();
  }
}

TEST(Image, SurvivesRandomDamage) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);
  AlignedBytes original = imageBytes();
  const uint64_t dynamicOffset = dynamic(original)->p_offset;
  for (int round = 0; round < 20000; ++round) {
    AlignedBytes bytes = original;
    for (uint32_t i = random() % 8 + 1; i; --i) {
      // In the headers and the dynamic section, where it matters.
      const uint64_t at = (random() % 2 ? 0 : dynamicOffset) + random() % 512;
      if (at < bytes.size())
        bytes[at] = random() % 3 ? uint8_t(random()) : uint8_t(bytes[at] ^ (1u << random() % 8));
    }
    Image image;
    (void)Image::load(bytes.data(), bytes.size(), image).isOk();
  }
}
