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

const std::vector<std::string> avx2Features = {"sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx",
                                               "avx2", "bmi",   "bmi2",   "fma",    "f16c"};
const std::vector<std::string> avx512VnniFeatures = {"avx512f",  "avx512cd", "avx512bw",
                                                     "avx512dq", "avx512vl", "avx512vnni"};

TargetInfo avx2() {
  TargetInfo target;
  target.name = "x86_64-avx2";
  target.family = "x86";
  target.triple = "x86_64-unknown-linux-gnu";
  target.cpu = "x86-64";
  target.features = avx2Features;
  target.halideTarget = "x86-64-linux-sse41-avx-avx2-fma-f16c";
  target.vectorBytes = 32;
  return target;
}

TargetInfo avx512Vnni() {
  TargetInfo target = avx2();
  target.name = "x86_64-avx512vnni";
  append_range(target.features, avx512VnniFeatures);
  target.halideTarget =
      "x86-64-linux-sse41-avx-avx2-fma-f16c-avx512-avx512_skylake-avx512_cannonlake-avx512_zen4";
  target.vectorBytes = 64;
  target.hasDot4 = true;
  return target;
}

} // namespace

std::vector<TargetInfo> x86Targets() { return {avx2(), avx512Vnni()}; }

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
