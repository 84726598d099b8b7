// Verifiers, folders and symbol-use checks of the `tern` ops. Messages name the operand, what was
// found and what was expected.
#include "compiler/Dialect/Tern/TernDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace tern;

namespace {

RankedTensorType tensorOf(Value value) { return cast<RankedTensorType>(value.getType()); }

LogicalResult requireRank(Operation *op, StringRef name, RankedTensorType type, int64_t rank) {
  if (type.getRank() == rank)
    return success();
  return op->emitOpError() << name << " must have rank " << rank << ", got " << type;
}

LogicalResult requireDim(Operation *op, StringRef name, RankedTensorType type, unsigned dim,
                         int64_t expected) {
  if (type.getDimSize(dim) == expected)
    return success();
  return op->emitOpError() << name << " dimension " << dim << " is " << type.getDimSize(dim)
                           << ", expected " << expected;
}

LogicalResult requireSameRows(Operation *op, RankedTensorType a, RankedTensorType b) {
  if (a.getDimSize(0) == b.getDimSize(0))
    return success();
  return op->emitOpError() << a << " and " << b << " must have the same number of rows";
}

LogicalResult requirePlainF32(Operation *op, StringRef name, RankedTensorType type) {
  if (type.getElementType().isF32() && !type.getEncoding())
    return success();
  return op->emitOpError() << name << " must be plain f32, got " << type;
}

/// Body of a structured op: scalar arguments of the given types, one yielded value of `result`.
LogicalResult verifyScalarBody(Operation *op, Region &region, ArrayRef<Type> arguments,
                               Type result) {
  Block &block = region.front();
  if (block.getArgumentTypes() != TypeRange(arguments))
    return op->emitOpError() << "body takes " << block.getNumArguments()
                             << " arguments, expected one scalar of the element type for each of "
                             << arguments.size() << " inputs";
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield || yield.getNumOperands() != 1 || yield.getOperand(0).getType() != result)
    return op->emitOpError() << "body must yield one " << result;
  for (Operation &inner : block.without_terminator())
    if (!isa_and_present<arith::ArithDialect, math::MathDialect>(inner.getDialect()))
      return inner.emitOpError() << "is not allowed in the body of " << op->getName()
                                 << ": only arith and math ops on scalars are";
  return success();
}

} // namespace

//===-- Symbols -------------------------------------------------------------------------------===//

LogicalResult WeightOp::verify() {
  RankedTensorType type = getTensorType();
  if (!type.hasStaticShape())
    return emitOpError() << "needs a static shape, got " << type;
  if (!isa<FileAttr, RopeTableAttr, PartsAttr>(getSource()))
    return emitOpError() << "source must be #tern.file, #tern.rope_table or #tern.parts, got "
                         << getSource();
  if (auto table = dyn_cast<RopeTableAttr>(getSource())) {
    auto expected = RankedTensorType::get({RopeTableAttr::rowsOf(table.getPositions()),
                                           static_cast<int64_t>(table.getFrequencies().size()), 2},
                                          type.getElementType());
    if (type != expected)
      return emitOpError() << "a rope table of " << table.getPositions() << " positions is "
                           << expected << ", got " << type;
  }
  if (auto encoding = dyn_cast_if_present<EncodingAttr>(type.getEncoding())) {
    unsigned group = encoding.desc().outerSize();
    if (group && type.getRank() == 0)
      return emitOpError() << "a scalar has no groups, got " << type;
    if (group && type.getShape().back() % group != 0)
      return emitOpError() << "last dimension " << type.getShape().back()
                           << " is no multiple of the group size " << group;
  }
  return success();
}

LogicalResult ParamOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight = symbols.lookupNearestSymbolFrom<WeightOp>(*this, getWeightAttr());
  if (!weight)
    return emitOpError() << "unknown weight " << getWeightAttr();
  if (weight.getType() != getType())
    return emitOpError() << "type " << getType() << " differs from the weight's "
                         << weight.getType();
  return success();
}

