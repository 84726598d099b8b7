// CPUID leaves and XGETBV on x86-64; the hardware capability words on AArch64 Linux.
#include "runtime/core/CpuFeatures.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

using namespace tern;

#if defined(__x86_64__)

namespace {
enum Register : uint8_t { eax, ebx, ecx, edx };
enum Leaf : uint8_t { leaf1, leaf7, leaf7Sub1, leafExtended1, leafCount };
/// Register state the system must save on a context switch, as XCR0 bits.
enum SystemState : uint8_t { plain = 0, avxState = 0x06, avx512State = 0xE6 };

struct Feature {
  std::string_view name;
  Leaf leaf;
  Register reg;
  uint8_t bit;
  SystemState state;
};
} // namespace

static constexpr Feature features[] = {
    {"x87", leaf1, edx, 0, plain},
    {"cx8", leaf1, edx, 8, plain},
    {"cmov", leaf1, edx, 15, plain},
    {"mmx", leaf1, edx, 23, plain},
    {"fxsr", leaf1, edx, 24, plain},
    {"sse", leaf1, edx, 25, plain},
    {"sse2", leaf1, edx, 26, plain},
    {"sse3", leaf1, ecx, 0, plain},
    {"pclmul", leaf1, ecx, 1, plain},
    {"ssse3", leaf1, ecx, 9, plain},
    {"fma", leaf1, ecx, 12, avxState},
    {"cx16", leaf1, ecx, 13, plain},
    {"sse4.1", leaf1, ecx, 19, plain},
    {"sse4.2", leaf1, ecx, 20, plain},
    {"crc32", leaf1, ecx, 20, plain},
    {"movbe", leaf1, ecx, 22, plain},
    {"popcnt", leaf1, ecx, 23, plain},
    {"aes", leaf1, ecx, 25, plain},
    {"xsave", leaf1, ecx, 27, plain},
    {"avx", leaf1, ecx, 28, avxState},
    {"f16c", leaf1, ecx, 29, avxState},
    {"sahf", leafExtended1, ecx, 0, plain},
    {"lzcnt", leafExtended1, ecx, 5, plain},
    {"prfchw", leafExtended1, ecx, 8, plain},
    {"64bit", leafExtended1, edx, 29, plain},
    {"bmi", leaf7, ebx, 3, plain},
    {"avx2", leaf7, ebx, 5, avxState},
    {"bmi2", leaf7, ebx, 8, plain},
    {"avx512f", leaf7, ebx, 16, avx512State},
    {"evex512", leaf7, ebx, 16, avx512State},
    {"avx512dq", leaf7, ebx, 17, avx512State},
    {"adx", leaf7, ebx, 19, plain},
    {"avx512ifma", leaf7, ebx, 21, avx512State},
    {"avx512cd", leaf7, ebx, 28, avx512State},
    {"sha", leaf7, ebx, 29, plain},
    {"avx512bw", leaf7, ebx, 30, avx512State},
    {"avx512vl", leaf7, ebx, 31, avx512State},
    {"avx512vbmi", leaf7, ecx, 1, avx512State},
    {"avx512vbmi2", leaf7, ecx, 6, avx512State},
    {"gfni", leaf7, ecx, 8, plain},
    {"vaes", leaf7, ecx, 9, avxState},
    {"vpclmulqdq", leaf7, ecx, 10, avxState},
    {"avx512vnni", leaf7, ecx, 11, avx512State},
    {"avx512bitalg", leaf7, ecx, 12, avx512State},
    {"avx512vpopcntdq", leaf7, ecx, 14, avx512State},
    {"avx512fp16", leaf7, edx, 23, avx512State},
    {"avxvnni", leaf7Sub1, eax, 4, avxState},
    {"avx512bf16", leaf7Sub1, eax, 5, avx512State},
    {"avxifma", leaf7Sub1, eax, 23, avxState},
    {"avxvnniint8", leaf7Sub1, edx, 4, avxState},
};
static_assert(sizeof(features) / sizeof(features[0]) <= 64, "CpuFeatures::present has 64 bits");

std::string_view tern::hostArchitecture() { return "x86_64"; }

CpuFeatures CpuFeatures::detect() {
  unsigned leaves[leafCount][4] = {};
  __get_cpuid(1, &leaves[leaf1][0], &leaves[leaf1][1], &leaves[leaf1][2], &leaves[leaf1][3]);
  __get_cpuid_count(7, 0, &leaves[leaf7][0], &leaves[leaf7][1], &leaves[leaf7][2],
                    &leaves[leaf7][3]);
  // eax of subleaf 0 is the highest subleaf.
  if (leaves[leaf7][0] >= 1)
    __get_cpuid_count(7, 1, &leaves[leaf7Sub1][0], &leaves[leaf7Sub1][1], &leaves[leaf7Sub1][2],
                      &leaves[leaf7Sub1][3]);
  unsigned *extended = leaves[leafExtended1];
  __get_cpuid(0x80000001, &extended[0], &extended[1], &extended[2], &extended[3]);

  uint32_t savedState = 0;
  if (leaves[leaf1][ecx] & bit_OSXSAVE) {
    uint32_t high;
    __asm__ volatile("xgetbv" : "=a"(savedState), "=d"(high) : "c"(0));
  }
  CpuFeatures result;
  uint64_t mask = 1;
  for (const Feature &feature : features) {
    const bool inCpu = leaves[feature.leaf][feature.reg] >> feature.bit & 1;
    const bool inSystem = (savedState & feature.state) == feature.state;
    if (inCpu && inSystem)
      result.present |= mask;
    mask <<= 1;
  }
  return result;
}

#elif defined(__aarch64__)

namespace {
struct Feature {
  std::string_view name;
  uint8_t word; ///< 0: AT_HWCAP, 1: AT_HWCAP2
  uint8_t bit;
};
} // namespace

// Bits of the Linux user-space ABI (arch/arm64/include/uapi/asm/hwcap.h).
static constexpr Feature features[] = {
    {"fp-armv8", 0, 0}, {"neon", 0, 1},      {"aes", 0, 3},   {"sha2", 0, 6},     {"crc", 0, 7},
    {"lse", 0, 8},      {"fullfp16", 0, 10}, {"rdm", 0, 12},  {"dotprod", 0, 20}, {"sve", 0, 22},
    {"fp16fml", 0, 23}, {"sve2", 1, 1},      {"i8mm", 1, 13}, {"bf16", 1, 14},
};

std::string_view tern::hostArchitecture() { return "aarch64"; }

CpuFeatures CpuFeatures::detect() {
  uint64_t words[2] = {0x3, 0}; // floating point and NEON are part of the ABI
#if defined(__linux__)
  words[0] = getauxval(AT_HWCAP);
  words[1] = getauxval(AT_HWCAP2);
#endif
  CpuFeatures result;
  uint64_t mask = 1;
  for (const Feature &feature : features) {
    // fp and asimd (bits 0 and 1) are what LLVM calls fp-armv8 and neon.
    if (words[feature.word] >> feature.bit & 1)
      result.present |= mask;
    mask <<= 1;
  }
  return result;
}

#else
#error "the runtime has no CPU feature detection for this architecture"
#endif

bool CpuFeatures::has(std::string_view name) const {
  uint64_t mask = 1;
  for (const Feature &feature : features) {
    if (feature.name == name)
      return present & mask;
    mask <<= 1;
  }
  return false;
}
