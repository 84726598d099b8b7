// Halide schedules of all kernels on CPUs.
#ifndef TERN_TARGETS_CPU_SCHEDULE_H
#define TERN_TARGETS_CPU_SCHEDULE_H

#include "compiler/Kernels/KernelStages.h"
#include "targets/TargetInfo.h"

namespace tern {

void scheduleCpu(KernelStages &stages, const TargetInfo &target);

} // namespace tern
#endif
