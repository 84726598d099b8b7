// What the kernel benchmarks measure with.
#ifndef TERN_TEST_BENCH_TIMING_H
#define TERN_TEST_BENCH_TIMING_H

#include <algorithm>
#include <ctime>
#include <vector>

namespace tern {

/// Of this thread's processor time: other processes' turns do not count.
template <typename Body> double seconds(Body body) {
  auto now = [] {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
  };
  double start = now();
  body();
  return now() - start;
}

inline double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + long(values.size() / 2), values.end());
  return values[values.size() / 2];
}

} // namespace tern
#endif
