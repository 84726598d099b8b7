#include "compiler/Kernels/KernelCost.h"

#include "compiler/Dialect/Tern/TernDialect.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace tern {
namespace {

/// "2048x5632 ternary:g256:f16"
std::string matrixText(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  std::string text = llvm::join(
      llvm::map_range(type.getShape(), [](int64_t size) { return std::to_string(size); }), "x");
  if (auto encoding = dyn_cast_if_present<EncodingAttr>(type.getEncoding()))
    text += " " + encoding.desc().str();
  return text;
}

std::string describe(Operation &op) {
  std::string text = op.getName().stripDialect().str();
  if (auto linear = dyn_cast<LinearOp>(op))
    return text + " " + matrixText(linear.getWeight());
  if (auto embed = dyn_cast<EmbedOp>(op))
    return text + " " + matrixText(embed.getTable());
  if (auto attention = dyn_cast<AttentionOp>(op)) {
    auto cache = cast<KvType>(attention.getCache().getType());
    return text + " " + std::to_string(attention.getHeads()) + "/" +
           std::to_string(cache.getHeads()) + " heads of " + std::to_string(cache.getHeadSize());
  }
  return text;
}

void add(Extent &total, const Extent &extent) {
  total.constant += extent.constant;
  total.perToken += extent.perToken;
  total.perWanted += extent.perWanted;
}

/// What the kernel reads of a weight or table, of which `all` bytes cross its boundary.
Extent readOf(BlockArgument argument, const Extent &all) {
  auto type = cast<RankedTensorType>(argument.getType());
  for (Operation *user : argument.getUsers()) {
    if (auto embed = dyn_cast<EmbedOp>(user); embed && embed.getTable() == argument)
      return perRow(rowCountOf(embed.getTokens()), all.constant / type.getDimSize(0));
    if (auto rope = dyn_cast<RopeOp>(user); rope && rope.getTable() == argument)
      return perRow(rowCountOf(rope.getX()), 2 * (all.constant / type.getDimSize(0)));
    if (auto linear = dyn_cast<LinearOp>(user); linear && linear.getWeight() == argument)
      if (ExpertRowsAttr experts = linear.getExpertRows())
        return perRow(DimSymbol::Tokens, all.constant / experts.getExperts() * experts.getUsed());
  }
  return all;
}

} // namespace

KernelCost describeCost(KernelOp kernel) {
  KernelCost cost;
  Block &body = kernel.getBody().front();
  std::string previous;
  for (Operation &op : body) {
    if (isa<YieldOp, SliceOp, ReshapeOp>(op))
      continue;
    std::string text = describe(op);
    if (text != previous) // several maps in a row read as one
      cost.description += (cost.description.empty() ? "" : ", ") + text;
    previous = std::move(text);
    if (auto attention = dyn_cast<AttentionOp>(op)) {
      auto cache = cast<KvType>(attention.getCache().getType());
      cost.positionBytes +=
          (cache.keyBlockBytes() + cache.valueBlockBytes()) / KvType::blockPositions;
      cost.positionFlops +=
          2 * uint64_t(attention.getHeads()) * (cache.getHeadSize() + cache.getValueSize());
    }
  }
  for (BlockArgument argument : body.getArguments())
    if (isa<RankedTensorType>(argument.getType()))
      for (const Component &component : componentsOf(argument.getType(), rowCountOf(argument)))
        if (component.space == Space::Tensor)
          add(cost.weightBytes, readOf(argument, component.bytes));
  return cost;
}

} // namespace tern
