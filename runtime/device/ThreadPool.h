// Workers for the plan's parallel loops: fork, fixed contiguous ranges, join.
//
// A pool belongs to one session; there is no global one. The calling thread is worker 0. A worker
// waits for its next range by spinning for a bounded time and parks after it, so a decoding step
// costs no system call per loop while an idle session costs no CPU. The ranges depend only on the
// task count and the number of workers. Each is cut into a few pieces, which its worker takes in
// order; who has finished his own takes what is left of the others'. A worker that has not begun a
// piece, because it sleeps or a loaded machine has no CPU for it, delays nobody; a slow one delays
// a loop by the piece that it has begun.
#ifndef TERN_RUNTIME_DEVICE_THREADPOOL_H
#define TERN_RUNTIME_DEVICE_THREADPOOL_H

#include "runtime/core/Memory.h"
#include "runtime/device/CpuPinning.h"

#include <atomic>
#include <cstdint>
#include <pthread.h>

namespace tern::runtime {

/// A 32-bit word that threads can wait on.
class WaitWord {
public:
  /// Waits until the word differs from `old`: spins for at most `spinNanoseconds`, then sleeps.
  /// Returns the new value.
  uint32_t waitWhile(uint32_t old, uint64_t spinNanoseconds);
  /// Changes the word and wakes its waiter, if it sleeps. What was written before is visible to it.
  void store(uint32_t value);
  uint32_t load() const { return word.load(std::memory_order_acquire); }
  /// Subtracts `count`; wakes the waiter when the word becomes 0.
  void countDown(uint32_t count);

private:
  void wake();

  std::atomic<uint32_t> word{0};
  std::atomic<uint32_t> sleepers{0};
#if !defined(__linux__)
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
#endif
};

class ThreadPool {
public:
  /// Runs tasks [first, last) on worker number `worker`, which tells whose scratch memory to use.
  using Range = void (*)(void *context, uint32_t worker, int32_t first, int32_t last);

  /// Longest time a worker spins before it parks. Forks follow each other within microseconds
  /// inside a forward call; sampling a token in between takes up to about this long.
  static constexpr uint64_t spinNanoseconds = 100000;
  static constexpr uint32_t maxWorkers = 1024;

  ThreadPool() = default;
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;
  ~ThreadPool() { stop(); }

  /// Pieces of a worker's range, where it has so many tasks.
  static constexpr uint32_t piecesPerRange = 4;

  /// Starts workers - 1 threads. With `pin` each worker has a CPU of its own among those the
  /// calling thread may run on; fails if there are not so many. Called once.
  Status start(const Allocator &allocator, uint32_t workers, bool pin = false);
  /// Where workers are pinned, pins the calling thread to worker 0's CPU as long as `pin` lives.
  /// For the thread that is about to call run().
  Status pinCaller(ScopedPin &pin) const { return pinned ? pin.pin(callerCpu) : Status(); }
  uint32_t workers() const { return workerCount; }
  /// Bytes that start() takes, the threads' stacks aside.
  static uint64_t bytes(uint32_t workers) { return (uint64_t(workers) - 1) * sizeof(Worker); }

  /// Runs tasks [0, tasks) and returns when all are done. One call at a time. Allocates nothing.
  void run(int32_t tasks, Range range, void *context);

  /// First task of `worker`; the last worker's range ends at begin(workers). Rounded up, so that
  /// the calling thread has a task whenever anyone has.
  static int32_t begin(int32_t tasks, uint32_t worker, uint32_t workers) {
    return int32_t((int64_t(tasks) * worker + workers - 1) / workers);
  }

  /// The CPUs this process may run on.
  static uint32_t availableCpus();

private:
  /// The number of a loop, and in the lower half how many pieces of a range nobody has taken yet.
  struct alignas(64) Pieces {
    std::atomic<uint64_t> left{0};
  };
  struct alignas(64) Worker { // a cache line each
    WaitWord loop;            ///< the number of the last loop that it was called for
    Pieces pieces;
    pthread_t thread;
    ThreadPool *pool;
    uint32_t number;
    uint32_t cpu;
    int pinError; ///< of pinning the thread to `cpu`; known once it has started
  };
  static void *threadMain(void *worker);
  Pieces &piecesOf(uint32_t worker) { return worker ? others[worker - 1].pieces : callerPieces; }
  /// Tasks of a worker's range of the loop under way.
  int32_t tasksOf(uint32_t worker) const {
    return begin(taskCount, worker + 1, workerCount) - begin(taskCount, worker, workerCount);
  }
  uint32_t runPieces(uint32_t loop, uint32_t owner, uint32_t runner);
  void runLoop(uint32_t loop, uint32_t runner);
  Status assignCpus();
  void stop();

  Block workerMemory;
  Worker *others = nullptr; ///< workers 1 ..
  uint32_t startedThreads = 0;
  uint32_t workerCount = 1;
  uint32_t callerCpu = 0;
  bool pinned = false; ///< each worker to a CPU

  // The loop under way; written by run() before it gives out pieces.
  Range rangeFunction = nullptr;
  void *rangeContext = nullptr;
  int32_t taskCount = 0;
  uint32_t loopNumber = 0;
  std::atomic<bool> stopping{false};
  Pieces callerPieces;
  alignas(64) WaitWord pending; ///< pieces that are not finished
};

} // namespace tern::runtime

#endif