LogicalResult CacheOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto cache = symbols.lookupNearestSymbolFrom<KvCacheOp>(*this, getCacheAttr());
  if (!cache)
    return emitOpError() << "unknown cache " << getCacheAttr();
  if (cache.getType() != getType())
    return emitOpError() << "type " << getType() << " differs from the cache's " << cache.getType();
  return success();
}

//===-- Named model ops -----------------------------------------------------------------------===//

/// A norm over rows, or over runs of `group` elements of them.
template <typename NormOp>
static LogicalResult verifyNorm(NormOp op, int64_t group, const APFloat &epsilon) {
  auto x = tensorOf(op.getX()), weight = tensorOf(op.getWeight());
  if (failed(requireRank(op, "x", x, 2)) || failed(requirePlainF32(op, "x", x)))
    return failure();
  if (op.getResult().getType() != x)
    return op.emitOpError() << "result " << op.getResult().getType() << " differs from x " << x;
  int64_t size = x.getDimSize(1);
  if (group < 0 || (group > 0 && size % group != 0))
    return op.emitOpError() << "row length " << size << " is no multiple of group " << group;
  if (epsilon.isNegative() || !epsilon.isFinite())
    return op.emitOpError() << "epsilon must be finite and not negative";
  if (group > 0 && weight.getDimSize(0) == group)
    return success();
  return requireDim(op, "weight", weight, 0, size);
}

LogicalResult EmbedOp::verify() {
  auto table = tensorOf(getTable()), result = tensorOf(getResult());
  if (failed(requireRank(*this, "table", table, 2)) ||
      failed(requireRank(*this, "result", result, 2)) ||
      failed(requirePlainF32(*this, "result", result)) ||
      failed(requireSameRows(*this, tensorOf(getTokens()), result)))
    return failure();
  return requireDim(*this, "result", result, 1, table.getDimSize(1));
}

static LogicalResult verifyExperts(LinearOp op) {
  if (!op.getExperts()) {
    if (op.getPaired())
      return op.emitOpError()
             << "paired says something about the rows of experts, and there are none";
    return success();
  }
  auto lists = tensorOf(op.getExperts()), weight = tensorOf(op.getWeight());
  auto rows = dyn_cast_if_present<ExpertRowsAttr>(lists.getEncoding());
  if (!rows)
    return op.emitOpError() << "experts must be #tern.expert_rows, got " << lists;
  if (weight.getDimSize(weight.getRank() - 2) % rows.getExperts() != 0)
    return op.emitOpError() << "weight " << weight << " cannot hold " << rows.getExperts()
                            << " experts of equal size";
  if (op.getBias())
    return op.emitOpError() << "experts take no bias";
  return success();
}

