// What a kernel's algorithm hands to a target's schedule: its Funcs by the part they play.
//
// The schedule decides where each is computed, stored and vectorized; it never looks at ops. A Func
// that a region does not have is left undefined.
#ifndef TERN_COMPILER_KERNELS_KERNELSTAGES_H
#define TERN_COMPILER_KERNELS_KERNELSTAGES_H

#include "compiler/Kernels/AttentionStages.h"
#include <Halide.h>
#include <functional>
#include <vector>

namespace tern {

/// How a linear layer multiplies codes and activations.
enum class DotForm : uint8_t {
  Float,     ///< float weights: multiply and add
  Dot4,      ///< u8 x i8, four products to an i32 lane
  PairSum16, ///< u8 x i8, two products to an i16 lane, widened within proven bounds
  Widened16, ///< i16 x i16, two products to an i32 lane
};

/// The reduction of a linear layer. `sum` adds up outer groups (k for float weights) in ascending
/// order; the rest is integer. Order of dimensions: (lane, part, tile, row, inner, cell, group):
/// group `inner` of cell `cell` of the outer group `group`.
struct LinearStages {
  DotForm form = DotForm::Float;
  int parts = 1, planes = 1;
  int lines = 1;           ///< of 4 * planes elements in a group
  bool splitCodes = false; ///< the high bits of a code lie in another byte
  Halide::Func sum;        ///< f32 (lane, part, tile, row)
  Halide::RVar sumOver;
  /// i32 (lane, part, tile, row, group), a tuple with the minimums' sum where there is no
  /// `minimumDot`; undefined without super-groups.
  Halide::Func superDot;
  Halide::RDom superDotOver; ///< (inner, cell); without `dot`: (i, plane, line, inner, cell)
  Halide::Func minimumDot;   ///< i32 (lane, part, tile, row, group), of codes decoded ahead
  Halide::RDom minimumDotOver;
  Halide::Func dot;      ///< i32; undefined for Float and for codes times inner scales
  Halide::RDom dotOver;  ///< Dot4: (i, plane, line); PairSum16: (half, chunk); Widened16: (half)
  Halide::Func planeDot; ///< Dot4 in several sums: i32, their number a dimension after the lane
  Halide::RDom planeDotOver; ///< planes in place: (i, line); base 3: (i, plane, line)
  Halide::Func half;     ///< a dimension `half` first; PairSum16: i16, `chunk` last; Widened16: i32
  Halide::RDom halfOver; ///< PairSum16: (plane, line); Widened16: (pair, plane, line)
  Halide::Func product;  ///< PairSum16: i16, (half, lane, plane, line, part, ...)
  Halide::RDom productOver; ///< (pair)
  /// Of many rows: what a step of `chunk` outer groups decodes once for all of them; else
  /// undefined.
  int chunk = 0;
  Halide::Func codes;       ///< (i, lane, plane, line, inner, cell, part, group, tile)
  Halide::Func innerScales; ///< i32 (lane, inner, cell, part, group, tile), in super-groups
  /// i16 (half, lane, pair, part, group, tile): what minimumDot multiplies with sumPairs.
  Halide::Func minimumPairs;
  Halide::Func sumPairs; ///< i16 (2 * pair + half, row, group)
  Halide::Func starts;   ///< i32 (number of the dot product along K, row): where it starts
  int startsOfStep = 0;  ///< dot products of a step
};

/// A Func computed for each row before the outputs that read it, or for each `at` of `consumer`.
struct RowStage {
  Halide::Func func;
  int lanes = 1;              ///< extent of the lane variable; 1: nothing to vectorize
  bool large = false;         ///< holds a whole row: must not become a heap allocation
  Halide::Func consumer = {}; ///< undefined: computed once per row
  Halide::Var at = {};
  bool forStore = false; ///< without a consumer: read by the key store, not by an output over rows
};

struct OutputStage {
  Halide::Func func;
  int lanes = 1; ///< extent of the lane variable; 1: nothing to vectorize
};

struct KernelStages {
  std::vector<LinearStages> linear;
  std::vector<RowStage> rowStages; ///< in the order of computation
  std::vector<OutputStage> outputs;
  std::vector<RotationStages> rotations;
  std::vector<KvStoreStages> kvStores;
  std::vector<AttentionStages> attentions;
  /// A linear layer of experts: its items, the pair that a row of an item belongs to, and the loop
  /// of the output's update over the rows of an item (x) and the items (y).
  Halide::Expr expertItems;
  std::function<Halide::Expr(const Halide::Expr &itemRow)> expertPair;
  Halide::RDom itemRows;
  std::vector<Halide::Func> serial; ///< of a kernel with one task: each computed once, in order
  Halide::Var lane, tile, part, row, group; ///< the names all stages use
  int rowBlock = 1;                         ///< rows that a variant for several rows takes together
  int maxRows = 0;                          ///< above 0: rows are whole blocks, and at most so many
  bool singleRow = false;
};

} // namespace tern
#endif
