// Builds the sums of one linear layer in one variant. Linear.cpp says what is computed; the forms
// of dot products are in LinearDots.cpp, sums over super-groups in LinearSuperGroups.cpp, and what
// many rows share in LinearManyRows.cpp. Internal to compiler/Kernels.
#ifndef TERN_COMPILER_KERNELS_LINEARBUILDER_H
#define TERN_COMPILER_KERNELS_LINEARBUILDER_H

#include "compiler/Kernels/KernelBuilder.h"
#include <algorithm>
#include <optional>

namespace tern {

/// Activations are clamped to -127..127.
constexpr int largestActivation = 127;

class LinearBuilder {
  using Expr = Halide::Expr;
  using Var = Halide::Var;

public:
  /// `experts`: null, or what the rows belong to; `paired`: x has a row for each pair.
  LinearBuilder(KernelBuilder &builder, const WeightValue &weight, const ExpertValue *experts,
                bool paired)
      : builder(builder), weight(weight), lane(builder.lane), part(builder.part),
        tile(builder.tile), row(builder.row), group(builder.group), weightTile(tile), xRow(row) {
    if (experts) {
      int tilesOfExpert = int(weight.rows / experts->type.getExperts() / rowPadding);
      weightTile = tile + experts->expert(row / builder.rowRange().block) * tilesOfExpert;
      xRow = experts->pair(row) / (paired ? 1 : int(experts->type.getUsed()));
    }
    stages.parts = int(weight.parts);
    stages.planes = int(weight.shape.lowPlanes);
    stages.splitCodes = weight.shape.highBits != 0;
    stages.sum = Halide::Func("sum");
  }

  void floatSum(const FloatValue &x);
  void groupedSum(const ActValue &x);
  /// The row of x that a row of the result is computed from.
  Expr rowOfX(const Expr &of) const { return Halide::Internal::substitute(row.name(), of, xRow); }
  LinearStages stages;

private:
  void chooseForm(bool hasSums);
  void groupDot(const ActValue &x);
  void superSums(const ActValue &x);
  /// Inner minimums are summed up with the inner scales, so that memory is read in one pass; else,
  /// where codes and scales are decoded ahead, on their own.
  bool minimumsBesideScales() const { return weight.encoding.minimum && !stages.codes.defined(); }
  void minimumSums(const ActValue &x);
  void scaledSuperSums(const ActValue &x);
  void dot4(const ActValue &x, const Expr &start);
  void dot4InPlace(const ActValue &x, const Expr &start);
  void dot4Base3(const ActValue &x, const Expr &start);
  void pairSum16(const ActValue &x, const Expr &start);
  void widened16(const ActValue &x, const Expr &start);

  /// Where the group of a dot product lies: `group` counts outer groups.
  CodePlace place() const { return {lane, inner, cell, part, group, weightTile}; }
  /// The stored code of one plane as u8.
  Expr stored(const Expr &i, const Expr &plane, const Expr &line) const {
    return packedCode(weight, place(), i, plane, line);
  }
  /// The multiplier of a code: the code itself or its value in the book, made unsigned by an offset
  /// where it is signed (offset()); i8 where Dot4 takes signed codes, else u8.
  Expr code(const Expr &i, const Expr &plane, const Expr &line) const {
    if (stages.codes.defined())
      return stages.codes(i, lane, plane, line, inner, cell, part, group, tile);
    return decoded(i, plane, line);
  }
  Expr decoded(const Expr &i, const Expr &plane, const Expr &line) const {
    Expr value = stored(i, plane, line);
    llvm::ArrayRef<int8_t> book = weight.encoding.codeBook();
    if (!book.empty())
      value = lookUp(builder.target(), value, book, offset());
    if (takesSigned())
      return Halide::reinterpret<int8_t>(value);
    return weight.encoding.codes == CodeKind::Int8 ? value ^ Halide::cast<uint8_t>(0x80) : value;
  }
  bool takesSigned() const { return stages.form == DotForm::Dot4 && builder.target().dot4IsSigned; }
  /// What code() is more than the code's value.
  int offset() const {
    bool hasSign = weight.encoding.codes == CodeKind::Int8 || !weight.encoding.codeBook().empty();
    if (hasSign && (takesSigned() || stages.form == DotForm::Widened16))
      return 0;
    llvm::ArrayRef<int8_t> book = weight.encoding.codeBook();
    if (!book.empty())
      return -*std::min_element(book.begin(), book.end());
    return weight.encoding.codes == CodeKind::Int8 ? 128 : weight.encoding.zero();
  }
  /// The largest value of code() as u8.
  int largestMultiplier() const {
    llvm::ArrayRef<int8_t> book = weight.encoding.codeBook();
    return book.empty() ? weight.encoding.largestCode()
                        : *std::max_element(book.begin(), book.end()) + offset();
  }
  bool decodesOnce() const;
  void decodeOnce(const ActValue &x);
  void decodeCodes();
  void sumOffsets(const ActValue &x);
  void pairMinimums(const ActValue &x);
  Expr fetchAhead() const;
  bool codesAreMultipliers() const {
    return weight.encoding.codes != CodeKind::TernaryB3 && weight.encoding.codeBook().empty() &&
           !weight.shape.highBits;
  }
  Expr activation(const ActValue &x, const Expr &i, const Expr &plane, const Expr &line) const {
    Expr quad = line * stages.planes + plane;
    int quads = int(weight.encoding.groupSize) / 4;
    if (stages.lines * stages.planes > quads) // the last quads of a base-3 line are no weights
      quad = Halide::min(quad, quads - 1);
    return x.codes({firstElement() + quad * 4 + i, 0, xRow});
  }
  /// The first element of the group.
  Expr firstElement() const {
    return group * int(weight.encoding.outerSize()) + cell * int(weight.shape.elements) +
           inner * int(weight.encoding.groupSize);
  }
  /// The sum of the activations' codes over the group at `outer`, `cell`, `inner`.
  Expr groupSum(const ActValue &x, const Expr &outer, const Expr &cell, const Expr &inner) const {
    int size = int(x.activation.getSumSize()), groupSize = int(weight.encoding.groupSize);
    Expr first = outer * (int(weight.encoding.outerSize()) / size) +
                 cell * (int(weight.shape.elements) / size) + inner * (groupSize / size);
    Expr sum = x.sums(first, xRow);
    for (int i = 1; i < groupSize / size; ++i)
      sum = sum + x.sums(first + i, xRow);
    return sum;
  }

  KernelBuilder &builder;
  const WeightValue &weight;
  Var lane, part, tile, row, group;
  Expr weightTile, xRow;            ///< where the weights of `tile` and the x of `row` lie
  Var cell{"cell"}, inner{"inner"}; ///< cell of an outer group, group of a cell
  std::optional<int> scaledOffset;  ///< of decoded codes times inner scales, where those are taken
};

} // namespace tern
#endif
