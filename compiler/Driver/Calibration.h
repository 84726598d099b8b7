// --calibration FILE: the importance of each weight's columns, measured by running the float model
// over a text on this machine.
#ifndef TERN_COMPILER_DRIVER_CALIBRATION_H
#define TERN_COMPILER_DRIVER_CALIBRATION_H

#include "compiler/Driver/CompileOptions.h"
#include "compiler/Driver/Progress.h"
#include "compiler/Import/Import.h"
#include "compiler/Import/ImportanceMatrix.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace tern {

struct Calibration {
  ImportanceMatrix importance;
  std::string textDigest = {};    ///< SHA-256 of the text, hexadecimal
  uint64_t tokens = 0;            ///< that were run
  uint32_t chunks = 0, chunk = 0; ///< chunk: tokens of each
};

/// One line, and the same as JSON.
void print(const Calibration &calibration, llvm::raw_ostream &out);
llvm::json::Value toJson(const Calibration &calibration);

/// Compiles the imported model for this machine with float weights into a temporary file beside
/// `output` and runs it over the text `options.calibration`. `model` stays as it is, not yet
/// quantized. Whether `options.quantize` has any use for the figures is found out first. What the
/// user should know is added to `notes`.
llvm::Expected<Calibration> calibrate(const ImportedModel &model, const CompileOptions &options,
                                      llvm::StringRef output, ProgressLine &progress,
                                      std::vector<std::string> &notes);

} // namespace tern
#endif
