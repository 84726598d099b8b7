// The x86-64 targets: exact features, and which of them this CPU can run.
#ifndef TERN_TARGETS_X86_TARGETS_H
#define TERN_TARGETS_X86_TARGETS_H

#include "targets/TargetInfo.h"

namespace tern {

/// Weakest first.
std::vector<TargetInfo> x86Targets();

/// The strongest of x86Targets() whose features this CPU has.
llvm::Expected<TargetInfo> hostX86Target();

} // namespace tern
#endif
