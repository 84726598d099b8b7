// Embedding rows: single packed weights, decoded. Elements are what IEEE arithmetic makes of code
// and scale: under a scale of NaN all are NaN, under an infinite one infinite or, with code 0, NaN.
#include "compiler/Kernels/KernelBuilder.h"

using namespace mlir;
using Halide::Expr;

namespace tern {

llvm::Error buildEmbed(KernelBuilder &builder, EmbedOp op) {
  const WeightValue &table = builder.get<WeightValue>(op.getTable());
  const IntValue &tokens = builder.get<IntValue>(op.getTokens());
  float scale = op.getScale().convertToFloat();
  auto at = [&target = builder.target(), table, tokens, scale](const Point &p) {
    // Token ids or positions, by the table: whatever a plan passes leads nowhere else.
    Expr token = Halide::clamp(tokens.at(p.row), 0, int(table.rows - 1));
    // Lanes of the last tile beyond the row's end lie outside the table.
    Expr k = table.k % rowPadding == 0 ? p.element() : Halide::min(p.element(), int(table.k - 1));
    Expr value = decodeWeight(target, table, token, k);
    return scale == 1.0f ? value : value * scale;
  };
  builder.set(op.getResult(), FloatValue{cast<RankedTensorType>(op.getResult().getType()), at});
  return llvm::Error::success();
}

} // namespace tern
