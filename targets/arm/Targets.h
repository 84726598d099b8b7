// The AArch64 targets: exact features.
#ifndef TERN_TARGETS_ARM_TARGETS_H
#define TERN_TARGETS_ARM_TARGETS_H

#include "targets/TargetInfo.h"

namespace tern {

/// Weakest first.
std::vector<TargetInfo> armTargets();

} // namespace tern
#endif
