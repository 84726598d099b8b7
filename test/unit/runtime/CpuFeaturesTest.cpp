// CPU feature detection against what the compiler's own run-time check says.
#include "runtime/core/CpuFeatures.h"

#include <gtest/gtest.h>

using tern::CpuFeatures;

TEST(CpuFeatures, DoesNotHaveUnknownFeatures) {
  const CpuFeatures cpu = CpuFeatures::detect();
  EXPECT_FALSE(cpu.has("avx9"));
  EXPECT_FALSE(cpu.has(""));
  EXPECT_FALSE(cpu.has("AVX2"));
}

#if defined(__x86_64__)
TEST(CpuFeatures, AgreesWithTheCompilerRuntime) {
  const CpuFeatures cpu = CpuFeatures::detect();
  EXPECT_TRUE(cpu.has("sse2"));
  EXPECT_TRUE(cpu.has("64bit"));
#define EXPECT_AGREES(feature) EXPECT_EQ(cpu.has(feature), bool(__builtin_cpu_supports(feature)))
  EXPECT_AGREES("sse4.2");
  EXPECT_AGREES("popcnt");
  EXPECT_AGREES("avx");
  EXPECT_AGREES("avx2");
  EXPECT_AGREES("fma");
  EXPECT_AGREES("bmi");
  EXPECT_AGREES("bmi2");
  EXPECT_AGREES("avx512f");
  EXPECT_AGREES("avx512bw");
  EXPECT_AGREES("avx512vl");
  EXPECT_AGREES("avx512dq");
  EXPECT_AGREES("avx512cd");
  EXPECT_AGREES("avx512vnni");
  EXPECT_AGREES("avx512vbmi");
#undef EXPECT_AGREES
}
#endif
