// tern-fuse: linear ops that read the same x become one.
//
// Query, key and value read the same normalized row, and so do gate and up: one wide matrix means
// one pass over x, one barrier and one stream of weights. Gate and up meet element by element, so
// their rows are interleaved (stacked) and the product is an epilogue; query, key and value are
// appended.
#include "compiler/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringExtras.h"

namespace tern {
#define GEN_PASS_DEF_TERNFUSE
#include "compiler/Transforms/Passes.h.inc"
} // namespace tern

using namespace mlir;
using namespace tern;

namespace {

RankedTensorType tensorOf(Value value) { return cast<RankedTensorType>(value.getType()); }

/// "blk.0.attn_q.weight", "blk.0.attn_k.weight" -> "blk.0.attn_q_attn_k.weight".
std::string joinedName(ArrayRef<WeightOp> weights) {
  SmallVector<StringRef> names;
  for (WeightOp weight : weights)
    names.push_back(weight.getSymName());
  // The common prefix ends at a dot, the common suffix of what remains begins at one.
  StringRef prefix = names.front();
  for (StringRef name : names)
    prefix = prefix.take_front(
        std::mismatch(prefix.begin(), prefix.end(), name.begin(), name.end()).first -
        prefix.begin());
  prefix = prefix.take_front(prefix.rfind('.') + 1);
  for (StringRef &name : names)
    name = name.drop_front(prefix.size());
  StringRef suffix = names.front();
  for (StringRef name : names)
    suffix = suffix.take_back(
        std::mismatch(suffix.rbegin(), suffix.rend(), name.rbegin(), name.rend()).first -
        suffix.rbegin());
  suffix = suffix.drop_front(std::min(suffix.find('.'), suffix.size()));
  for (StringRef &name : names)
    name = name.drop_back(suffix.size());
  return prefix.str() + llvm::join(names, "_") + suffix.str();
}

class LinearFuser {
public:
  explicit LinearFuser(ModuleOp module) : symbols(module) {}

  void run(func::FuncOp function) {
    llvm::MapVector<std::pair<Value, Value>, SmallVector<LinearOp>> byInput; // x, experts
    function.walk([&](LinearOp linear) {
      if (linear.getWeight().getDefiningOp<ParamOp>() &&
          tensorOf(linear.getWeight()).getRank() == 2)
        byInput[{linear.getX(), linear.getExperts()}].push_back(linear);
    });
    for (auto &[input, linears] : byInput) {
      // Encoding and presence of a bias must agree within a group.
      llvm::MapVector<std::pair<Attribute, unsigned>, SmallVector<LinearOp>> alike;
      for (LinearOp linear : linears)
        if (!linear.getBias() || linear.getBias().getDefiningOp<ParamOp>())
          alike[{tensorOf(linear.getWeight()).getEncoding(), linear.getBias() ? 1u : 0u}].push_back(
              linear);
      for (auto &[key, group] : alike)
        if (isPair(group))
          stack(group);
        else if (group.size() > 1 && !group.front().getExperts())
          concat(group);
    }
  }

private:
  SymbolTable symbols;

  /// Two equal matrices without bias whose results meet in one map and nowhere else.
  static bool isPair(ArrayRef<LinearOp> group) {
    if (group.size() != 2)
      return false;
    LinearOp first = group[0], second = group[1];
    if (first.getBias() || first.getWeight().getType() != second.getWeight().getType() ||
        first.getWeight() == second.getWeight() || !first->hasOneUse() || !second->hasOneUse())
      return false;
    Operation *user = *first->getUsers().begin();
    return isa<MapOp>(user) && user == *second->getUsers().begin();
  }

  /// A weight made of the weights behind `values`, and its access at `builder`.
  Value combine(OpBuilder &builder, Location location, ArrayRef<Value> values,
                RankedTensorType type, bool stacked) {
    SmallVector<WeightOp> weights;
    SmallVector<FlatSymbolRefAttr> references;
    for (Value value : values) {
      auto param = value.getDefiningOp<ParamOp>();
      weights.push_back(symbols.lookup<WeightOp>(param.getWeight()));
      references.push_back(param.getWeightAttr());
    }
    OpBuilder symbolBuilder(weights.back()->getContext());
    symbolBuilder.setInsertionPointAfter(weights.back());
    auto weight = WeightOp::create(symbolBuilder, weights.back().getLoc(), joinedName(weights),
                                   type, PartsAttr::get(builder.getContext(), stacked, references));
    symbols.insert(weight);
    return ParamOp::create(builder, location, type,
                           FlatSymbolRefAttr::get(weight.getSymNameAttr()));
  }

  void stack(ArrayRef<LinearOp> group) {
    LinearOp first = group.front();
    OpBuilder builder(first);
    auto part = tensorOf(first.getWeight());
    int64_t parts = static_cast<int64_t>(group.size());
    auto weightType = RankedTensorType::get({parts, part.getDimSize(0), part.getDimSize(1)},
                                            part.getElementType(), part.getEncoding());
    SmallVector<Value> weights;
    for (LinearOp linear : group)
      weights.push_back(linear.getWeight());
    Value weight = combine(builder, first.getLoc(), weights, weightType, /*stacked=*/true);
    auto partType = tensorOf(first.getResult());
    auto resultType = RankedTensorType::get({partType.getDimSize(0), parts, partType.getDimSize(1)},
                                            partType.getElementType());
    Value both = LinearOp::create(builder, first.getLoc(), resultType, first.getX(), weight,
                                  Value(), first.getExperts(), first.getPaired());
    int64_t index = 0;
    for (LinearOp linear : group) {
      Value slice = SliceOp::create(builder, linear.getLoc(), partType, both, 1, index++, 1, true);
      linear.getResult().replaceAllUsesWith(slice);
    }
    for (LinearOp linear : group)
      linear->erase();
  }

  void concat(ArrayRef<LinearOp> group) {
    LinearOp first = group.front();
    OpBuilder builder(first);
    auto part = tensorOf(first.getWeight());
    SmallVector<Value> weights, biases;
    int64_t rows = 0;
    for (LinearOp linear : group) {
      weights.push_back(linear.getWeight());
      if (linear.getBias())
        biases.push_back(linear.getBias());
      rows += tensorOf(linear.getWeight()).getDimSize(0);
    }
    auto weightType = RankedTensorType::get({rows, part.getDimSize(1)}, part.getElementType(),
                                            part.getEncoding());
    Value weight = combine(builder, first.getLoc(), weights, weightType, /*stacked=*/false);
    Value bias;
    if (!biases.empty())
      bias = combine(builder, first.getLoc(), biases,
                     RankedTensorType::get({rows}, builder.getF32Type()),
                     /*stacked=*/false);
    auto partType = tensorOf(first.getResult());
    auto resultType =
        RankedTensorType::get({partType.getDimSize(0), rows}, partType.getElementType());
    Value all = LinearOp::create(builder, first.getLoc(), resultType, first.getX(), weight, bias);
    int64_t offset = 0;
    for (LinearOp linear : group) {
      auto type = tensorOf(linear.getResult());
      Value slice = SliceOp::create(builder, linear.getLoc(), type, all, 1, offset,
                                    type.getDimSize(1), false);
      offset += type.getDimSize(1);
      linear.getResult().replaceAllUsesWith(slice);
    }
    for (LinearOp linear : group)
      linear->erase();
  }
};

struct Fuse : tern::impl::TernFuseBase<Fuse> {
  void runOnOperation() override {
    LinearFuser fuser(getOperation());
    for (auto function : getOperation().getOps<func::FuncOp>())
      fuser.run(function);
  }
};

} // namespace
