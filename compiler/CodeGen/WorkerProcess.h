// One run of a child process with all its input given and all its output collected.
//
// Input and output pass through anonymous temporary files, so neither side can block the other.
#ifndef TERN_COMPILER_CODEGEN_WORKERPROCESS_H
#define TERN_COMPILER_CODEGEN_WORKERPROCESS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace tern {

struct WorkerResult {
  int exitCode = 0; ///< meaningful if signal is 0
  int signal = 0;   ///< the signal that ended the process, or 0
  std::string output, errors;
};

/// Runs `executable` with `arguments` (without argv[0]) on `input` and waits for it. Thread-safe.
llvm::Expected<WorkerResult> runWorkerProcess(const std::string &executable,
                                              llvm::ArrayRef<std::string> arguments,
                                              llvm::StringRef input);

} // namespace tern
#endif