LogicalResult LinearOp::verify() {
  auto x = tensorOf(getX()), weight = tensorOf(getWeight()), result = tensorOf(getResult());
  if (failed(requireRank(*this, "x", x, 2)) || failed(requirePlainF32(*this, "result", result)) ||
      failed(requireSameRows(*this, x, result)))
    return failure();
  if (weight.getRank() != 2 && weight.getRank() != 3)
    return emitOpError() << "weight must be [N, K] or [parts, N, K], got " << weight;
  if (failed(verifyExperts(*this)))
    return failure();
  if (failed(requireRank(*this, "result", result, weight.getRank())))
    return failure();
  if (x.getDimSize(1) != weight.getShape().back())
    return emitOpError() << "x has K = " << x.getDimSize(1)
                         << ", weight K = " << weight.getShape().back();
  int64_t experts = getExperts() ? getExpertRows().getExperts() : 1;
  for (int64_t dim = 0, last = weight.getRank() - 2; dim <= last; ++dim)
    if (failed(requireDim(*this, "result", result, dim + 1,
                          weight.getDimSize(dim) / (dim == last ? experts : 1))))
      return failure();
  if (getBias()) {
    if (weight.getRank() != 2)
      return emitOpError() << "a stacked weight takes no bias";
    if (failed(requireDim(*this, "bias", tensorOf(getBias()), 0, weight.getDimSize(0))))
      return failure();
  }
  auto encoding = dyn_cast_if_present<EncodingAttr>(weight.getEncoding());
  auto activation = dyn_cast_if_present<ActivationAttr>(x.getEncoding());
  if (!activation)
    return requirePlainF32(*this, "x", x);
  if (!encoding || encoding.desc().isFloat())
    return emitOpError() << "quantized x needs an integer-coded weight, got " << weight;
  EncodingDesc desc = encoding.desc();
  unsigned group = desc.outerSize(), sums = activation.getSumSize();
  if (activation.getGroupSize() % group != 0 && group % activation.getGroupSize() != 0)
    return emitOpError() << "activation group " << activation.getGroupSize() << " and weight group "
                         << group << " do not nest";
  if (activation.getGroupSize() && activation.getGroupSize() < group)
    return emitOpError() << "activation group " << activation.getGroupSize()
                         << " is smaller than the weight's " << group;
  bool offset = desc.zero() != 0 || !desc.codeBook().empty();
  if ((offset || desc.minimum) && (sums == 0 || desc.groupSize % sums != 0))
    return emitOpError() << "codes with " << (desc.minimum ? "minimums" : "a zero point")
                         << " need sums over " << desc.groupSize
                         << " elements, x has sums = " << sums;
  return success();
}

LogicalResult RouteOp::verify() {
  auto logits = tensorOf(getLogits()), ids = tensorOf(getIds()),
       probabilities = tensorOf(getProbabilities());
  if (failed(requireRank(*this, "logits", logits, 2)) ||
      failed(requirePlainF32(*this, "logits", logits)) ||
      failed(requireRank(*this, "ids", ids, 2)) || failed(requireSameRows(*this, logits, ids)) ||
      failed(requirePlainF32(*this, "probabilities", probabilities)))
    return failure();
  if (!ids.getElementType().isInteger(32) || ids.getShape() != probabilities.getShape())
    return emitOpError() << "results must be i32 and f32 of one shape, got " << ids << " and "
                         << probabilities;
  if (ids.getDimSize(1) < 1 || ids.getDimSize(1) > logits.getDimSize(1))
    return emitOpError() << "cannot choose " << ids.getDimSize(1) << " of " << logits.getDimSize(1)
                         << " experts";
  return success();
}

LogicalResult ExpertRowsOp::verify() {
  auto ids = tensorOf(getIds()), result = tensorOf(getResult());
  auto rows = dyn_cast_if_present<ExpertRowsAttr>(result.getEncoding());
  if (!rows)
    return emitOpError() << "result must be #tern.expert_rows, got " << result;
  if (failed(requireRank(*this, "ids", ids, 2)) || failed(requireSameRows(*this, ids, result)))
    return failure();
  if (!ids.getElementType().isInteger(32))
    return emitOpError() << "ids must be i32, got " << ids;
  return requireDim(*this, "ids", ids, 1, rows.getUsed());
}

LogicalResult CombineOp::verify() {
  auto x = tensorOf(getX()), weights = tensorOf(getWeights()), result = tensorOf(getResult());
  for (auto [name, type] :
       {std::pair<StringRef, RankedTensorType>{"x", x}, {"weights", weights}, {"result", result}})
    if (failed(requireRank(*this, name, type, 2)) || failed(requirePlainF32(*this, name, type)))
      return failure();
  if (failed(requireSameRows(*this, weights, result)))
    return failure();
  return requireDim(*this, "result", result, 1, x.getDimSize(1));
}

LogicalResult RmsNormOp::verify() { return verifyNorm(*this, getGroup(), getEpsilon()); }

