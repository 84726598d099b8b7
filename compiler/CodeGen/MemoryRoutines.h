// memset, memcpy and memmove for kernels, which have no C library to call.
//
// LLVM lowers its memory intrinsics of unknown or large size to calls of these names while it
// selects instructions, after the last moment at which a missing definition could be added: so
// every module carries them, hidden and mergeable, and the linker drops what nothing calls.
#ifndef TERN_COMPILER_CODEGEN_MEMORYROUTINES_H
#define TERN_COMPILER_CODEGEN_MEMORYROUTINES_H

#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

namespace tern {

/// Links the routines into `module` if it uses a memory intrinsic.
llvm::Error linkMemoryRoutines(llvm::Module &module);

} // namespace tern
#endif
