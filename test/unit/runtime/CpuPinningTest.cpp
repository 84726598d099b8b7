// Which CPUs threads get, and that they run there and nowhere else.
#include "runtime/device/CpuPinning.h"

#include "runtime/device/ThreadPool.h"

#include <gtest/gtest.h>

#if defined(__linux__)

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <set>
#include <string>
#include <unistd.h>
#include <vector>

using namespace tern;
using namespace tern::runtime;

static cpu_set_t maskOf(std::initializer_list<int> cpus) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int cpu : cpus)
    CPU_SET(cpu, &mask);
  return mask;
}

static cpu_set_t currentMask() {
  cpu_set_t mask;
  EXPECT_EQ(sched_getaffinity(0, sizeof(mask), &mask), 0);
  return mask;
}

namespace {
/// A folder as /sys/devices/system/cpu that tells the siblings of some CPUs.
class Topology {
public:
  Topology() {
    std::string pattern = testing::TempDir() + "topologyXXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    root = pattern;
  }
  ~Topology() { std::filesystem::remove_all(root); }

  void setSiblings(int cpu, const std::string &list) {
    const std::filesystem::path folder = root / ("cpu" + std::to_string(cpu)) / "topology";
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "thread_siblings_list") << list;
  }

  std::vector<uint32_t> choose(const cpu_set_t &allowed, uint32_t count) const {
    std::vector<uint32_t> cpus(count, ~0u);
    const Status status = chooseCpus(allowed, root.c_str(), count, cpus.data());
    EXPECT_TRUE(status.isOk()) << status.message();
    return cpus;
  }

private:
  std::filesystem::path root;
};
using Cpus = std::vector<uint32_t>;
} // namespace

TEST(CpuPinning, OneCpuOfEachCoreComesFirst) {
  Topology neighbours, halves;
  for (int cpu = 0; cpu < 8; ++cpu) {
    const int first = cpu & ~1, low = cpu % 4;
    neighbours.setSiblings(cpu, std::to_string(first) + "-" + std::to_string(first + 1) + "\n");
    halves.setSiblings(cpu, std::to_string(low) + "," + std::to_string(low + 4) + "\n");
  }
  const cpu_set_t all = maskOf({0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(neighbours.choose(all, 6), (Cpus{0, 2, 4, 6, 1, 3}));
  EXPECT_EQ(halves.choose(all, 8), (Cpus{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(neighbours.choose(all, 1), Cpus{0});
}

TEST(CpuPinning, CpusOutsideOfTheMaskAreNeitherChosenNorCounted) {
  Topology neighbours;
  for (int cpu = 0; cpu < 8; ++cpu)
    neighbours.setSiblings(cpu, std::to_string(cpu & ~1) + "-" + std::to_string(cpu | 1));
  // CPU 3 is its core's first where CPU 2 is not allowed.
  EXPECT_EQ(neighbours.choose(maskOf({3, 4, 5, 7}), 4), (Cpus{3, 4, 7, 5}));
}

TEST(CpuPinning, ACoreCanHaveMoreThanTwoCpus) {
  Topology quads;
  for (int cpu = 0; cpu < 8; ++cpu)
    quads.setSiblings(cpu, cpu < 4 ? "0-1,2-3" : "4-7");
  EXPECT_EQ(quads.choose(maskOf({0, 1, 2, 3, 4, 5, 6, 7}), 8), (Cpus{0, 4, 1, 5, 2, 6, 3, 7}));
}

TEST(CpuPinning, CpusWithoutATopologyAreCoresOfTheirOwn) {
  Topology none, damaged;
  damaged.setSiblings(1, "0-");
  damaged.setSiblings(2, "x");
  damaged.setSiblings(3, "");
  damaged.setSiblings(4, "99999999999999999999-99999999999999999999");
  for (const Topology *topology : {&none, &damaged})
    EXPECT_EQ(topology->choose(maskOf({1, 2, 3, 4}), 4), (Cpus{1, 2, 3, 4}));
}

TEST(CpuPinning, MoreThreadsThanCpusAreRefused) {
  uint32_t cpus[3];
  const Status status = chooseCpus(maskOf({0, 5}), "/nonexistent", 3, cpus);
  EXPECT_EQ(status.code(), StatusCode::invalidArgument);
  EXPECT_NE(std::string(status.message()).find("3 threads"), std::string::npos);
}

TEST(CpuPinning, TheThreadGetsItsCpusBack) {
  const cpu_set_t before = currentMask();
  uint32_t cpu;
  ASSERT_TRUE(chooseCpus(1, &cpu).isOk());
  {
    ScopedPin pin;
    ASSERT_TRUE(pin.pin(cpu).isOk());
    const cpu_set_t inside = currentMask(), expected = maskOf({int(cpu)});
    EXPECT_TRUE(CPU_EQUAL(&inside, &expected));
  }
  const cpu_set_t after = currentMask();
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(CpuPinning, ACpuThatDoesNotExistIsAnError) {
  const cpu_set_t before = currentMask();
  {
    ScopedPin pin;
    EXPECT_EQ(pin.pin(CPU_SETSIZE - 1).code(), StatusCode::invalidArgument);
  }
  const cpu_set_t after = currentMask();
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

/// The affinity masks of this process's threads other than the caller.
static std::vector<cpu_set_t> masksOfOtherThreads() {
  std::vector<cpu_set_t> masks;
  for (const auto &entry : std::filesystem::directory_iterator("/proc/self/task")) {
    const pid_t thread = std::stoi(entry.path().filename());
    cpu_set_t mask;
    if (thread != gettid() && sched_getaffinity(thread, sizeof(mask), &mask) == 0)
      masks.push_back(mask);
  }
  return masks;
}

static int onlyCpu(const cpu_set_t &mask) {
  int cpu = 0;
  while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &mask))
    ++cpu;
  return CPU_COUNT(&mask) == 1 ? cpu : -1;
}

TEST(ThreadPool, PinnedWorkersHaveACpuEach) {
  const uint32_t workers = ThreadPool::availableCpus();
  ThreadPool pool;
  ASSERT_TRUE(pool.start({}, workers, /*pin=*/true).isOk());
  std::set<int> cpus;
  for (const cpu_set_t &mask : masksOfOtherThreads())
    cpus.insert(onlyCpu(mask));
  EXPECT_EQ(cpus.count(-1), 0u);
  EXPECT_EQ(cpus.size(), workers - 1);
  {
    ScopedPin pin;
    ASSERT_TRUE(pool.pinCaller(pin).isOk());
    EXPECT_TRUE(cpus.insert(onlyCpu(currentMask())).second) << "the caller has a CPU of its own";
  }
  const cpu_set_t after = currentMask();
  EXPECT_EQ(uint32_t(CPU_COUNT(&after)), workers);
}

TEST(ThreadPool, PinsNobodyUnlessAsked) {
  const cpu_set_t before = currentMask();
  ThreadPool pool;
  ASSERT_TRUE(pool.start({}, 3).isOk());
  ScopedPin pin;
  ASSERT_TRUE(pool.pinCaller(pin).isOk());
  const cpu_set_t after = currentMask();
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
  for (const cpu_set_t &mask : masksOfOtherThreads())
    EXPECT_TRUE(CPU_EQUAL(&before, &mask));
}

TEST(ThreadPool, RefusesToPinMoreWorkersThanCpus) {
  ThreadPool pool;
  EXPECT_EQ(pool.start({}, ThreadPool::availableCpus() + 1, /*pin=*/true).code(),
            StatusCode::invalidArgument);
}

#endif