LogicalResult LayerNormOp::verify() {
  if (getBias() && getBias().getType() != getWeight().getType())
    return emitOpError() << "bias " << getBias().getType() << " differs from weight "
                         << getWeight().getType();
  return verifyNorm(*this, getGroup(), getEpsilon());
}

LogicalResult EncodeOp::verify() {
  auto x = tensorOf(getX()), result = tensorOf(getResult());
  if (failed(requireRank(*this, "x", x, 2)) || failed(requirePlainF32(*this, "x", x)))
    return failure();
  auto activation = dyn_cast_if_present<ActivationAttr>(result.getEncoding());
  if (!activation || result.getShape() != x.getShape())
    return emitOpError() << "result must be x's shape with a #tern.act encoding, got " << result;
  for (unsigned group : {activation.getGroupSize(), activation.getSumSize()})
    if (group && x.getDimSize(1) % group != 0)
      return emitOpError() << "row length " << x.getDimSize(1) << " is no multiple of " << group;
  return success();
}

LogicalResult RopeOp::verify() {
  auto x = tensorOf(getX()), table = tensorOf(getTable());
  if (failed(requireRank(*this, "x", x, 2)) || failed(requirePlainF32(*this, "x", x)) ||
      failed(requireRank(*this, "table", table, 3)) ||
      failed(requireDim(*this, "table", table, 2, 2)))
    return failure();
  if (tensorOf(getResult()) != x)
    return emitOpError() << "result " << getResult().getType() << " differs from x " << x;
  int64_t headSize = getHeadSize();
  if (headSize <= 0 || x.getDimSize(1) % headSize != 0)
    return emitOpError() << "row length " << x.getDimSize(1) << " is no multiple of head_size "
                         << headSize;
  if (2 * table.getDimSize(1) > headSize)
    return emitOpError() << "table rotates " << 2 * table.getDimSize(1) << " elements, a head has "
                         << headSize;
  if (table.getDimSize(0) <= RopeTableAttr::fineRows)
    return emitOpError() << "table has " << table.getDimSize(0) << " rows, more than "
                         << RopeTableAttr::fineRows << " are needed";
  return success();
}

LogicalResult KvStoreOp::verify() {
  auto cache = cast<KvType>(getCache().getType());
  auto key = tensorOf(getKey()), value = tensorOf(getValue());
  if (failed(requireRank(*this, "key", key, 2)) || failed(requireRank(*this, "value", value, 2)) ||
      failed(requirePlainF32(*this, "key", key)) ||
      failed(requirePlainF32(*this, "value", value)) ||
      failed(requireSameRows(*this, key, value)) ||
      failed(requireDim(*this, "key", key, 1, int64_t(cache.getHeads()) * cache.getHeadSize())))
    return failure();
  return requireDim(*this, "value", value, 1, int64_t(cache.getHeads()) * cache.getValueSize());
}

LogicalResult AttentionOp::verify() {
  auto cache = cast<KvType>(getCache().getType());
  auto query = tensorOf(getQuery()), result = tensorOf(getResult());
  if (failed(requireRank(*this, "query", query, 2)) ||
      failed(requireRank(*this, "result", result, 2)) ||
      failed(requirePlainF32(*this, "query", query)) ||
      failed(requirePlainF32(*this, "result", result)) ||
      failed(requireSameRows(*this, query, result)))
    return failure();
  int64_t heads = getHeads();
  if (heads <= 0 || heads % cache.getHeads() != 0)
    return emitOpError() << "heads = " << heads << " is no multiple of the cache's "
                         << cache.getHeads();
  if (failed(requireDim(*this, "query", query, 1, heads * cache.getHeadSize())))
    return failure();
  for (auto [name, value] : {std::pair("soft_cap", getSoftCap()), std::pair("alibi", getAlibi())})
    if (value && (!value->isFinite() || value->isNegative() || value->isZero()))
      return emitOpError() << name << " must be a finite number above 0";
  return requireDim(*this, "result", result, 1, heads * cache.getValueSize());
}

