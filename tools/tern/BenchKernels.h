// tern bench --kernels: what each kernel of a model takes, and how near it comes to the machine.
#ifndef TERN_TOOLS_TERN_BENCHKERNELS_H
#define TERN_TOOLS_TERN_BENCHKERNELS_H

#include "tools/tern/Model.h"

#include <nlohmann/json.hpp>

namespace tern::cli {

/// How long and how often is measured.
struct KernelBenchOptions {
  EngineOptions engine;    ///< threads: the number used, not 0
  uint32_t position = 0;   ///< of the single rows
  uint32_t singleRows = 1; ///< how many are timed
  uint32_t batches = 1;    ///< how many of the largest batch are
};

/// Times the kernels inside of whole forward calls, where caches and memory are in the state they
/// have when a model runs: single rows behind `position` others, then batches of the most rows a
/// call may have. Read bandwidth is measured on the model's own weights where they lie, peaks with
/// the target's instructions, on the same threads.
nlohmann::ordered_json benchKernels(const Model &model, const KernelBenchOptions &options);

/// Tables of that on standard output.
void printKernels(const nlohmann::ordered_json &kernels);

} // namespace tern::cli

#endif
