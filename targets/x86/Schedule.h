// Halide schedules of all kernels on x86-64.
#ifndef TERN_TARGETS_X86_SCHEDULE_H
#define TERN_TARGETS_X86_SCHEDULE_H

#include "compiler/Kernels/KernelStages.h"
#include "targets/TargetInfo.h"

namespace tern {

void scheduleX86(KernelStages &stages, const TargetInfo &target);

} // namespace tern
#endif
