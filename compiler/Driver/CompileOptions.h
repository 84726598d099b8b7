// What ternc was asked to do, after the command line has been checked.
#ifndef TERN_COMPILER_DRIVER_COMPILEOPTIONS_H
#define TERN_COMPILER_DRIVER_COMPILEOPTIONS_H

#include "compiler/CodeGen/KernelCache.h"
#include "compiler/Import/KvElement.h"
#include <cstdint>
#include <string>
#include <vector>

namespace tern {

/// --emit: the form to stop at.
enum class OutputKind : uint8_t {
  Tern,        ///< the artifact
  TernIR,      ///< the imported graph
  QuantizedIR, ///< after simplify and quantize
  FusedIR,     ///< kernels and launches
  PlanIR,      ///< programs with planned memory
  Stmt,        ///< Halide's lowered kernels
  LLVM,        ///< optimised LLVM IR of the kernels
  Assembly,
  Object,       ///< the linked ELF image of the kernels
  StaticLibrary ///< the artifact, its kernels as a library, a header
};

/// True for kinds that write an artifact.
inline bool writesArtifact(OutputKind kind) {
  return kind == OutputKind::Tern || kind == OutputKind::StaticLibrary;
}

struct CompileOptions {
  std::string input;
  std::string output;               ///< "-" is standard output (not for artifacts)
  std::vector<std::string> targets; ///< at least one; one only unless kind is Tern
  std::string quantize = "keep";
  std::string imatrix;     ///< file that weighs errors of re-encoding; empty: none
  std::string calibration; ///< text to gather such figures from; empty: none, else no imatrix
  unsigned i2sBlock = 128; ///< elements of a block of I2_S: 128 or 64
  KvElement kv = KvElement::F16;
  int64_t maxBatch = 64;
  OutputKind kind = OutputKind::Tern;
  unsigned jobs = 1;
  uint64_t kernelCacheBytes = KernelCache::defaultLimit; ///< what compiled kernels kept may take
  bool showProgress = false;                             ///< on standard error
  bool timing = false;                                   ///< table of stages on standard error
  bool json = false;                                     ///< report on standard output
};

/// Runs the whole compilation. Returns the exit status: 0, or 1 after one line on standard error.
int compile(const CompileOptions &options);

} // namespace tern
#endif
