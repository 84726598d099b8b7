// Rounding of floats to integers for CPUs without instructions for it (x86-64 before SSE4.1), where
// LLVM would call the C library.
#ifndef TERN_COMPILER_CODEGEN_ROUNDINGEXPANSION_H
#define TERN_COMPILER_CODEGEN_ROUNDINGEXPANSION_H

#include "llvm/IR/Module.h"

namespace tern {

/// Replaces floor, ceil, trunc, rint, nearbyint and roundeven of f32 values and vectors by
/// additions and comparisons with the same result, signs of zeros and NaN included.
void expandRounding(llvm::Module &module);

} // namespace tern
#endif
