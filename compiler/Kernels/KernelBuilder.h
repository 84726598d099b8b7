// The state of turning one kernel's region into one Halide pipeline.
//
// An op's builder reads its operands' values, writes Halide expressions, and records the value of
// its result. Values of a region:
//   FloatValue   tensor<rows x [parts x] N x f32>: an expression at a point; rows of N are seen as
//   tiles of
//                32 lanes, which is how they are padded and how vectors run
//   IntValue     tensor<rows x i32>
//   IntRowsValue tensor<rows x N x i32>
//   ExpertValue  #tern.expert_rows: the rows of each expert
//   ActValue     int8 codes, their scales and sums (#tern.act)
//   WeightValue  a packed matrix (WeightLayout.h)
//   KvValue      a cache's component arguments
// Which intermediate results exist as Funcs of their own is recorded in KernelStages for the
// target's schedule. This header is internal to compiler/Kernels: it needs Halide.
#ifndef TERN_COMPILER_KERNELS_KERNELBUILDER_H
#define TERN_COMPILER_KERNELS_KERNELBUILDER_H

#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Kernels/KernelGenerator.h"
#include "compiler/Kernels/KernelStages.h"
#include "runtime/core/KernelABI.h"
#include "targets/TargetInfo.h"
#include "llvm/ADT/DenseMap.h"
#include <Halide.h>
#include <functional>
#include <variant>

namespace tern {

/// A place in a float value: element tile * 32 + lane of part `part` of row `row`.
struct Point {
  Halide::Expr lane, tile, row;
  Halide::Expr part = 0;

  Halide::Expr element() const { return tile * int(rowPadding) + lane; }
  static Point ofElement(const Halide::Expr &n, const Halide::Expr &row,
                         const Halide::Expr &part = 0) {
    return {n % int(rowPadding), n / int(rowPadding), row, part};
  }
};

struct FloatValue {
  mlir::RankedTensorType type;
  std::function<Halide::Expr(const Point &)> at;

  int64_t size() const { return type.getShape().back(); }
  int64_t parts() const { return type.getRank() == 3 ? type.getDimSize(1) : 1; }
  int64_t tiles() const { return int64_t(llvm::divideCeil(uint64_t(size()), rowPadding)); }
  /// The element at `n` of a row (any n within the row, at the cost of a division when computed).
  Halide::Expr element(const Halide::Expr &n, const Halide::Expr &row) const {
    return at(Point::ofElement(n, row));
  }
};

struct IntValue {
  std::function<Halide::Expr(const Halide::Expr &row)> at;
};

struct IntRowsValue {
  mlir::RankedTensorType type;
  std::function<Halide::Expr(const Point &)> at;
};

/// The lists of one block size (ExpertRows.h), that of the variant. A linear layer of experts
/// computes row `row` of item row / block: `row` numbers the rows of all items.
struct ExpertValue {
  ExpertRowsAttr type;
  Halide::Expr items;
  std::function<Halide::Expr(const Halide::Expr &row)> pair;
  std::function<Halide::Expr(const Halide::Expr &item)> expert;
};

/// `sums` is empty when the type has none.
struct ActValue {
  mlir::RankedTensorType type;
  ActivationAttr activation;
  std::function<Halide::Expr(const Point &)> codes;
  std::function<Halide::Expr(const Halide::Expr &group, const Halide::Expr &row)> scales, sums;
};

struct WeightValue {
  EncodingDesc encoding;
  WeightLayout layout;
  int64_t parts, rows, k;
  CellShape shape;
  /// Grouped codes: bytes (i, lane, line, cell, part, outer group, tile); float codes: (lane, part,
  /// k, tile).
  Halide::ImageParam codes;
  /// Outer scales and minimums (lane, part, outer group, tile); undefined for float codes, and
  /// where there are no minimums.
  Halide::ImageParam scales, minimums;
  /// Bytes of inner scales (lane, byte, cell, part, outer group, tile); undefined without
  /// super-groups.
  Halide::ImageParam innerScales;

