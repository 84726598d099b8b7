// How the runtime starts its threads.
#ifndef TERN_RUNTIME_DEVICE_THREAD_H
#define TERN_RUNTIME_DEVICE_THREAD_H

#include "runtime/core/KernelABI.h"

#include <csignal>
#include <cstddef>
#include <pthread.h>

namespace tern::runtime {

/// For a kernel and what calls it. Pages that no frame reaches take no memory.
inline constexpr size_t threadStackSize = size_t(1) << 20;
static_assert(threadStackSize >= TERN_KERNEL_STACK_BYTES + (size_t(128) << 10));

/// pthread_create with a small stack and all signals blocked: those are the application's business,
/// its own threads get them. Returns 0 or an error number.
inline int startThread(pthread_t *thread, void *(*run)(void *), void *argument) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, threadStackSize);
  const int code = pthread_create(thread, &attributes, run, argument);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return code;
}

} // namespace tern::runtime

#endif
