// Fused multiply-add by one local rule, for kernels that allow it.
//
// LLVM's own contraction follows use counts and block boundaries, so the same expression may round
// differently in two copies of a loop. Here a sum with exactly one product among its operands is
// fused, always; everything else is left as written. Copies of one expression keep equal results.
#ifndef TERN_COMPILER_CODEGEN_FUSEDMULTIPLYADD_H
#define TERN_COMPILER_CODEGEN_FUSEDMULTIPLYADD_H

#include "llvm/IR/Function.h"

namespace tern {

/// Replaces a * b + c, a * b - c and c - a * b in `function`.
void fuseMultiplyAdd(llvm::Function &function);

} // namespace tern
#endif
