// The read bandwidth of this machine for bytes that lie as a model's weights do.
//
//   bandwidth FILE map|copy THREADS    (ModelBytes.h)
//
// Each thread sums a part of its own in one pass; printed is the best of five rounds, in bytes per
// second.
#include "ModelBytes.h"
#include <chrono>
#include <thread>
#include <vector>

int main(int argc, char **argv) {
  if (argc != 4)
    return 2;
  const ModelBytes bytes = openModelBytes(argv[1], argv[2]);
  if (!bytes.data)
    return 1;
  const size_t threads = size_t(std::atoi(argv[3]));
  std::vector<long long> sums(threads);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> pool;
    auto sumPart = [&](size_t t) {
      sums[t] = sumOf(bytes.begin(t, threads), bytes.begin(t + 1, threads));
    };
    for (size_t t = 1; t < threads; ++t)
      pool.emplace_back(sumPart, t);
    sumPart(0);
    for (std::thread &thread : pool)
      thread.join();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    if (double(bytes.size) / time.count() > best)
      best = double(bytes.size) / time.count();
  }
  std::printf("%.0f\n", best);
  long long total = 0;
  for (const long long sum : sums)
    total += sum;
  volatile long long used = total; // so that they are computed
  (void)used;
  return 0;
}
