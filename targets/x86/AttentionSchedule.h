// Halide schedules of rotary, cache and attention kernels on x86-64.
#ifndef TERN_TARGETS_X86_ATTENTIONSCHEDULE_H
#define TERN_TARGETS_X86_ATTENTIONSCHEDULE_H

#include "compiler/Kernels/KernelStages.h"
#include "targets/TargetInfo.h"

namespace tern {

void scheduleAttentionX86(AttentionStages &stages, const TargetInfo &target);

/// Schedules rotations, cache stores and the outputs' share in them; `rowOutput` is the output over
/// rows that reads the rotations not meant for the store (undefined if there is none).
void scheduleKvStoreX86(KernelStages &stages, Halide::Func rowOutput, const TargetInfo &target);

} // namespace tern
#endif
