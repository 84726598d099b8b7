// Where a planned program holds the inputs of its linear layers while it runs.
#ifndef TERN_COMPILER_CALIBRATE_LINEARINPUTS_H
#define TERN_COMPILER_CALIBRATE_LINEARINPUTS_H

#include "mlir/IR/BuiltinOps.h"
#include "targets/TargetInfo.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>
#include <vector>

namespace tern {

/// The input x of a linear layer on float weights: rows of f32.
struct LinearInput {
  uint32_t command;  ///< of the plan: the call that reads x
  uint32_t argument; ///< of the call: x
  uint64_t first;    ///< element of a row where x begins
  uint64_t columns;
  uint64_t stride; ///< elements from row to row
  bool wanted;     ///< x has `times` rows for each wanted row of a call, else for each row
  unsigned times;
  bool hidden; ///< x is the function's output 1, the hidden states
  /// Names of the weights that x is multiplied with, as the input file has them.
  std::vector<std::string> weights;

  /// Of a mixture the experts and how many a row uses; 0 and 1 else.
  unsigned experts = 0, used = 1;
  uint32_t lists = 0;  ///< argument of the call: which expert takes which rows
  bool paired = false; ///< x has a row for each pair of a row and one of its experts
};

/// The linear layers of a module that has been lowered to a plan for `target`, in the order of its
/// commands. Errors name the weight whose input is not plain rows.
llvm::Expected<std::vector<LinearInput>> findLinearInputs(mlir::ModuleOp module,
                                                          const TargetInfo &target);

} // namespace tern
#endif
