#include "compiler/Kernels/AnonymousFile.h"

#include <cerrno>
#include <fcntl.h>
#include <system_error>
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace tern {

llvm::Expected<AnonymousFile> createAnonymousFile() {
#ifdef __linux__
  const int descriptor = memfd_create("ternc", MFD_CLOEXEC);
  AnonymousFile file(descriptor < 0 ? nullptr : fdopen(descriptor, "w+b"));
  if (!file && descriptor >= 0)
    close(descriptor);
#else
  AnonymousFile file(tmpfile());
  if (file)
    fcntl(fileno(file.get()), F_SETFD, FD_CLOEXEC);
#endif
  if (file)
    return file;
  const std::error_code error(errno, std::generic_category());
  return llvm::createStringError(error, "cannot create a temporary file: " + error.message());
}

} // namespace tern
