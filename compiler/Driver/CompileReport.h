// What ternc says when an artifact is written: tables on standard error, --timing, --json.
#ifndef TERN_COMPILER_DRIVER_COMPILEREPORT_H
#define TERN_COMPILER_DRIVER_COMPILEREPORT_H

#include "compiler/Artifact/ArtifactModel.h"
#include "compiler/Calibrate/MixedPrecision.h"
#include "compiler/Driver/Calibration.h"
#include "compiler/Driver/CompileOptions.h"
#include "compiler/Driver/Progress.h"
#include "compiler/Driver/TargetBuild.h"

namespace tern {

/// What a compilation has come to. Nothing is owned.
struct CompileResult {
  const CompileOptions &options;
  std::string artifact;                         ///< its path
  const ArtifactModel &model;                   ///< written
  llvm::ArrayRef<TargetBuild> builds;           ///< one per variant
  const StageTimer &timer;                      ///< ended
  llvm::ArrayRef<std::string> notes;            ///< printed elsewhere
  const MixedPrecisionChoice *budget = nullptr; ///< with a budget
  const Calibration *calibration = nullptr;
};

/// Fails if the report of --json cannot be written.
llvm::Error report(const CompileResult &result);

} // namespace tern
#endif
