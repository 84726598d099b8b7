// Gather, slice, reshape: index arithmetic on values, nothing is computed.
#include "compiler/Kernels/KernelBuilder.h"

using namespace mlir;
using Halide::Expr;

namespace tern {

llvm::Error buildGather(KernelBuilder &builder, GatherOp op) {
  const FloatValue &x = builder.get<FloatValue>(op.getX());
  const IntValue &indices = builder.get<IntValue>(op.getIndices());
  Expr rows = builder.rowsOf(op.getX());
  auto at = [x, indices, rows](const Point &p) {
    // The runtime has checked the indices; the clamp bounds what Halide assumes to be read.
    Expr row = Halide::unsafe_promise_clamped(indices.at(p.row), 0, rows - 1);
    return x.at({p.lane, p.tile, row, p.part});
  };
  builder.set(op.getResult(), FloatValue{cast<RankedTensorType>(op.getResult().getType()), at});
  return llvm::Error::success();
}

llvm::Error buildSlice(KernelBuilder &builder, SliceOp op) {
  const FloatValue &x = builder.get<FloatValue>(op.getX());
  auto result = cast<RankedTensorType>(op.getResult().getType());
  int offset = int(op.getOffset()), rank = x.type.getRank();
  int dim = int(op.getDim());
  if (dim == 0)
    return llvm::createStringError("tern.slice of rows has no kernel algorithm");
  bool lastDim = dim == rank - 1;
  if (lastDim && op.getDrop())
    return llvm::createStringError("tern.slice cannot drop the last dimension inside a kernel");
  int last = int(x.size()) - 1;
  auto at = [x, offset, last, lastDim, drop = op.getDrop()](const Point &p) {
    if (!lastDim)
      return x.at({p.lane, p.tile, p.row, drop ? Expr(offset) : p.part + offset});
    if (offset % int(rowPadding) == 0)
      return x.at({p.lane, p.tile + offset / int(rowPadding), p.row, p.part});
    // The padding of the result's last tile may lie beyond the source's.
    return x.at(Point::ofElement(Halide::min(p.element() + offset, last), p.row, p.part));
  };
  builder.set(op.getResult(), FloatValue{result, at});
  return llvm::Error::success();
}

llvm::Error buildReshape(KernelBuilder &builder, ReshapeOp op) {
  const FloatValue &x = builder.get<FloatValue>(op.getX());
  auto result = cast<RankedTensorType>(op.getResult().getType());
  int rank = result.getRank();
  if (rank < 2 || rank > 3 || x.type.getRank() < 2 || x.type.getDimSize(0) != result.getDimSize(0))
    return llvm::createStringError(
        "tern.reshape inside a kernel keeps the rows and has rank 2 or 3");
  int inner = int(result.getShape().back()), sourceInner = int(x.size());
  bool sourceHasParts = x.type.getRank() == 3;
  int last = int(x.parts() * x.size()) - 1;
  auto at = [x, inner, sourceInner, sourceHasParts, last](const Point &p) {
    // The padding of the result's last tile may lie beyond the source.
    Expr element = Halide::min(p.part * inner + p.element(), last);
    if (!sourceHasParts)
      return x.at(Point::ofElement(element, p.row));
    return x.at(Point::ofElement(element % sourceInner, p.row, element / sourceInner));
  };
  builder.set(op.getResult(), FloatValue{result, at});
  return llvm::Error::success();
}

} // namespace tern