  int64_t outerGroups() const { return k / encoding.outerSize(); }
  int64_t cells() const { return encoding.outerSize() / shape.elements; }
};

/// Numbers of the arguments in the kernel's signature.
struct KvValue {
  KvType type;
  unsigned keys, values, blockTable;
};

/// A result whose builder has defined the kernel's output itself.
struct StoredValue {};

using KernelValue = std::variant<FloatValue, IntValue, IntRowsValue, ExpertValue, ActValue,
                                 WeightValue, KvValue, StoredValue>;

/// The row counts one variant serves, and how many rows it takes at a time.
struct RowRange {
  int32_t min = 1, max = INT32_MAX;
  int32_t block = 1;
  /// The variant takes blocks of the rows of a call, from `firstRow` on (VariantUse::Blocks).
  bool ofBlocks = false;
  bool decodesOnce = false; ///< a step over K decodes its weights once for all rows
  /// The variant takes those items of #tern.expert_rows that have `block` rows, whatever T is.
  bool ofExperts = false;
  TernPhase phase = TERN_PHASE_WHOLE; ///< of attention (VariantUse::Phases)
  bool single() const { return max == 1; }
};

class KernelBuilder {
public:
  KernelBuilder(KernelOp kernel, const TargetInfo &target, const KernelSignature &signature,
                RowRange rowRange);

  /// Runs every op's builder and defines the outputs.
  llvm::Error build();

  //===-- For op builders ---------------------------------------------------------------------===//

  const TargetInfo &target() const { return targetInfo; }
  const RowRange &rowRange() const { return range; }
  KernelStages &stages() { return kernelStages; }

  /// Tasks [first, first + count) of the call.
  Halide::Expr first() const { return firstTask; }
  Halide::Expr count() const { return taskCount; }
  /// Rows of a value: T or R of the call or a constant; 1 in a variant for one row.
  Halide::Expr rowsOf(mlir::Value value);
  /// The rows of a value that the variant computes.
  struct RowBlock {
    Halide::Expr first, count;
    Affine firstBinding, countBinding;
  };
  RowBlock computedRows(mlir::Value value);
  /// The first row that the variant computes.
  Halide::Expr firstRow();
  Affine rowsBinding(mlir::Value value) const;
  /// TERN_INT_TASK_BLOCKS.
  Halide::Expr taskBlocks();

  template <typename T> const T &get(mlir::Value value) const {
    return std::get<T>(values.find(value)->second);
  }
  void set(mlir::Value value, KernelValue v) { values.insert({value, std::move(v)}); }

  /// Index into the signature's arguments of a component of an operand or result of the kernel.
  unsigned argumentOf(bool isResult, unsigned number, unsigned component) const;

  /// A Halide parameter that reads (or, for scatter updates, starts from) an argument. Dimensions
  /// with constant strides and mins are promised to Halide.
  Halide::ImageParam addInput(unsigned argument, Halide::Type type,
                              llvm::ArrayRef<DimensionBinding> dimensions, uint64_t byteOffset = 0);
  /// Makes `func` an output stored in `argument`. `bounds` gives, per dimension, min and extent as
  /// Halide sees them; they must agree with the bindings.
  struct OutputBounds {
    Halide::Expr min, extent;
  };
  void addOutput(Halide::Func func, unsigned argument, llvm::ArrayRef<DimensionBinding> dimensions,
                 llvm::ArrayRef<OutputBounds> bounds);

  Halide::Var lane{"lane"}, tile{"tile"}, part{"part"}, row{"row"}, group{"group"};

  //===-- For the generator -------------------------------------------------------------------===//

  Halide::Pipeline pipeline() const { return Halide::Pipeline(outputs); }
  /// Arguments of the Halide function, outputs excluded, and the bindings of all of them in order.
  std::vector<Halide::Argument> arguments() const;
  std::vector<ParameterBinding> bindings() const;

private:
  llvm::Error buildOp(mlir::Operation &op);
  llvm::Error bindArgument(mlir::BlockArgument argument);
  void bindWeight(mlir::BlockArgument argument, EncodingAttr encoding);
  void bindActivation(mlir::BlockArgument argument, ActivationAttr activation);
  void bindExpertRows(mlir::BlockArgument argument, ExpertRowsAttr experts);
  void bindIntRows(mlir::BlockArgument argument);
  llvm::Error defineResult(unsigned number, mlir::Value value);
  /// Rows: FloatValue or IntRowsValue.
  template <typename Rows> void defineRowsResult(unsigned number, mlir::Value value);
  void defineActivationResult(unsigned number, mlir::Value value);
  Halide::Expr symbolParam(DimSymbol symbol);

  KernelOp kernel;
  const TargetInfo &targetInfo;
  const KernelSignature &signature;
  RowRange range;
  KernelStages kernelStages;
  llvm::DenseMap<mlir::Value, KernelValue> values;

