// Pinning: threads that run on one CPU, and which CPU each gets.
//
// Linux only; elsewhere every function fails. Pinning narrows what the system already allows: the
// CPUs come from the affinity mask of the thread that asks, so that cpusets, taskset and containers
// keep their say.
#ifndef TERN_RUNTIME_DEVICE_CPUPINNING_H
#define TERN_RUNTIME_DEVICE_CPUPINNING_H

#include "runtime/core/Status.h"

#include <cstdint>

#if defined(__linux__)
#include <sched.h>
#endif

namespace tern::runtime {

/// Stores `count` different CPUs that the calling thread may run on: first one of each core, then
/// their siblings (simultaneous multithreading), lower numbers first. A CPU that the system says
/// nothing of counts as a core of its own. Fails if there are not so many CPUs.
Status chooseCpus(uint32_t count, uint32_t *cpus);

#if defined(__linux__)
/// The same among `allowed`, whose cores are described below the folder `topology` as Linux does
/// below /sys/devices/system/cpu.
Status chooseCpus(const cpu_set_t &allowed, const char *topology, uint32_t count, uint32_t *cpus);
#endif

/// Pins the calling thread. Returns 0 or an error number.
int pinThread(uint32_t cpu);

/// Keeps the thread that calls pin() on one CPU until the object ends, which that thread destroys;
/// then the thread may run where it could before.
class ScopedPin {
public:
  ScopedPin() = default;
  ScopedPin(const ScopedPin &) = delete;
  ScopedPin &operator=(const ScopedPin &) = delete;
  ~ScopedPin();

  /// Called at most once.
  Status pin(uint32_t cpu);

private:
#if defined(__linux__)
  cpu_set_t before;
#endif
  bool pinned = false;
};

} // namespace tern::runtime

#endif
