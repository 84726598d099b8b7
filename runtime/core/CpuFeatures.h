// What the CPU and the operating system offer, by LLVM's feature names.
//
// A name that is not known here counts as missing: an artifact made for a CPU newer than this
// runtime is refused, never guessed at.
#ifndef TERN_RUNTIME_CORE_CPUFEATURES_H
#define TERN_RUNTIME_CORE_CPUFEATURES_H

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern {

/// Architecture prefix of the variants this build can run, e.g. "x86_64" of "x86_64-avx2".
std::string_view hostArchitecture();

class CpuFeatures {
public:
  /// Asks the CPU this code runs on, and whether the system saves the registers concerned.
  static CpuFeatures detect();

  bool has(std::string_view name) const;

private:
  uint64_t present = 0; ///< one bit per row of the table in CpuFeatures.cpp
};

} // namespace tern

#endif
