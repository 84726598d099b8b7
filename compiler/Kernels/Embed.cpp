// Embedding rows, and the decoding of single packed weights.
#include "compiler/Kernels/KernelBuilder.h"

using namespace mlir;
using Halide::Expr;

namespace tern {

Expr floatCode(const WeightValue &weight, const Expr &stored) {
  if (weight.encoding.codes == CodeKind::BF16) // the upper half of an f32
    return Halide::reinterpret<float>(Halide::cast<uint32_t>(stored) << 16);
  return Halide::cast<float>(stored);
}

Expr decodeWeight(const WeightValue &weight, const Expr &n, const Expr &k, const Expr &part) {
  const EncodingDesc &encoding = weight.encoding;
  int tileRows = int(weight.layout.tileRows);
  Expr lane = n % tileRows, tile = n / tileRows;
  if (encoding.isFloat())
    return floatCode(weight, weight.codes(lane, part, k, tile));
  int groupSize = int(encoding.groupSize), planes = int(weight.planes());
  int bits = int(encoding.codeBits());
  Expr group = k / groupSize, within = k % groupSize;
  Expr i = within % 4, plane = (within / 4) % planes, line = within / (4 * planes);
  Expr byte = weight.codes(i, lane, line, part, group, tile);
  Expr code;
  if (encoding.codes == CodeKind::Int8)
    code = Halide::cast<int32_t>(Halide::reinterpret<int8_t>(byte));
  else
    code = (Halide::cast<int32_t>(byte) >> (plane * bits)) & ((1 << bits) - 1);
  Expr scale = Halide::cast<float>(weight.scales(lane, part, group, tile));
  return scale * Halide::cast<float>(code - encoding.zero());
}

llvm::Error buildEmbed(KernelBuilder &builder, EmbedOp op) {
  const WeightValue &table = builder.get<WeightValue>(op.getTable());
  const IntValue &tokens = builder.get<IntValue>(op.getTokens());
  float scale = op.getScale().convertToFloat();
  auto at = [table, tokens, scale](const Point &p) {
    // The runtime has checked the tokens; the clamp bounds what Halide assumes to be read.
    Expr token = Halide::unsafe_promise_clamped(tokens.at(p.row), 0, int(table.rows - 1));
    // Lanes of the last tile beyond the row's end lie outside the table.
    Expr k = table.k % rowPadding == 0 ? p.element() : Halide::min(p.element(), int(table.k - 1));
    Expr value = decodeWeight(table, token, k);
    return scale == 1.0f ? value : value * scale;
  };
  builder.set(op.getResult(), FloatValue{cast<RankedTensorType>(op.getResult().getType()), at});
  return llvm::Error::success();
}

} // namespace tern
