#include "runtime/device/CpuPinning.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

using namespace tern;
using namespace tern::runtime;

#if defined(__linux__)

/// The decimal number at `text`, which moves behind it; false if there is none.
static bool readNumber(const char *&text, uint32_t &number) {
  if (*text < '0' || *text > '9')
    return false;
  for (number = 0; *text >= '0' && *text <= '9'; ++text)
    if (number < CPU_SETSIZE)
      number = number * 10 + uint32_t(*text - '0');
  return true;
}

/// How many CPUs of `allowed` with lower numbers are on the same core.
static uint32_t rankOnCore(uint32_t cpu, const cpu_set_t &allowed, const char *topology) {
  char text[512];
  snprintf(text, sizeof(text), "%s/cpu%" PRIu32 "/topology/thread_siblings_list", topology, cpu);
  const int file = open(text, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return 0;
  const ssize_t size = read(file, text, sizeof(text) - 1);
  close(file);
  text[size > 0 ? size : 0] = 0;

  uint32_t rank = 0, first, last; // "0,32", "0-3"
  for (const char *at = text; readNumber(at, first); at += *at == ',') {
    last = first;
    if (*at == '-') {
      ++at;
      if (!readNumber(at, last))
        break;
    }
    for (uint32_t sibling = first; sibling <= last && sibling < cpu; ++sibling)
      rank += CPU_ISSET(sibling, &allowed) != 0;
  }
  return rank;
}

Status tern::runtime::chooseCpus(const cpu_set_t &allowed, const char *topology, uint32_t count,
                                 uint32_t *cpus) {
  const uint32_t available = uint32_t(CPU_COUNT(&allowed));
  if (count > available)
    return Status::error(StatusCode::invalidArgument,
                         "%" PRIu32 " threads to pin to a CPU each, this process may run on "
                         "%" PRIu32 "; ask for fewer threads, or do not pin them",
                         count, available);
  uint16_t ranks[CPU_SETSIZE] = {};
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed))
      ranks[cpu] = uint16_t(rankOnCore(cpu, allowed, topology));
  uint32_t chosen = 0;
  for (uint32_t rank = 0; chosen < count; ++rank) // every rank is below the number of CPUs
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE && chosen < count; ++cpu)
      if (CPU_ISSET(cpu, &allowed) && ranks[cpu] == rank)
        cpus[chosen++] = cpu;
  return {};
}

Status tern::runtime::chooseCpus(uint32_t count, uint32_t *cpus) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed))
    return Status::error(StatusCode::unsupported,
                         "cannot read the CPUs to pin threads to: %s; do not pin them",
                         strerror(errno));
  return chooseCpus(allowed, "/sys/devices/system/cpu", count, cpus);
}

int tern::runtime::pinThread(uint32_t cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  return sched_setaffinity(0, sizeof(one), &one) ? errno : 0;
}

Status ScopedPin::pin(uint32_t cpu) {
  int code = sched_getaffinity(0, sizeof(before), &before) ? errno : 0;
  if (!code)
    code = pinThread(cpu);
  if (code)
    return Status::error(StatusCode::invalidArgument,
                         "cannot pin the calling thread to CPU %" PRIu32
                         ": %s; make a new session where the CPUs have changed",
                         cpu, strerror(code));
  pinned = true;
  return {};
}

ScopedPin::~ScopedPin() {
  if (pinned) // refused only if none of those CPUs is left: then the system has moved the thread
    (void)sched_setaffinity(0, sizeof(before), &before);
}

#else

static constexpr const char *linuxOnly = "threads can be pinned on Linux only";

Status tern::runtime::chooseCpus(uint32_t, uint32_t *) {
  return Status::error(StatusCode::unsupported, "%s", linuxOnly);
}

int tern::runtime::pinThread(uint32_t) { return ENOSYS; }

Status ScopedPin::pin(uint32_t) { return Status::error(StatusCode::unsupported, "%s", linuxOnly); }

ScopedPin::~ScopedPin() {}

#endif
