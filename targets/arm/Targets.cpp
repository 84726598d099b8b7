// Feature lists of the AArch64 targets, over Armv8.0 with NEON.
//
// x18 belongs to the platform (Apple, Windows, Android's shadow call stack): kernels leave it
// alone.
#include "targets/arm/Targets.h"

namespace tern {

/// Cortex-A55 and A76 (2018), Neoverse N1, Apple A13: the signed byte dot product.
static TargetInfo dotProduct() {
  TargetInfo target;
  target.name = "aarch64-dotprod";
  target.family = "arm";
  target.triple = "aarch64-unknown-linux-gnu";
  target.cpu = "generic";
  target.features = {"neon", "dotprod"};
  target.settings = {"reserve-x18"};
  target.halideTarget = "arm-64-linux-arm_dot_prod";
  target.vectorBytes = 16;
  target.vectorRegisters = 32;
  target.hasDot4 = true;
  target.dot4IsSigned = true;
  target.byteShuffle = 16; // tbl
  return target;
}

std::vector<TargetInfo> armTargets() { return {dotProduct()}; }

} // namespace tern
