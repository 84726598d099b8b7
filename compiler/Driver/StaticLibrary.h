// The two files beside the artifact of --emit=static-library: the kernels as a library that an
// application links, and the header that hands them to the runtime.
#ifndef TERN_COMPILER_DRIVER_STATICLIBRARY_H
#define TERN_COMPILER_DRIVER_STATICLIBRARY_H

#include "compiler/CodeGen/ImageLinker.h"
#include "tern_generated.h"

namespace tern {

/// The paths that -o names: DIR/NAME or DIR/NAME.tern.
struct StaticLibraryPaths {
  explicit StaticLibraryPaths(llvm::StringRef output);
  std::string name;   ///< NAME
  std::string prefix; ///< NAME as a C identifier: other characters become '_'
  std::string artifact, library, header;
};

/// The text of NAME.h: declares the library's kernels, and PREFIX_code for
/// tern_model_options.linked_code.
std::string linkedCodeHeader(const StaticLibraryPaths &paths, const fb::VariantT &variant,
                             const KernelLibrary &library, llvm::StringRef producer);

} // namespace tern
#endif
