// From a kernel's region to Halide bitcode plus what the shim must know to call it.
//
// compiler/Kernels writes the algorithm (one file per op family), targets/<family> schedules it.
// The result is plain data: Halide types never leave compiler/Kernels.
#ifndef TERN_COMPILER_KERNELS_KERNELGENERATOR_H
#define TERN_COMPILER_KERNELS_KERNELGENERATOR_H

#include "compiler/Kernels/KernelSignature.h"
#include "llvm/Support/Error.h"
#include <vector>

namespace tern {

/// constant + perToken*T + perWanted*R + perFirst*first + perLast*last + ..., computed by the shim
/// in i32.
struct Affine {
  int64_t constant = 0, perToken = 0, perWanted = 0, perFirst = 0, perLast = 0;
  /// perFirstRow * the first row of the call of a variant that takes blocks of rows, and perBlock *
  /// the number of its blocks.
  int64_t perFirstRow = 0, perBlock = 0;
  /// perBlocksPerSlot * TERN_INT_BLOCKS_PER_SLOT, for strides of the block table.
  int64_t perBlocksPerSlot = 0;
  int64_t perTaskBlocks = 0; ///< times TERN_INT_TASK_BLOCKS
};

/// One dimension of a halide_buffer_t. The shim offsets nothing: `host` is the argument's base
/// pointer plus byteOffset, adjusted for `min` as Halide expects (host points at the element at
/// min).
struct DimensionBinding {
  Affine min, extent;
  Affine stride; ///< in elements
};

/// How one Halide buffer parameter is filled.
struct BufferBinding {
  /// As an argument: the partial results of TERN_PHASE_BLOCKS.
  static constexpr unsigned partials = ~0u;
  unsigned argument; ///< index into KernelSignature::arguments
  uint8_t typeCode;  ///< halide_type_code_t
  uint8_t typeBits;
  uint64_t byteOffset = 0;
  std::vector<DimensionBinding> dimensions;
};

/// A Halide function parameter: a buffer, or an i32 scalar.
struct ParameterBinding {
  enum class Kind : uint8_t { Buffer, Scalar } kind;
  BufferBinding buffer;
  Affine scalar;
};

/// One Halide function.
struct KernelVariant {
  std::string functionName;                 ///< symbol in `bitcode`
  std::string bitcode;                      ///< LLVM IR as Halide wrote it
  std::string stmt;                         ///< Halide's lowered form, for --emit=stmt
  std::vector<ParameterBinding> parameters; ///< in the order of the function's parameters
  DimSymbol rows = DimSymbol::Tokens;       ///< the dimension that variants are chosen by
  int32_t minRows = 1, maxRows = INT32_MAX; ///< of that dimension, or of one call for its blocks
  int32_t block = 1;                        ///< rows of a block, with VariantUse::Blocks
  /// Products may be fused into sums (compiler/CodeGen/FusedMultiplyAdd.h).
  bool fuseMultiplyAdd = false;
};

/// Which variants a call of the kernel runs.
enum class VariantUse : uint8_t {
  ByRows, ///< the first whose row range holds the rows of the call
  All,    ///< every one, in order, each on a part of the work
  Phases, ///< the one whose index is TERN_INT_PHASE
  /// The first for a call of one row. Else the others, for each task in their order: each as long
  /// as minRows rows are left, and takes as many blocks as these hold, but at most maxRows rows in
  /// one call. A variant for single blocks does not leave a single row. The last has blocks of 2; a
  /// last single row is computed with the one before it.
  Blocks,
};

struct GeneratedKernel {
  KernelSignature signature;
  VariantUse use = VariantUse::ByRows;
  llvm::SmallVector<KernelVariant, 2> variants;
};

/// Runs Halide in this process. Errors (an op or combination no algorithm exists for, Halide's own
/// complaints) name the kernel and the op.
llvm::Expected<GeneratedKernel> generateKernel(KernelOp kernel, const TargetInfo &target);

} // namespace tern
#endif
