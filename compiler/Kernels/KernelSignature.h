// The boundary of one kernel: which base pointers it takes, how far it may touch them, its tasks.
//
// Every value of the graph becomes one or more component buffers when it crosses a kernel boundary:
//
//   tensor<?xNxf32>              data: [rows][roundUp(N, 32)] f32; what lies in the padding is
//                                unspecified (but finite or not, it must never be used)
//   tensor<?xKxf32, #tern.act>   codes: [rows][roundUp(K, 64)] i8 (padding zero);
//                                scales: [rows][K / group, or 1] f32; sums: [rows][K / sums] i32,
//                                sums of the codes over each `sums` elements (absent if sums = 0)
//   tensor<?xi32>                data: [rows] i32
//   tensor<?xUxi32>              data: [rows][roundUp(U, 32)] i32
//   tensor<?xi32, #tern.expert_rows>   lists (compiler/Kernels/ExpertRows.h)
//   weight (#tern.enc + layout)  data: packed bytes (compiler/Encoding/WeightLayout.h)
//   tensor<Nxf32> (vectors)      data: [roundUp(N, 32)] f32, padding zero
//   tensor<LxMx2xf32> (tables)   data: plain row-major f32
//   !tern.kv                     keys, values, block_table (layout in schema/tern.fbs, KvCache)
//
// "rows" is T or R of the call, or a multiple of T: the dimension symbol of the value. Arguments
// are ordered: operands' components first, then results' components. A result of type !tern.kv adds
// no arguments: it is its kernel's !tern.kv operand after the stores, whose keys and values are
// then ReadWrite.
#ifndef TERN_COMPILER_KERNELS_KERNELSIGNATURE_H
#define TERN_COMPILER_KERNELS_KERNELSIGNATURE_H

#include "mlir/IR/Types.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <optional>
#include <string>

namespace tern {

class KernelOp;
struct TargetInfo;

/// Elements to which rows of plain f32 values and vectors are padded.
constexpr uint64_t rowPadding = 32;
/// The partial result of one task and attention block: for each query head of the group so many
/// floats: its weighted values, the maximum of its scores, the sum of its weights, padding.
constexpr uint64_t partialStride(uint64_t valueSize) { return (valueSize + 2 + 15) / 16 * 16; }

/// Elements to which rows of int8 activation codes are padded.
constexpr uint64_t codePadding = 64;

/// constant + perToken * T + perWanted * R, as in the artifact.
struct Extent {
  uint64_t constant = 0, perToken = 0, perWanted = 0;
  uint64_t at(uint64_t t, uint64_t r) const { return constant + perToken * t + perWanted * r; }
  bool operator==(const Extent &) const = default;
};

/// The symbol a leading dynamic dimension stands for.
enum class DimSymbol : uint8_t { None, Tokens, Wanted };

/// What a leading dynamic dimension counts: a symbol, or so many rows for each of it.
struct RowCount {
  DimSymbol symbol = DimSymbol::None;
  unsigned times = 1;
  RowCount(DimSymbol symbol = DimSymbol::None, unsigned times = 1) : symbol(symbol), times(times) {}
  bool isStatic() const { return symbol == DimSymbol::None; }
};

/// "T", "R", "8T": the spelling of `tern.dim`, which the verifier of tern.kernel has checked.
RowCount parseRowCount(llvm::StringRef text);

/// The rows of a value inside a kernel's region: those of an argument's `tern.dim`, else of the
/// operand that gives the value its rows.
RowCount rowCountOf(mlir::Value value);

/// n per row (constant if there are no dynamic rows).
Extent perRow(RowCount rows, uint64_t n);

enum class Space : uint8_t { Arena, Tensor, Input, Output, KvKey, KvValue, BlockTable };
enum class Access : uint8_t { Read, Write, ReadWrite };

/// One component buffer of a value.
struct Component {
  llvm::StringRef suffix; ///< "", "codes", "scales", "sums", "keys", "values", "block_table"
  Extent bytes;           ///< kv: of one block; block table: of one slot and block (4)
  Space space;            ///< Arena unless the type itself implies another
};

/// The component buffers of a value of `type` whose leading dynamic dimension counts `rows`.
llvm::SmallVector<Component, 3> componentsOf(mlir::Type type, RowCount rows);

/// The inputs whose bounds kernels rely on, by the names of the artifact's InputKind. What is
/// looked up in tables, token ids above all, kernels clamp themselves.
enum class Input : uint8_t { Positions, Slots, WantedRows };

struct KernelArgument {
  std::string name; ///< "x.codes"
  Access access;
  Component component;
  bool isResult;  ///< of a result, else of an operand
  unsigned value; ///< operand or result number
  unsigned index; ///< component number within the value
  /// In input space: the bounds that the kernel relies on.
  std::optional<Input> input = std::nullopt;
};

struct KernelSignature {
  std::string name;
  llvm::SmallVector<KernelArgument> arguments;
  Extent tasks;
  uint64_t scratchBytes = 0;
  uint64_t partialBytes = 0; ///< attention: of one task and block, when tasks are split by blocks
  uint32_t window = 0;       ///< attention: positions that a row attends to at most; 0: all
  Extent flops;
};

/// Derived from the kernel's printed form alone; needs no Halide, so the compiler's main process
/// and the worker that generates code agree without talking.
KernelSignature describeKernel(KernelOp kernel, const TargetInfo &target);

} // namespace tern
#endif
