// Halide schedules of rotary, cache and attention kernels on CPUs.
#ifndef TERN_TARGETS_CPU_ATTENTIONSCHEDULE_H
#define TERN_TARGETS_CPU_ATTENTIONSCHEDULE_H

#include "compiler/Kernels/KernelStages.h"
#include "targets/TargetInfo.h"

namespace tern {

void scheduleAttentionCpu(AttentionStages &stages, const TargetInfo &target);

/// Schedules rotations, cache stores and the outputs' share in them; `rowOutput` is the output over
/// rows that reads the rotations not meant for the store (undefined if there is none).
void scheduleKvStoreCpu(KernelStages &stages, Halide::Func rowOutput, const TargetInfo &target);

} // namespace tern
#endif
