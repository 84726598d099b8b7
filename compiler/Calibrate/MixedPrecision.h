// --quantize=budget:SIZE and bits:B: an encoding for each matrix, by measured error.
#ifndef TERN_COMPILER_CALIBRATE_MIXEDPRECISION_H
#define TERN_COMPILER_CALIBRATE_MIXEDPRECISION_H

#include "compiler/Import/ImportanceMatrix.h"
#include "compiler/Transforms/QuantizationPolicy.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include <string>
#include <vector>

namespace tern {

struct MixedPrecisionOptions {
  std::vector<std::string> targets; ///< whose layouts say how large weights are
  std::vector<std::string> inputFiles;
  const ImportanceMatrix *importance = nullptr;
  unsigned threads = 1;
};

/// What was chosen, for the report.
struct MixedPrecisionChoice {
  struct Weight {
    std::string name, policy; ///< policy: the candidate's word
    double bitsPerWeight, relativeError;
  };
  std::vector<Weight> weights;
  uint64_t bytes = 0; ///< budget: of all weights; bits: of these, without padding
  double bitsPerWeight = 0, limit = 0, error = 0; ///< error: sum of squared relative errors
  bool limitIsBytes = false;
};

/// The choice for each weight, and what all take, as a table and as JSON.
void print(const MixedPrecisionChoice &choice, llvm::raw_ostream &out);
llvm::json::Value toJson(const MixedPrecisionChoice &choice);

/// Encodes the matrices of a simplified module that no pattern of `policy` decides as its budget
/// asks for: only their types change. Each candidate's error is measured on the weight's values (on
/// evenly spaced rows of large ones). The sum over matrices of the squared relative error is made
/// small. A budget that the smallest encodings do not meet is an error with what they take.
llvm::Expected<MixedPrecisionChoice> applyBudget(mlir::ModuleOp module,
                                                 const QuantizationPolicy &policy,
                                                 const MixedPrecisionOptions &options);

} // namespace tern
#endif
