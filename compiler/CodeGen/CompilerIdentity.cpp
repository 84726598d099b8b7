#include "compiler/CodeGen/CompilerIdentity.h"
#include "HalideRuntime.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SHA256.h"
#include <algorithm>
#include <elf.h>
#include <link.h>
#include <vector>

using namespace llvm;

namespace tern {
namespace {

/// The build ID in an ELF note segment, or nothing. A note is a header, the owner's name and the
/// description, each padded to four bytes.
StringRef buildIdIn(StringRef notes) {
  while (notes.size() >= sizeof(ElfW(Nhdr))) {
    const auto *header = reinterpret_cast<const ElfW(Nhdr) *>(notes.data());
    notes = notes.drop_front(sizeof(*header));
    const uint64_t nameSize = alignTo(header->n_namesz, 4), size = alignTo(header->n_descsz, 4);
    if (nameSize + size > notes.size())
      break;
    if (header->n_type == NT_GNU_BUILD_ID &&
        notes.take_front(header->n_namesz) == StringRef("GNU\0", 4))
      return notes.substr(nameSize, header->n_descsz);
    notes = notes.drop_front(nameSize + size);
  }
  return {};
}

/// Sorted: the order of loading says nothing.
std::vector<StringRef> buildIdsOfLibraries() {
  std::vector<StringRef> ids;
  dl_iterate_phdr(
      [](dl_phdr_info *object, size_t, void *result) {
        if (!object->dlpi_name || !StringRef(object->dlpi_name).contains('/'))
          return 0; // the executable, whose bytes count, or the kernel's own object
        for (unsigned i = 0; i < object->dlpi_phnum; ++i) {
          const ElfW(Phdr) &segment = object->dlpi_phdr[i];
          if (segment.p_type != PT_NOTE)
            continue;
          const auto *notes = reinterpret_cast<const char *>(object->dlpi_addr + segment.p_vaddr);
          if (StringRef id = buildIdIn(StringRef(notes, segment.p_memsz)); !id.empty())
            static_cast<std::vector<StringRef> *>(result)->push_back(id);
        }
        return 0;
      },
      &ids);
  std::sort(ids.begin(), ids.end());
  return ids;
}

} // namespace

std::string hexDigest(ArrayRef<StringRef> parts) {
  SHA256 hash;
  for (StringRef part : parts) {
    // Lengths keep ("a", "bc") and ("ab", "c") apart.
    hash.update((Twine(part.size()) + ":").str());
    hash.update(part);
  }
  return toHex(hash.final(), /*LowerCase=*/true);
}

Expected<std::string> compilerIdentity(StringRef executable) {
  ErrorOr<std::unique_ptr<MemoryBuffer>> bytes = MemoryBuffer::getFile(executable, false, false);
  if (!bytes)
    return createStringError(bytes.getError(), "cannot read the compiler's executable '" +
                                                   executable + "': " + bytes.getError().message());
  std::string halideVersion = (Twine(HALIDE_VERSION_MAJOR) + "." + Twine(HALIDE_VERSION_MINOR) +
                               "." + Twine(HALIDE_VERSION_PATCH))
                                  .str();
  std::vector<StringRef> parts = {(*bytes)->getBuffer(), LLVM_VERSION_STRING, halideVersion};
  append_range(parts, buildIdsOfLibraries());
  return hexDigest(parts);
}

} // namespace tern
