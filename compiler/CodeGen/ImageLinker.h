// Links the objects of one variant's kernels: into the ELF image that the artifact carries, or into
// a static library for applications.
//
// The image is a position-independent shared object that needs nothing: no imports, no DT_NEEDED,
// only RELATIVE relocations, no segment both writable and executable. runtime/core loads it itself.
#ifndef TERN_COMPILER_CODEGEN_IMAGELINKER_H
#define TERN_COMPILER_CODEGEN_IMAGELINKER_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace tern {

/// One kernel's object and the symbol of its entry. The strings belong to the caller.
struct LinkInput {
  llvm::StringRef object, entrySymbol;
};

struct LinkedImage {
  std::string bytes;
  /// entries[i]: virtual address of inputs[i]'s entry relative to the image's base.
  std::vector<uint64_t> entries;
};

/// Links `inputs`; those with equal entry symbols are linked once. The image depends on the inputs
/// and their order alone. Errors name every undefined symbol. Calls are serialised within the
/// process (LLD is not thread-safe).
llvm::Expected<LinkedImage> linkImage(llvm::ArrayRef<LinkInput> inputs);

struct KernelLibrary {
  std::string archive; ///< bytes of a .a file with one object
  /// entries[i]: the symbol of inputs[i]'s entry; the library defines no other global symbols.
  std::vector<std::string> entries;
};

/// Links `inputs` into a library whose entries are `prefix`_kernel_0 and so on; everything else is
/// local to it, memset and the like included: an application keeps its own, and may link the
/// libraries of several models. Otherwise as linkImage.
llvm::Expected<KernelLibrary> linkLibrary(llvm::ArrayRef<LinkInput> inputs, llvm::StringRef prefix);

} // namespace tern
#endif
