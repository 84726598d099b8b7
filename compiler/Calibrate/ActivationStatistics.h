// How large what each linear layer of a model multiplies is, measured by running it over a text.
#ifndef TERN_COMPILER_CALIBRATE_ACTIVATIONSTATISTICS_H
#define TERN_COMPILER_CALIBRATE_ACTIVATIONSTATISTICS_H

#include "compiler/Calibrate/LinearInputs.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include <map>

namespace tern {

/// The squares of a weight's input, summed by column.
struct ActivationSquares {
  uint64_t columns = 0;
  std::vector<double> sums;   ///< [expert][column], one expert unless the weight has several
  std::vector<uint64_t> rows; ///< [expert]: how many were summed

  /// Means by column, one expert after the other as in llama-imatrix. An expert without rows gets
  /// the mean of all others for each column: nothing is known of it.
  std::vector<float> means() const;
  size_t unseenExperts() const;
};

struct ActivationStatistics {
  std::map<std::string, ActivationSquares> weights; ///< by their names in the input file
  uint64_t tokens = 0;                              ///< that were run, begin tokens included
  uint32_t chunks = 0, chunk = 0;                   ///< chunk: tokens of each
};

struct CalibrationText {
  llvm::StringRef name; ///< of its file, in messages
  llvm::StringRef text;
};

/// Runs the artifact `path` over a text on this machine, cut into chunks of 512 tokens as
/// llama-imatrix does: the model's begin token, if it adds one, takes the place of each chunk's
/// first, and what fills no chunk is left out unless there is no other. `inputs` are those of the
/// artifact's plan. The artifact's name is gone when this returns. The figures depend on the
/// artifact and the text alone, not on `threads`.
llvm::Expected<ActivationStatistics>
gatherActivationStatistics(const std::string &path, llvm::ArrayRef<LinearInput> inputs,
                           const CalibrationText &text, unsigned threads,
                           llvm::function_ref<void(uint64_t done, uint64_t total)> progress);

} // namespace tern
#endif
