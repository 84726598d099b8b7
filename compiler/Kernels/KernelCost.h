// What one call of a kernel costs, for reports: its name in words, the weights it reads, and what
// attention reads and computes for each cached position. Nothing that is executed depends on it.
#ifndef TERN_COMPILER_KERNELS_KERNELCOST_H
#define TERN_COMPILER_KERNELS_KERNELCOST_H

#include "compiler/Kernels/KernelSignature.h"

namespace tern {

struct KernelCost {
  /// Its ops in order, matrices with shape and encoding: "linear 2048x5632 ternary:g256:f16, map".
  std::string description;
  /// Weights and tables that it reads. An embedding table counts one row for each token, a rotary
  /// table two, a matrix of experts those of one token.
  Extent weightBytes;
  uint64_t positionBytes = 0; ///< attention: cache bytes of one position
  uint64_t positionFlops = 0; ///< attention: operations for one row and one position
};

KernelCost describeCost(KernelOp kernel);

} // namespace tern
#endif
