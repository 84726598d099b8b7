// Signatures from types and ops alone: no Halide, so that the process that lowers to a plan and the
// one that generates code derive the same boundary.
#include "compiler/Kernels/KernelSignature.h"

#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Kernels/ExpertRows.h"
#include "targets/TargetInfo.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace tern {

Extent perRow(RowCount rows, uint64_t n) {
  switch (rows.symbol) {
  case DimSymbol::None:
    return {n, 0, 0};
  case DimSymbol::Tokens:
    return {0, n * rows.times, 0};
  case DimSymbol::Wanted:
    return {0, 0, n * rows.times};
  }
  llvm_unreachable("unknown dimension symbol");
}

RowCount parseRowCount(StringRef text) {
  DimSymbol symbol = text.ends_with("R") ? DimSymbol::Wanted : DimSymbol::Tokens;
  unsigned times = 1;
  (void)text.drop_back().getAsInteger(10, times); // nothing to parse: once
  return {symbol, times};
}

RowCount rowCountOf(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || type.getRank() == 0 || !type.isDynamicDim(0))
    return DimSymbol::None;
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto kernel = cast<KernelOp>(argument.getOwner()->getParentOp());
    auto symbol = kernel.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "tern.dim");
    return symbol ? parseRowCount(symbol.getValue()) : DimSymbol::Tokens;
  }
  Operation *op = value.getDefiningOp();
  if (auto gather = dyn_cast<GatherOp>(op))
    return rowCountOf(gather.getIndices());
  if (auto embed = dyn_cast<EmbedOp>(op))
    return rowCountOf(embed.getTokens());
  if (auto combine = dyn_cast<CombineOp>(op))
    return rowCountOf(combine.getWeights());
  if (auto linear = dyn_cast<LinearOp>(op); linear && linear.getExperts())
    return {DimSymbol::Tokens, linear.getExpertRows().getUsed()};
  for (Value operand : op->getOperands())
    if (RowCount rows = rowCountOf(operand); !rows.isStatic())
      return rows;
  return DimSymbol::None;
}

namespace {

uint64_t padded(uint64_t elements) { return llvm::alignTo(elements, rowPadding); }

/// Rows of a value with a leading dimension: one per rowCount, or the static count.
uint64_t staticRows(RankedTensorType type) {
  return type.isDynamicDim(0) ? 1 : uint64_t(type.getDimSize(0));
}

SmallVector<Component, 3> activationComponents(RankedTensorType type, ActivationAttr activation,
                                               RowCount rowCount) {
  uint64_t k = type.getDimSize(1), rows = staticRows(type);
  uint64_t groups = activation.getGroupSize() ? k / activation.getGroupSize() : 1;
  SmallVector<Component, 3> result;
  result.push_back({"codes", perRow(rowCount, rows * llvm::alignTo(k, codePadding)), Space::Arena});
  result.push_back({"scales", perRow(rowCount, rows * groups * 4), Space::Arena});
  if (activation.getSumSize())
    result.push_back(
        {"sums", perRow(rowCount, rows * (k / activation.getSumSize()) * 4), Space::Arena});
  return result;
}

uint64_t packedWeightBytes(RankedTensorType type, EncodingAttr encoding) {
  std::optional<WeightLayout> layout;
  if (StringAttr id = encoding.getLayout())
    layout = parseWeightLayout(id.getValue());
  if (!layout)
    llvm::report_fatal_error("a weight crosses a kernel boundary without a known layout");
  unsigned rank = type.getRank();
  uint64_t parts = rank == 3 ? type.getDimSize(0) : 1;
  return layout->packedBytes(encoding.desc(), type.getDimSize(rank - 2), type.getDimSize(rank - 1),
                             parts);
}

SmallVector<Component, 3> plainComponents(RankedTensorType type, RowCount rowCount) {
  unsigned rank = type.getRank();
  uint64_t elementBytes = llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  if (rowCount.isStatic() && rank >= 3) // tables
    return {{"", perRow(rowCount, uint64_t(type.getNumElements()) * elementBytes), Space::Tensor}};
  if (rank == 1) {
    if (rowCount.isStatic() && type.getElementType().isF32())
      return {{"", perRow(rowCount, padded(type.getDimSize(0)) * elementBytes), Space::Tensor}};
    Space space = type.getElementType().isInteger() ? Space::Input : Space::Arena;
    return {{"", perRow(rowCount, staticRows(type) * elementBytes), space}};
  }
  uint64_t elements = staticRows(type) * padded(type.getShape().back());
  for (int64_t inner : type.getShape().drop_front().drop_back())
    elements *= inner;
  return {{"", perRow(rowCount, elements * elementBytes), Space::Arena}};
}

Extent scaled(Extent extent, uint64_t factor) {
  return {extent.constant * factor, extent.perToken * factor, extent.perWanted * factor};
}

/// Rows the kernel works on: those of the first value computed in it that has rows.
Extent rowsOf(KernelOp kernel) {
  for (Operation &op : kernel.getBody().front()) {
    Value value = op.getNumResults() && isa<RankedTensorType>(op.getResult(0).getType())
                      ? op.getResult(0)
                      : (op.getNumOperands() > 1 ? op.getOperand(1) : Value());
    if (!value)
      continue;
    if (auto type = dyn_cast<RankedTensorType>(value.getType()); type && type.getRank() > 0)
      return perRow(rowCountOf(value), staticRows(type));
  }
  return {1, 0, 0};
}

Extent tasksOf(KernelOp kernel, const TargetInfo &target) {
  if (auto linear = kernel.find<LinearOp>()) {
    auto outputs = cast<RankedTensorType>(linear.getResult().getType()).getShape().back();
    return {llvm::divideCeil(uint64_t(outputs), target.layout.tileRows), 0, 0};
  }
  if (kernel.find<ExpertRowsOp>())
    return {1, 0, 0};
  Extent rows = rowsOf(kernel);
  if (auto attention = kernel.find<AttentionOp>())
    return scaled(rows, cast<KvType>(attention.getCache().getType()).getHeads());
  return rows;
}

/// Two operations per weight and row for linear ops, one per element for everything else.
/// Attention depends on positions and is not counted.
Extent operationsOf(KernelOp kernel) {
  Extent total;
  auto add = [&](Extent extent) {
    total.constant += extent.constant;
    total.perToken += extent.perToken;
    total.perWanted += extent.perWanted;
  };
  for (Operation &op : kernel.getBody().front()) {
    if (op.getNumResults() == 0)
      continue;
    auto type = dyn_cast<RankedTensorType>(op.getResult(0).getType());
    if (!type || type.getRank() == 0 || isa<AttentionOp, SliceOp, ReshapeOp>(op))
      continue;
    uint64_t perRowOperations = 1;
    if (auto linear = dyn_cast<LinearOp>(op))
      perRowOperations = 2 * cast<RankedTensorType>(linear.getWeight().getType()).getNumElements() /
                         (linear.getExperts() ? linear.getExpertRows().getExperts() : 1);
    else
      for (int64_t size : type.getShape().drop_front())
        perRowOperations *= size;
    add(perRow(rowCountOf(op.getResult(0)), perRowOperations * staticRows(type)));
  }
  return total;
}

/// What the ops of a kernel take an argument for.
std::optional<Input> inputOf(Value value) {
  for (OpOperand &use : value.getUses()) {
    auto is = [&use](OpOperand &operand) { return &use == &operand; };
    Operation *op = use.getOwner();
    if (isa<GatherOp>(op))
      return Input::WantedRows;
    if (auto store = dyn_cast<KvStoreOp>(op))
      return is(store.getSlotsMutable()) ? Input::Slots : Input::Positions;
    if (auto attention = dyn_cast<AttentionOp>(op))
      return is(attention.getSlotsMutable()) ? Input::Slots : Input::Positions;
  }
  return std::nullopt;
}

/// `stores`: the kernel yields its cache operand after writing to it.
void addArguments(KernelSignature &signature, Value value, bool isResult, unsigned number,
                  bool stores) {
  if (isResult && isa<KvType>(value.getType()))
    return;
  std::string base = (isResult ? "res" : "arg") + std::to_string(number);
  for (auto [index, component] :
       llvm::enumerate(componentsOf(value.getType(), rowCountOf(value)))) {
    Access access = isResult ? Access::Write : Access::Read;
    if (stores && (component.space == Space::KvKey || component.space == Space::KvValue))
      access = Access::ReadWrite;
    std::string name = component.suffix.empty() ? base : base + "." + component.suffix.str();
    signature.arguments.push_back(
        {std::move(name), access, component, isResult, number, unsigned(index),
         component.space == Space::Input ? inputOf(value) : std::nullopt});
  }
}

} // namespace

