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

void WaitWord::countDown(uint32_t count) {
  if (word.fetch_sub(count, std::memory_order_seq_cst) == count)
    wake();
}

static uint32_t piecesIn(int32_t tasks) {
  return uint32_t(tasks) < ThreadPool::piecesPerRange ? uint32_t(tasks)
                                                      : ThreadPool::piecesPerRange;
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
  stopping.store(true, std::memory_order_relaxed);
  for (uint32_t i = 0; i < startedThreads; ++i)
    others[i].loop.store(others[i].loop.load() + 1);
  for (uint32_t i = 0; i < startedThreads; ++i)
    pthread_join(others[i].thread, nullptr);
  startedThreads = 0;
}

/// Takes and runs pieces of the range of `owner` while there are any; returns how many. The loop's
/// record is stable for whoever has taken a piece of it: the caller waits for all of them.
uint32_t ThreadPool::runPieces(uint32_t loop, uint32_t owner, uint32_t runner) {
  std::atomic<uint64_t> &left = piecesOf(owner).left;
  uint32_t taken = 0;
  for (uint64_t seen = left.load(std::memory_order_acquire);
       seen >> 32 == loop && uint32_t(seen) != 0;) {
    if (!left.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel))
      continue;
    const int32_t first = begin(taskCount, owner, workerCount), tasks = tasksOf(owner);
    const uint32_t pieces = piecesIn(tasks), piece = pieces - uint32_t(seen);
    rangeFunction(rangeContext, runner, first + begin(tasks, piece, pieces),
                  first + begin(tasks, piece + 1, pieces));
    ++taken;
    --seen;
  }
  return taken;
}

/// The runner's own pieces, then what is left of the others'.
void ThreadPool::runLoop(uint32_t loop, uint32_t runner) {
  for (uint32_t i = 0; i < workerCount; ++i)
    if (const uint32_t taken = runPieces(loop, (runner + i) % workerCount, runner))
      pending.countDown(taken); // before looking on: others may wait for these alone
}

void *ThreadPool::threadMain(void *argument) {
  Worker &worker = *static_cast<Worker *>(argument);
  if (worker.pool->pinned)
    worker.pinError = pinThread(worker.cpu);
  worker.pool->pending.countDown(1);
  uint32_t loop = 0;
  while (loop = worker.loop.waitWhile(loop, spinNanoseconds),
         !worker.pool->stopping.load(std::memory_order_relaxed))
    worker.pool->runLoop(loop, worker.number);
  return nullptr;
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
  const uint32_t loop = ++loopNumber;
  uint32_t total = 0;
  for (uint32_t i = 0; i < workerCount; ++i) {
    const uint32_t pieces = piecesIn(tasksOf(i));
    total += pieces;
    piecesOf(i).left.store(uint64_t(loop) << 32 | pieces, std::memory_order_release);
  }
  pending.store(total);
  // Nobody knows the loop's number before all of that is there: who is called takes from all.
  for (uint32_t i = 1; i < workerCount; ++i)
    if (tasksOf(i) > 0)
      others[i - 1].loop.store(loop);
  runLoop(loop, 0);
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
