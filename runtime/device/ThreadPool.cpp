// Each worker has its own sequence word, so a loop wakes only the workers it has tasks for.
#include "runtime/device/ThreadPool.h"

#include "runtime/device/Thread.h"

#include <cstring>
#include <ctime>
#include <sched.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

using namespace tern;
using namespace tern::runtime;

static void relaxCpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

static uint64_t now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return uint64_t(time.tv_sec) * 1000000000u + uint64_t(time.tv_nsec);
}

uint32_t WaitWord::waitWhile(uint32_t old, uint64_t spinNanoseconds) {
  // Reading the clock costs about as much as the pauses between two readings.
  constexpr int pausesPerReading = 32;
  uint32_t value;
  uint64_t start = 0;
  do {
    for (int i = 0; i < pausesPerReading; ++i) {
      if ((value = load()) != old)
        return value;
      relaxCpu();
    }
    const uint64_t time = now();
    if (!start)
      start = time;
    if (time - start > spinNanoseconds)
      break;
  } while (true);

  // Sequentially consistent with store(): either the waker sees a sleeper or the sleeper the word.
  sleepers.fetch_add(1, std::memory_order_seq_cst);
#if defined(__linux__)
  while ((value = word.load(std::memory_order_seq_cst)) == old)
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
#else
  pthread_mutex_lock(&mutex);
  while ((value = word.load(std::memory_order_seq_cst)) == old)
    pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
#endif
  sleepers.fetch_sub(1, std::memory_order_relaxed);
  return value;
}

void WaitWord::wake() {
  if (sleepers.load(std::memory_order_seq_cst) == 0)
    return;
#if defined(__linux__)
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
#else
  pthread_mutex_lock(&mutex);
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&mutex);
#endif
}

void WaitWord::store(uint32_t value) {
  word.store(value, std::memory_order_seq_cst);
  wake();
}

void WaitWord::countDown() {
  if (word.fetch_sub(1, std::memory_order_seq_cst) == 1)
    wake();
}

/// Gives every worker its CPU.
Status ThreadPool::assignCpus() {
  uint32_t cpus[maxWorkers];
  TERN_RETURN_IF_ERROR(chooseCpus(workerCount, cpus));
  callerCpu = cpus[0];
  for (uint32_t i = 0; i + 1 < workerCount; ++i)
    others[i].cpu = cpus[i + 1];
  pinned = true;
  return {};
}

Status ThreadPool::start(const Allocator &allocator, uint32_t workers, bool pin) {
  if (workers == 0 || workers > maxWorkers)
    return Status::error(StatusCode::invalidArgument, "%u threads, expected 1 to %u", workers,
                         maxWorkers);
  workerCount = workers;
  if (workers > 1)
    TERN_RETURN_IF_ERROR(workerMemory.allocate(allocator, bytes(workers), "worker threads"));
  others = reinterpret_cast<Worker *>(workerMemory.data());
  for (uint32_t i = 0; i + 1 < workers; ++i)
    new (&others[i]) Worker();
  if (pin)
    TERN_RETURN_IF_ERROR(assignCpus());

  int code = 0;
  pending.store(workers - 1);
  for (uint32_t i = 0; i + 1 < workers && !code; ++i) {
    Worker *worker = &others[i];
    worker->pool = this;
    worker->number = i + 1;
    code = startThread(&worker->thread, threadMain, worker);
    startedThreads += code == 0;
  }
  if (code) {
    const uint32_t running = startedThreads;
    stop();
    return Status::error(StatusCode::outOfMemory,
                         "cannot start worker thread %u of %u: %s; ask for fewer threads",
                         running + 1, workers - 1, strerror(code));
  }
  // What a thread's start costs and allocates belongs to here, not to the first loop.
  for (uint32_t left = pending.load(); left != 0;)
    left = pending.waitWhile(left, spinNanoseconds);
  for (uint32_t i = 0; i + 1 < workers; ++i)
    if (const Worker &worker = others[i]; worker.pinError)
      return Status::error(StatusCode::invalidArgument,
                           "cannot pin worker thread %u of %u to CPU %u: %s", i + 1, workers - 1,
                           worker.cpu, strerror(worker.pinError));
  return {};
}

void ThreadPool::stop() {
  rangeFunction = nullptr;
  for (uint32_t i = 0; i < startedThreads; ++i)
    others[i].sequence.store(others[i].sequence.load() + 1);
  for (uint32_t i = 0; i < startedThreads; ++i)
    pthread_join(others[i].thread, nullptr);
  startedThreads = 0;
}

/// Runs the worker's range number `sequence`, unless somebody else has taken it. The loop's record
/// is stable for whoever has taken a range of it: the caller waits for all of them.
bool ThreadPool::claimAndRun(Worker &worker, uint32_t sequence, uint32_t runner) {
  uint32_t before = sequence - 1;
  if (!worker.claimed.compare_exchange_strong(before, sequence, std::memory_order_acq_rel))
    return true;
  if (!rangeFunction)
    return false;
  rangeFunction(rangeContext, runner, begin(taskCount, worker.number, workerCount),
                begin(taskCount, worker.number + 1, workerCount));
  pending.countDown();
  return true;
}

void *ThreadPool::threadMain(void *argument) {
  Worker &worker = *static_cast<Worker *>(argument);
  if (worker.pool->pinned)
    worker.pinError = pinThread(worker.cpu);
  worker.pool->pending.countDown();
  uint32_t seen = 0;
  do
    seen = worker.sequence.waitWhile(seen, spinNanoseconds);
  while (worker.pool->claimAndRun(worker, seen, worker.number));
  return nullptr;
}

bool ThreadPool::hasRange(int32_t tasks, uint32_t worker) const {
  return begin(tasks, worker, workerCount) < begin(tasks, worker + 1, workerCount);
}

void ThreadPool::run(int32_t tasks, Range range, void *context) {
  if (tasks <= 0)
    return;
  if (workerCount == 1 || tasks == 1) {
    range(context, 0, 0, tasks);
    return;
  }
  rangeFunction = range;
  rangeContext = context;
  taskCount = tasks;
  const uint32_t participants = uint32_t(tasks) < workerCount ? uint32_t(tasks) : workerCount;
  pending.store(participants - 1);
  for (uint32_t i = 0; i + 1 < workerCount; ++i)
    if (hasRange(tasks, i + 1))
      others[i].sequence.store(others[i].sequence.load() + 1);
  range(context, 0, 0, begin(tasks, 1, workerCount));
  for (uint32_t i = 0; i + 1 < workerCount; ++i)
    if (hasRange(tasks, i + 1))
      claimAndRun(others[i], others[i].sequence.load(), 0);
  for (uint32_t left = pending.load(); left != 0;)
    left = pending.waitWhile(left, spinNanoseconds);
}

uint32_t ThreadPool::availableCpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0)
    return uint32_t(CPU_COUNT(&set));
#endif
  const long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? uint32_t(count) : 1;
}
