// Every task runs once, in pieces of fixed ranges that whoever is done takes from others; parked
// and spinning workers alike.
#include "runtime/device/ThreadPool.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <memory>
#include <mutex>
#include <sched.h>
#include <string>
#include <thread>
#include <vector>

using namespace tern;
using namespace tern::runtime;

namespace {
struct Counts {
  struct Range {
    uint32_t runner;
    int32_t first, last;
  };
  explicit Counts(int32_t tasks) : runs(new std::atomic<int>[size_t(tasks)]()) {}
  std::unique_ptr<std::atomic<int>[]> runs;
  std::mutex mutex;
  std::vector<Range> ranges;

  static void count(void *self, uint32_t worker, int32_t first, int32_t last) {
    Counts &counts = *static_cast<Counts *>(self);
    for (int32_t task = first; task < last; ++task)
      ++counts.runs[size_t(task)];
    const std::lock_guard lock(counts.mutex);
    counts.ranges.push_back({worker, first, last});
  }
};
} // namespace

TEST(ThreadPool, RunsEachTaskOnceInPiecesOfFixedRanges) {
  for (uint32_t workers : {1u, 2u, 3u, 4u, 9u}) {
    ThreadPool pool;
    ASSERT_TRUE(pool.start({}, workers).isOk());
    for (int32_t tasks : {0, 1, 2, 3, 7, 8, 64, 1000}) {
      Counts counts(tasks ? tasks : 1);
      pool.run(tasks, Counts::count, &counts);
      for (int32_t task = 0; task < tasks; ++task)
        EXPECT_EQ(counts.runs[size_t(task)].load(), 1) << workers << " " << tasks << " " << task;
      if (tasks == 0 || tasks == 1 || workers == 1) {
        EXPECT_EQ(counts.ranges.size(), tasks ? 1u : 0u) << "no forks where nothing is parallel";
        continue;
      }
      std::vector<int> piecesOf(workers);
      for (const Counts::Range &range : counts.ranges) {
        uint32_t owner = 0;
        while (ThreadPool::begin(tasks, owner + 1, workers) <= range.first)
          ++owner;
        EXPECT_LE(range.last, ThreadPool::begin(tasks, owner + 1, workers));
        EXPECT_LT(range.first, range.last);
        EXPECT_LT(range.runner, workers);
        ++piecesOf[owner];
      }
      for (uint32_t i = 0; i < workers; ++i)
        EXPECT_EQ(piecesOf[i], std::min(ThreadPool::begin(tasks, i + 1, workers) -
                                            ThreadPool::begin(tasks, i, workers),
                                        int32_t(ThreadPool::piecesPerRange)));
      EXPECT_EQ(ThreadPool::begin(tasks, workers, workers), tasks);
    }
  }
}

TEST(ThreadPool, WhoIsDoneTakesWhatIsLeft) {
  // A task that waits for all others: where ranges are run by their own workers alone, for ever.
  constexpr int32_t pieces = 2 * int32_t(ThreadPool::piecesPerRange);
  for (int32_t slow : {0, pieces / 2}) { // the first task of the caller, of the other worker
    ThreadPool pool;
    ASSERT_TRUE(pool.start({}, 2).isOk());
    struct State {
      int32_t slow;
      std::atomic<int> done{0};
    } state{slow};
    pool.run(
        pieces,
        [](void *context, uint32_t, int32_t first, int32_t last) {
          State &state = *static_cast<State *>(context);
          EXPECT_EQ(last - first, 1);
          if (first == state.slow)
            while (state.done.load() < pieces - 1)
              std::this_thread::yield();
          ++state.done;
        },
        &state);
    EXPECT_EQ(state.done.load(), pieces);
  }
}

TEST(ThreadPool, SurvivesManyShortLoops) {
  ThreadPool pool;
  ASSERT_TRUE(pool.start({}, 3).isOk());
  std::atomic<int64_t> sum{0};
  const auto add = [](void *context, uint32_t, int32_t first, int32_t last) {
    for (int32_t i = first; i < last; ++i)
      static_cast<std::atomic<int64_t> *>(context)->fetch_add(i, std::memory_order_relaxed);
  };
  int64_t expected = 0;
  for (int32_t round = 0; round < 3000; ++round) {
    const int32_t tasks = round % 11;
    pool.run(tasks, add, &sum);
    expected += int64_t(tasks) * (tasks - 1) / 2;
  }
  EXPECT_EQ(sum.load(), expected);
}

#if defined(__linux__)
/// Number of this process's threads, other than the caller, that the kernel lists as sleeping.
static int sleepingThreads() {
  int sleeping = 0;
  for (const auto &entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(entry.path() / "stat");
    std::string line;
    std::getline(file, line);
    const size_t name = line.rfind(')');
    sleeping += name != std::string::npos && line.substr(name, 3) == ") S";
  }
  return sleeping;
}

namespace {
/// Keeps the calling thread, and the threads it starts, on one CPU.
class OneCpu {
public:
  OneCpu() {
    sched_getaffinity(0, sizeof(before), &before);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
      if (CPU_ISSET(cpu, &before))
        CPU_SET(cpu, &one);
    pinned = sched_setaffinity(0, sizeof(one), &one) == 0;
  }
  ~OneCpu() { sched_setaffinity(0, sizeof(before), &before); }
  bool pinned;

private:
  cpu_set_t before;
};
} // namespace

TEST(ThreadPool, TheCallerRunsRangesThatNobodyHasBegun) {
  // Where all threads share a CPU and the caller uses it, no worker can begin: within one time
  // slice of the caller, each of these loops is run by it alone. A pool whose ranges only their own
  // workers can take never gets there.
  const OneCpu oneCpu;
  ASSERT_TRUE(oneCpu.pinned);
  ThreadPool pool;
  constexpr int32_t workers = 3;
  ASSERT_TRUE(pool.start({}, workers).isOk());
  bool allByCaller = false;
  for (int round = 0; round < 20000 && !allByCaller; ++round) {
    Counts counts(workers);
    pool.run(workers, Counts::count, &counts);
    for (int32_t task = 0; task < workers; ++task)
      ASSERT_EQ(counts.runs[size_t(task)].load(), 1) << "once, whoever ran it";
    ASSERT_EQ(counts.ranges.size(), size_t(workers));
    allByCaller = std::all_of(counts.ranges.begin(), counts.ranges.end(),
                              [](const Counts::Range &range) { return range.runner == 0; });
  }
  EXPECT_TRUE(allByCaller);
}

TEST(ThreadPool, ParksWhenIdleAndWakesAgain) {
  ThreadPool pool;
  ASSERT_TRUE(pool.start({}, 3).isOk());
  for (int round = 0; round < 3; ++round) {
    Counts counts(64);
    pool.run(64, Counts::count, &counts);
    for (int task = 0; task < 64; ++task)
      EXPECT_EQ(counts.runs[size_t(task)].load(), 1);
    while (sleepingThreads() < 2) // a worker that spins for ever fails by the test's time limit
      std::this_thread::yield();
  }
}
#endif

TEST(ThreadPool, RefusesImpossibleCounts) {
  ThreadPool none, many;
  EXPECT_EQ(none.start({}, 0).code(), StatusCode::invalidArgument);
  EXPECT_EQ(many.start({}, ThreadPool::maxWorkers + 1).code(), StatusCode::invalidArgument);
}