//===-- Structured ops ------------------------------------------------------------------------===//

LogicalResult MapOp::verify() {
  auto result = tensorOf(getResult());
  SmallVector<Type> arguments;
  for (Value input : getInputs()) {
    auto type = tensorOf(input);
    arguments.push_back(type.getElementType());
    if (type.getEncoding())
      return emitOpError() << "input must be plain, got " << type;
    if (type.getRank() > result.getRank())
      return emitOpError() << "input " << type << " has a higher rank than the result";
    for (int64_t i = 1; i <= type.getRank(); ++i) {
      int64_t size = type.getDimSize(type.getRank() - i);
      if (size != 1 && size != result.getDimSize(result.getRank() - i))
        return emitOpError() << "input " << type << " does not broadcast to " << result;
    }
  }
  return verifyScalarBody(*this, getBody(), arguments, result.getElementType());
}

/// A map that yields one of its inputs unchanged is that input.
OpFoldResult MapOp::fold(FoldAdaptor) {
  auto yield = dyn_cast<YieldOp>(getBody().front().getTerminator());
  if (!yield || yield.getNumOperands() != 1)
    return {};
  auto argument = dyn_cast<BlockArgument>(yield.getOperand(0));
  if (!argument || argument.getOwner() != &getBody().front())
    return {};
  Value input = getInputs()[argument.getArgNumber()];
  return input.getType() == getType() ? OpFoldResult(input) : OpFoldResult();
}

LogicalResult ReduceOp::verify() {
  auto x = tensorOf(getX()), result = tensorOf(getResult());
  if (x.getRank() < 1 || result.getShape() != x.getShape().drop_back())
    return emitOpError() << "result " << result << " must be x " << x
                         << " without its last dimension";
  Type element = x.getElementType();
  return verifyScalarBody(*this, getBody(), {element, element}, result.getElementType());
}

LogicalResult GatherOp::verify() {
  auto x = tensorOf(getX()), result = tensorOf(getResult());
  if (x.getRank() < 1 || result.getRank() != x.getRank() ||
      result.getShape().drop_front() != x.getShape().drop_front())
    return emitOpError() << "result " << result << " must have rows of the shape of x " << x;
  return requireDim(*this, "result", result, 0, tensorOf(getIndices()).getDimSize(0));
}

LogicalResult WindowOp::verify() {
  auto x = tensorOf(getX()), result = tensorOf(getResult());
  int64_t dim = getDim();
  if (dim < 0 || dim >= x.getRank())
    return emitOpError() << "dim " << dim << " is outside the rank of " << x;
  if (getSize() < 1 || getStride() < 1 || getDilation() < 1 || getPadBefore() < 0 ||
      getPadAfter() < 0)
    return emitOpError() << "size, stride and dilation must be positive, padding not negative";
  if (x.isDynamicDim(dim))
    return emitOpError() << "dim " << dim << " of " << x << " must be static";
  int64_t span =
      x.getDimSize(dim) + getPadBefore() + getPadAfter() - getDilation() * (getSize() - 1) - 1;
  if (span < 0)
    return emitOpError() << "window is longer than the padded dimension";
  SmallVector<int64_t> shape(x.getShape());
  shape[dim] = span / getStride() + 1;
  shape.push_back(getSize());
  if (ArrayRef<int64_t>(shape) != result.getShape())
    return emitOpError() << "result must be " << RankedTensorType::get(shape, x.getElementType())
                         << ", got " << result;
  return success();
}

