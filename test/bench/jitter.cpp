// How evenly this machine does a fixed piece of work: what of a token's jitter is not the
// program's.
//
//   jitter FILE map|copy THREADS STEPS MILLISECONDS
//
// Each thread repeats a step that neither allocates, calls the system nor waits for another thread:
// first arithmetic in registers that takes MILLISECONDS where nothing disturbs it, then one read of
// the thread's part of the bytes (ModelBytes.h). Printed is JSON: how long a trial of so many
// products took and how many a step therefore has, and of all threads' steps the median, the 99th
// of 100 and the maximum, in milliseconds. A step's time can be longer than its shortest by no more
// than what other programs, other machines on the same host or the clock took from it.
#include "ModelBytes.h"
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <limits>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double millisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// One chain of dependent multiplications: its time depends on the clock of the core alone. Not
/// inlined, and no more is known of x, so that the trial and the steps run the same code.
__attribute__((noinline)) uint64_t chain(uint64_t steps) {
  uint64_t x = 1;
  for (uint64_t i = 0; i < steps; ++i) {
    asm volatile("" : "+r"(x));
    x = x * 6364136223846793005u + 1442695040888963407u;
  }
  return x;
}

volatile uint64_t used; ///< takes results, so that they are computed

constexpr uint64_t trialSteps = 1 << 20;

/// Milliseconds of a trial undisturbed: the shortest, after long enough for the core's clock to
/// rise.
double shortestTrial() {
  constexpr double warming = 300;
  double shortest = std::numeric_limits<double>::infinity();
  for (const Clock::time_point begin = Clock::now(); millisecondsSince(begin) < warming;) {
    const Clock::time_point start = Clock::now();
    used = chain(trialSteps);
    shortest = std::min(shortest, millisecondsSince(start));
  }
  return shortest;
}

/// The times of all steps of all threads, sorted.
template <typename Step> std::vector<double> timesOf(size_t threads, size_t steps, Step step) {
  std::vector<std::vector<double>> times(threads, std::vector<double>(steps));
  auto run = [&](size_t thread) {
    used = step(thread); // pages and caches as the later steps find them
    for (double &time : times[thread]) {
      const Clock::time_point start = Clock::now();
      used = step(thread);
      time = millisecondsSince(start);
    }
  };
  std::vector<std::thread> pool;
  for (size_t thread = 1; thread < threads; ++thread)
    pool.emplace_back(run, thread);
  run(0);
  for (std::thread &thread : pool)
    thread.join();
  std::vector<double> all;
  for (const std::vector<double> &some : times)
    all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  return all;
}

void print(const char *name, const std::vector<double> &sorted, const char *end) {
  auto at = [&](double share) { return sorted[size_t(share * double(sorted.size() - 1) + 0.5)]; };
  std::printf("\"%s\": {\"p50\": %.6f, \"p99\": %.6f, \"max\": %.6f}%s", name, at(0.5), at(0.99),
              sorted.back(), end);
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 6)
    return 2;
  const size_t threads = size_t(std::atoi(argv[3])), steps = size_t(std::atoi(argv[4]));
  const double milliseconds = std::atof(argv[5]);
  if (threads == 0 || steps == 0 || !(milliseconds > 0)) {
    std::fprintf(stderr, "jitter: threads, steps and milliseconds must be positive\n");
    return 2;
  }
  const ModelBytes bytes = openModelBytes(argv[1], argv[2]);
  if (!bytes.data)
    return 1;
  const double trial = shortestTrial();
  const uint64_t length = uint64_t(double(trialSteps) * milliseconds / trial);
  std::printf("{\"trial\": {\"products\": %" PRIu64
              ", \"milliseconds\": %.9f}, \"products\": %" PRIu64 ", ",
              trialSteps, trial, length);
  print("compute", timesOf(threads, steps, [&](size_t) { return chain(length); }), ", ");
  print("read",
        timesOf(threads, steps,
                [&](size_t thread) {
                  return uint64_t(
                      sumOf(bytes.begin(thread, threads), bytes.begin(thread + 1, threads)));
                }),
        "}\n");
  return 0;
}
