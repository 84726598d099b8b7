// Files without a name, which no interruption can leave behind: for what Halide writes, and for the
// streams of worker processes.
#ifndef TERN_COMPILER_KERNELS_ANONYMOUSFILE_H
#define TERN_COMPILER_KERNELS_ANONYMOUSFILE_H

#include "llvm/Support/Error.h"
#include <cstdio>
#include <memory>

namespace tern {

struct CloseFile {
  void operator()(FILE *file) const { fclose(file); }
};
using AnonymousFile = std::unique_ptr<FILE, CloseFile>;

/// An empty file to write and read, closed in programs that this one starts. On Linux it lies in
/// memory, so that no folder must be writable.
llvm::Expected<AnonymousFile> createAnonymousFile();

} // namespace tern
#endif
