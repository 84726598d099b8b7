// What the compiler knows about one target: its exact features and the layouts it prefers.
//
// A family (targets/x86, ...) fills one TargetInfo per target name. Nothing else in the compiler
// tests for a target by name.
#ifndef TERN_TARGETS_TARGETINFO_H
#define TERN_TARGETS_TARGETINFO_H

#include "compiler/Encoding/WeightLayout.h"
#include "llvm/Support/Error.h"
#include <algorithm>
#include <string>
#include <vector>

namespace tern {

struct TargetInfo {
  std::string name;                  ///< "x86_64-avx2"
  std::string family;                ///< "x86"
  std::string triple;                ///< LLVM triple of the kernels
  std::string cpu;                   ///< LLVM target-cpu, e.g. "x86-64"
  std::vector<std::string> features; ///< exact list, LLVM spelling; checked by the runtime at load
  std::vector<std::string>
      settings;              ///< of LLVM's code generator, spelled as features; no CPU has them
  std::string halideTarget;  ///< what Halide is asked for, e.g. "x86-64-linux-avx2-fma-f16c-sse41"
  WeightLayout layout;       ///< how weights are packed
  unsigned vectorBytes = 32; ///< natural vector width
  unsigned vectorRegisters = 16;
  bool hasRounding = true;         ///< of floats to integral floats
  bool hasFusedMultiplyAdd = true; ///< of floats
  bool hasDot4 = false;            ///< an instruction adds four byte products to an i32 lane
  bool dot4IsSigned = false; ///< its codes are i8 (sdot), else u8 (vpdpbusd); activations are i8
  bool broadcastsOperands = false; ///< arithmetic takes one number in memory for all lanes (EVEX)
  unsigned byteShuffle = 0;        ///< widest vector of bytes looked up in a table of 16; 0: none

  /// Outputs of a linear layer that `rows` rows take together: enough independent sums to hide the
  /// latency of the multiplications, few enough to stay in registers.
  int outputsPerBlock(int rows) const {
    return std::min(std::max(8 / rows, 1) * int(vectorBytes) / 4, int(layout.tileRows));
  }
};

/// The named target ("host" picks the best this CPU has); the error lists the known names.
llvm::Expected<TargetInfo> lookupTarget(llvm::StringRef name);
std::vector<std::string> listTargets();

} // namespace tern
#endif
