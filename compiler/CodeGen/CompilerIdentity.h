// What the generated code depends on besides its input: this compiler and the libraries in it.
#ifndef TERN_COMPILER_CODEGEN_COMPILERIDENTITY_H
#define TERN_COMPILER_CODEGEN_COMPILERIDENTITY_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace tern {

/// SHA-256 of the parts and their lengths, in hexadecimal.
std::string hexDigest(llvm::ArrayRef<llvm::StringRef> parts);

/// A digest of the bytes of the worker's executable, the versions of LLVM and Halide, and the build
/// IDs of the shared libraries in this process: a library rebuilt under the same version counts as
/// another compiler.
llvm::Expected<std::string> compilerIdentity(llvm::StringRef executable);

} // namespace tern
#endif
