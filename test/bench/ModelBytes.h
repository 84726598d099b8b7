// A model's bytes as its weights lie in memory, and the plainest read of them: what bandwidth.cpp
// and jitter.cpp measure.
#ifndef TERN_TEST_BENCH_MODELBYTES_H
#define TERN_TEST_BENCH_MODELBYTES_H

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <immintrin.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct ModelBytes {
  const char *data = nullptr; ///< null after an error, which is printed
  size_t size = 0;

  /// The part of one of several threads.
  const char *begin(size_t thread, size_t threads) const { return data + size / threads * thread; }
};

/// `mode` is "map": the pages of the file, where they are mapped; or "copy": as many bytes in
/// private memory of 2 MB pages.
inline ModelBytes openModelBytes(const char *path, const char *mode) {
  const int file = open(path, O_RDONLY);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) {
    std::perror(path);
    return {};
  }
  const size_t size = size_t(info.st_size);
  if (std::strcmp(mode, "copy") != 0) {
    void *data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
    if (data == MAP_FAILED) {
      std::perror(path);
      return {};
    }
    return {static_cast<const char *>(data), size};
  }
  constexpr size_t hugePage = size_t(2) << 20;
  char *data =
      static_cast<char *>(std::aligned_alloc(hugePage, (size + hugePage) / hugePage * hugePage));
  if (!data) {
    std::perror("aligned_alloc");
    return {};
  }
  madvise(data, size, MADV_HUGEPAGE);
  for (size_t i = 0; i < size; i += 64)
    data[i] = char(i >> 6);
  return {data, size};
}

inline long long sumOf(const char *begin, const char *end) {
  __m256i sum[8] = {};
  for (const char *at = begin; at + 256 <= end; at += 256)
    for (int i = 0; i < 8; ++i)
      sum[i] = _mm256_add_epi64(sum[i],
                                _mm256_loadu_si256(reinterpret_cast<const __m256i *>(at + 32 * i)));
  for (int i = 1; i < 8; ++i)
    sum[0] = _mm256_add_epi64(sum[0], sum[i]);
  return _mm256_extract_epi64(sum[0], 0);
}

#endif