LogicalResult SliceOp::verify() {
  auto x = tensorOf(getX());
  int64_t dim = getDim();
  if (dim < 0 || dim >= x.getRank() || x.isDynamicDim(dim))
    return emitOpError() << "dim " << dim << " must be a static dimension of " << x;
  int64_t offset = getOffset(), length = getLength();
  if (offset < 0 || length < 1 || length > x.getDimSize(dim) - offset)
    return emitOpError() << "range " << getOffset() << " + " << getLength()
                         << " is outside dimension " << dim << " of " << x;
  if (getDrop() && getLength() != 1)
    return emitOpError() << "drop needs length 1, got " << getLength();
  SmallVector<int64_t> shape(x.getShape());
  if (getDrop())
    shape.erase(shape.begin() + dim);
  else
    shape[dim] = getLength();
  auto expected = RankedTensorType::get(shape, x.getElementType());
  if (getResult().getType() != expected)
    return emitOpError() << "result must be " << expected << ", got " << getResult().getType();
  return success();
}

/// The slice of everything is the operand.
OpFoldResult SliceOp::fold(FoldAdaptor) {
  return getType() == getX().getType() ? OpFoldResult(getX()) : OpFoldResult();
}

LogicalResult ReshapeOp::verify() {
  auto x = tensorOf(getX()), result = tensorOf(getResult());
  const RankedTensorType types[2] = {x, result};
  int64_t counts[2] = {1, 1};
  for (auto [count, type] : llvm::zip(counts, types)) {
    for (int64_t i = 0; i < type.getRank(); ++i) {
      if (type.isDynamicDim(i) && i != 0)
        return emitOpError() << "only the leading dimension may be dynamic, got " << type;
      if (!type.isDynamicDim(i))
        count *= type.getDimSize(i);
    }
  }
  bool dynamic[2] = {x.getRank() > 0 && x.isDynamicDim(0),
                     result.getRank() > 0 && result.isDynamicDim(0)};
  if (counts[0] != counts[1] || dynamic[0] != dynamic[1])
    return emitOpError() << x << " and " << result << " do not have the same number of elements";
  return success();
}

/// A reshape to the same type, or of a reshape, is one step shorter.
OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  if (getType() == getX().getType())
    return getX();
  if (auto inner = getX().getDefiningOp<ReshapeOp>()) {
    getXMutable().assign(inner.getX());
    return getResult();
  }
  return {};
}

//===-- Kernels -------------------------------------------------------------------------------===//

LogicalResult KernelOp::verify() {
  auto yield =
      dyn_cast_or_null<YieldOp>(getBody().front().empty() ? nullptr : &getBody().front().back());
  if (!getBody().hasOneBlock() || !yield)
    return emitOpError() << "needs one block that ends in tern.yield";
  if (yield.getOperandTypes() != TypeRange(getResultTypes()))
    return emitOpError() << "yields types that differ from its results";
  auto isSymbol = [](StringRef text) {
    unsigned times = 0;
    return text == "T" || text == "R" ||
           (text.consume_back("T") && !text.getAsInteger(10, times) && times > 1);
  };
  for (unsigned i = 0, e = getNumArguments(); i < e; ++i) {
    auto type = dyn_cast<RankedTensorType>(getArgumentTypes()[i]);
    bool dynamic = type && type.getRank() > 0 && type.isDynamicDim(0);
    auto symbol = getArgAttrOfType<StringAttr>(i, "tern.dim");
    if (dynamic && (!symbol || !isSymbol(symbol.getValue())))
      return emitOpError() << "argument " << i
                           << " has a dynamic dimension and needs tern.dim = \"T\", \"R\" or a "
                              "multiple as \"8T\"";
    if (!dynamic && symbol)
      return emitOpError() << "argument " << i << " has no dynamic dimension for tern.dim "
                           << symbol;
  }
  return success();
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto kernel = symbols.lookupNearestSymbolFrom<KernelOp>(*this, getKernelAttr());
  if (!kernel)
    return emitOpError() << "unknown kernel " << getKernelAttr();
  if (TypeRange(kernel.getArgumentTypes()) != getInputs().getTypes() ||
      TypeRange(kernel.getResultTypes()) != getOutputs().getTypes())
    return emitOpError() << "operand or result types differ from kernel " << getKernelAttr();
  return success();
}