  struct ScalarParameter {
    Halide::Param<int32_t> param;
    Affine value;
  };
  std::vector<ScalarParameter> scalars;
  Halide::Expr firstTask, taskCount, firstRowParam;
  Halide::Expr symbolRows[3];
  std::vector<std::pair<Halide::ImageParam, BufferBinding>> inputs;
  std::vector<Halide::Func> outputs;
  std::vector<BufferBinding> outputBindings;
};

/// {constant} as a binding.
inline Affine fixed(int64_t value) { return Affine{value}; }
/// Dimension [0, extent) with a constant stride.
inline DimensionBinding dimension(int64_t extent, int64_t stride) {
  return {fixed(0), fixed(extent), fixed(stride)};
}

// Builders, one family per file.
llvm::Error buildEmbed(KernelBuilder &, EmbedOp);
llvm::Error buildLinear(KernelBuilder &, LinearOp);
llvm::Error buildRoute(KernelBuilder &, RouteOp);
llvm::Error buildExpertRows(KernelBuilder &, ExpertRowsOp);
llvm::Error buildCombine(KernelBuilder &, CombineOp);
llvm::Error buildRmsNorm(KernelBuilder &, RmsNormOp);
llvm::Error buildLayerNorm(KernelBuilder &, LayerNormOp);
llvm::Error buildEncode(KernelBuilder &, EncodeOp);
llvm::Error buildMap(KernelBuilder &, MapOp);
llvm::Error buildGather(KernelBuilder &, GatherOp);
llvm::Error buildSlice(KernelBuilder &, SliceOp);
llvm::Error buildReshape(KernelBuilder &, ReshapeOp);
llvm::Error buildRope(KernelBuilder &, RopeOp);
llvm::Error buildKvStore(KernelBuilder &, KvStoreOp);
llvm::Error buildAttention(KernelBuilder &, AttentionOp);

/// Whether a value is, at the end of norms and rotations, what a cache store writes: it is then
/// computed beside the store and not beside the kernel's rows.
bool feedsKvStore(mlir::Value value);

/// e^x to 1.1e-7 of itself, without a library call: 0 below -86.99, infinite from 2^128, NaN of
/// NaN.
Halide::Expr exponential(const Halide::Expr &x);

/// NaN for NaN and 0 for any number: added to what a function loses NaN in.
Halide::Expr zeroOrNaN(const Halide::Expr &x);

/// 0, and the line of what is loaded is fetched ahead: an instruction placeholder (Placeholders.h).
Halide::Expr prefetch(const Halide::Expr &loaded);

/// Folds the lanes of partial(lane, ...) by halves, in a fixed order. The steps are computed for
/// each `at` of `consumer` (once per row when that is undefined). The result is element 0 of the
/// returned Func.
Halide::Func foldLanes(KernelBuilder &builder, Halide::Func partial, const std::string &name,
                       const std::function<Halide::Expr(Halide::Expr, Halide::Expr)> &combine,
                       Halide::Func consumer = {}, Halide::Var at = {},
                       int lanes = int(rowPadding));

/// A stored float code (f32, f16, or bf16 as u16) as f32.
Halide::Expr floatCode(const WeightValue &weight, const Halide::Expr &stored);
/// A byte of base-3 digits times 1, 3, 9, ... modulo 256, `count` of them.
std::vector<Halide::Expr> base3Steps(const Halide::Expr &byte, int count);

/// An outer scale or minimum as stored (f16, f32 or e8m0) as f32.
Halide::Expr floatScale(const WeightValue &weight, const Halide::Expr &stored);

/// Where a weight of a group lies: the group within its cell, the cell within its outer group.
struct CodePlace {
  Halide::Expr lane, group, cell, part, outer, tile;
};
/// The code as u8 of element i of plane `plane` of low line `line` of the group; int8 as stored.
Halide::Expr packedCode(const WeightValue &weight, const CodePlace &at, const Halide::Expr &i,
                        const Halide::Expr &plane, const Halide::Expr &line);
/// book[code] + offset as u8 for codes of 0..15: an instruction placeholder (Placeholders.h), or
/// selections where the target shuffles no bytes.
Halide::Expr lookUp(const TargetInfo &target, const Halide::Expr &code, llvm::ArrayRef<int8_t> book,
                    int offset);
/// The i32 inner scale (its offset taken out) or minimum of the group.
Halide::Expr innerScale(const WeightValue &weight, const CodePlace &at);
Halide::Expr innerMinimum(const WeightValue &weight, const CodePlace &at);

/// Rows of packed weights decoded to float: element k of row n of part `part`.
Halide::Expr decodeWeight(const TargetInfo &target, const WeightValue &weight,
                          const Halide::Expr &n, const Halide::Expr &k,
                          const Halide::Expr &part = 0);

} // namespace tern
#endif