SmallVector<Component, 3> componentsOf(Type type, RowCount rows) {
  if (auto kv = dyn_cast<KvType>(type))
    return {{"keys", {kv.keyBlockBytes(), 0, 0}, Space::KvKey},
            {"values", {kv.valueBlockBytes(), 0, 0}, Space::KvValue},
            {"block_table", {4, 0, 0}, Space::BlockTable}};
  auto tensor = cast<RankedTensorType>(type);
  if (auto activation = dyn_cast_if_present<ActivationAttr>(tensor.getEncoding()))
    return activationComponents(tensor, activation, rows);
  if (auto encoding = dyn_cast_if_present<EncodingAttr>(tensor.getEncoding()))
    return {{"", {packedWeightBytes(tensor, encoding), 0, 0}, Space::Tensor}};
  if (auto experts = dyn_cast_if_present<ExpertRowsAttr>(tensor.getEncoding()))
    return {{"", ExpertRowsLayout(experts.getExperts(), experts.getUsed()).bytes(), Space::Arena}};
  return plainComponents(tensor, rows);
}

KernelSignature describeKernel(KernelOp kernel, const TargetInfo &target) {
  KernelSignature signature;
  signature.name = kernel.getSymName().str();
  Block &body = kernel.getBody().front();
  bool stores = llvm::any_of(kernel.getResultTypes(), llvm::IsaPred<KvType>);
  for (auto [i, argument] : llvm::enumerate(body.getArguments()))
    addArguments(signature, argument, /*isResult=*/false, i, stores);
  for (auto [i, result] : llvm::enumerate(body.getTerminator()->getOperands()))
    addArguments(signature, result, /*isResult=*/true, i, stores);
  signature.tasks = tasksOf(kernel, target);
  if (auto attention = kernel.find<AttentionOp>()) {
    auto cache = cast<KvType>(attention.getCache().getType());
    signature.partialBytes =
        attention.getHeads() / cache.getHeads() * partialStride(cache.getValueSize()) * 4;
    signature.window = cache.getWindow();
  }
  signature.flops = operationsOf(kernel);
  return signature;
}

} // namespace tern
