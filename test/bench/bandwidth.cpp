// The read bandwidth of this machine for bytes that lie as a model's weights do.
//
//   bandwidth FILE map THREADS     the pages of the file, where they are mapped
//   bandwidth FILE copy THREADS    the same number of bytes in private memory of 2 MB pages
//
// Each thread sums a part of its own in one pass; printed is the best of five rounds, in bytes per
// second.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <immintrin.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

long long sumOf(const char *begin, const char *end) {
  __m256i sum[8] = {};
  for (const char *at = begin; at + 256 <= end; at += 256)
    for (int i = 0; i < 8; ++i)
      sum[i] = _mm256_add_epi64(sum[i],
                                _mm256_loadu_si256(reinterpret_cast<const __m256i *>(at + 32 * i)));
  for (int i = 1; i < 8; ++i)
    sum[0] = _mm256_add_epi64(sum[0], sum[i]);
  return _mm256_extract_epi64(sum[0], 0);
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 4)
    return 2;
  const int file = open(argv[1], O_RDONLY);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) {
    std::perror(argv[1]);
    return 1;
  }
  const size_t size = size_t(info.st_size), threads = size_t(std::atoi(argv[3]));
  const bool copy = std::strcmp(argv[2], "copy") == 0;
  constexpr size_t hugePage = size_t(2) << 20;
  char *data;
  if (copy) {
    data =
        static_cast<char *>(std::aligned_alloc(hugePage, (size + hugePage) / hugePage * hugePage));
    madvise(data, size, MADV_HUGEPAGE);
    for (size_t i = 0; i < size; i += 64)
      data[i] = char(i >> 6);
  } else {
    data = static_cast<char *>(mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0));
    if (data == MAP_FAILED)
      return 1;
  }
  std::vector<long long> sums(threads);
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> pool;
    for (size_t t = 1; t < threads; ++t)
      pool.emplace_back(
          [&, t] { sums[t] = sumOf(data + size / threads * t, data + size / threads * (t + 1)); });
    sums[0] = sumOf(data, data + size / threads);
    for (std::thread &thread : pool)
      thread.join();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    if (double(size) / time.count() > best)
      best = double(size) / time.count();
  }
  std::printf("%.0f\n", best);
  long long total = 0;
  for (const long long sum : sums)
    total += sum;
  volatile long long used = total; // so that they are computed
  (void)used;
  return 0;
}
