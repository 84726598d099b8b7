// Feature lists of the x86-64 targets.
//
// A list names what the kernels may use and nothing else: the runtime refuses a CPU that lacks one
// of them, and LLVM selects with exactly these over the x86-64 baseline (SSE2). What Halide is
// asked for may imply more (its avx512_zen4 implies GFNI, VBMI and BF16); LLVM's own selection then
// keeps to the list, since Halide's IR names instructions only through intrinsics that the list
// covers.
#include "targets/x86/Targets.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"

using namespace llvm;

namespace tern {
namespace {

/// Every x86-64 CPU: 16-byte vectors of SSE2, no conversions of half floats, no byte products.
TargetInfo baseline() {
  TargetInfo target;
  target.name = "x86_64-baseline";
  target.family = "x86";
  target.triple = "x86_64-unknown-linux-gnu";
  target.cpu = "x86-64";
  target.features = {"sse2"};
  target.halideTarget = "x86-64-linux";
  target.vectorBytes = 16;
  target.hasRounding = false;
  target.hasFusedMultiplyAdd = false;
  return target;
}

/// Haswell (2013), Zen (2017).
TargetInfo avx2() {
  TargetInfo target = baseline();
  target.name = "x86_64-avx2";
  target.features = {"sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx",
                     "avx2", "bmi",   "bmi2",   "fma",    "f16c"};
  target.halideTarget = "x86-64-linux-sse41-avx-avx2-fma-f16c";
  target.vectorBytes = target.byteShuffle = 32;
  target.hasRounding = true;
  target.hasFusedMultiplyAdd = true;
  return target;
}

constexpr const char *halideZen4 =
    "x86-64-linux-sse41-avx-avx2-fma-f16c-avx512-avx512_skylake-avx512_cannonlake-avx512_zen4";

/// Alder Lake (2021), Zen 5 (2024): the byte dot product on 32-byte vectors. Halide selects it by
/// the intrinsic that LLVM uses for both encodings; LLVM then takes AVX-VNNI's.
TargetInfo avxVnni() {
  TargetInfo target = avx2();
  target.name = "x86_64-avxvnni";
  target.features.push_back("avxvnni");
  target.halideTarget = halideZen4;
  target.hasDot4 = true;
  return target;
}

/// Ice Lake (2019), Zen 4 (2022), and Cascade Lake (2019), which lacks VBMI.
TargetInfo avx512Vnni() {
  TargetInfo target = avx2();
  target.name = "x86_64-avx512vnni";
  for (const char *feature :
       {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"})
    target.features.push_back(feature);
  target.halideTarget = halideZen4;
  target.vectorBytes = target.byteShuffle = 64;
  target.vectorRegisters = 32;
  target.hasDot4 = true;
  target.broadcastsOperands = true;
  return target;
}

/// Ice Lake (2019), Zen 4 (2022): byte permutations across 64 bytes too.
TargetInfo avx512Vbmi() {
  TargetInfo target = avx512Vnni();
  target.name = "x86_64-avx512vbmi";
  target.features.push_back("avx512vbmi");
  return target;
}

} // namespace

std::vector<TargetInfo> x86Targets() {
  return {baseline(), avx2(), avxVnni(), avx512Vnni(), avx512Vbmi()};
}

Expected<TargetInfo> hostX86Target() {
  StringMap<bool> cpu = sys::getHostCPUFeatures();
  std::vector<TargetInfo> targets = x86Targets();
  for (const TargetInfo &target : reverse(targets))
    if (all_of(target.features, [&](const std::string &f) { return cpu.lookup(f); }))
      return target;
  return createStringError("this CPU lacks features of " + targets.front().name +
                           ", the weakest target; name a target with --target");
}

} // namespace tern
