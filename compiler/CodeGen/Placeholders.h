// Instruction placeholders: operations that Halide cannot select and LLVM 22 can.
//
// An algorithm writes such an operation as an opaque, lane-preserving call (PureExtern) named
// `tern_placeholder_<operation>`; Halide vectorises around it lane by lane, as chains of
// extractelement, call and insertelement. Here a chain becomes one operation on vectors and then
// the target's instructions. A placeholder that the target has no instruction for is an error: a
// kernel that would call a function that does not exist is never emitted.
//
//   u8 lookup16(u8 code, u64 low, u64 high)   byte `code` (0..15) of a table of two constants
//   u8 hide(u8 value)                         the value, of which LLVM then knows nothing: it costs
//                                             no instruction and keeps it from folding a cheap
//                                             chain (3 v, 3 (3 v), ...) into dear constants
//   i32 prefetch(uN load)                     0; the line of the loaded number is fetched to the
//                                             second level cache, and nothing is loaded
#ifndef TERN_COMPILER_CODEGEN_PLACEHOLDERS_H
#define TERN_COMPILER_CODEGEN_PLACEHOLDERS_H

#include "targets/TargetInfo.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

namespace tern {

/// Expands the placeholder calls of `module`; fails on one that `target` has no instruction for.
llvm::Error expandPlaceholders(llvm::Module &module, const TargetInfo &target);

/// Fails if `module` still declares a function that is neither an intrinsic nor a memory routine.
llvm::Error checkSelfContained(const llvm::Module &module);

} // namespace tern
#endif
