// The feed-forward blocks of language models: plain, gated, mixtures of experts.
#include "compiler/Import/Architectures/GraphBuilder.h"
#include "compiler/Import/Architectures/Scalars.h"

using namespace mlir;

namespace tern {

Value GraphBuilder::activate(Value x, Activation activation) {
  return map({x}, [&](OpBuilder &inner, Location at, ValueRange args) -> Value {
    return Scalars(inner, at).activation(args[0], activation);
  });
}

Value GraphBuilder::activatedProduct(Value gate, Value up, Activation activation) {
  return map({gate, up}, [&](OpBuilder &inner, Location at, ValueRange args) -> Value {
    Scalars scalars(inner, at);
    return scalars.multiply(scalars.activation(args[0], activation), args[1]);
  });
}

Value GraphBuilder::gatedFeedForward(Value x, unsigned layer, const FeedForwardOptions &options) {
  std::string prefix = ("blk." + Twine(layer) + ".").str();
  uint64_t inner = model.feedForward[layer];
  const SourceTensor *joined =
      has(prefix + "ffn_gate.weight") ? nullptr : source.find(prefix + "ffn_up.weight");
  bool fused = joined && joined->shape.size() == 2 && joined->shape[0] == 2 * inner;
  auto project = [&](const char *name, uint64_t first) {
    Rows within{prefix + "ffn_up", first, 2 * inner};
    return linear(x, prefix + name, inner, Bias::Optional,
                  fused ? std::optional(within) : std::nullopt);
  };
  Value gate = project("ffn_gate", 0);
  Value up = project("ffn_up", inner);
  Value product = activatedProduct(gate, up, options.activation);
  if (!options.subNorm.empty())
    product = norm(product, layer, options.subNorm);
  return linear(product, prefix + "ffn_down", model.hidden, Bias::Optional);
}

Value GraphBuilder::expertLinear(Value x, const Twine &name, uint64_t rowCount, Value expertRows,
                                 bool paired) {
  std::string key = (name + ".weight").str();
  uint64_t columns = cast<RankedTensorType>(x.getType()).getDimSize(1), count = model.experts.count;
  Value weight = matrixOf(key, require(key, {count, rowCount, columns}), count * rowCount, columns);
  return LinearOp::create(builder, location, rows(rowCount), x, weight, Value(), expertRows,
                          paired);
}

Value GraphBuilder::sharedExpert(Value x, const std::string &prefix, uint64_t inner) {
  Value gate = linear(x, prefix + "ffn_gate_shexp", inner, Bias::None);
  Value up = linear(x, prefix + "ffn_up_shexp", inner, Bias::None);
  Value shared = linear(activatedProduct(gate, up, Activation::Silu), prefix + "ffn_down_shexp",
                        model.hidden, Bias::None);
  std::string name = prefix + "ffn_gate_inp_shexp.weight";
  if (!has(name))
    return shared;
  // A matrix of one row, stored as a vector.
  Value weight = matrixOf(name, require(name, {model.hidden}), 1, model.hidden);
  Value share = LinearOp::create(builder, location, rows(1), x, weight, Value());
  return map({shared, share}, [](OpBuilder &inner, Location at, ValueRange args) -> Value {
    Scalars scalars(inner, at);
    Value power = scalars.op<math::ExpOp>(scalars.op<arith::NegFOp>(args[1]));
    return scalars.divide(args[0], scalars.add(power, scalars.constant(1)));
  });
}

Value GraphBuilder::gatedOrExperts(Value x, unsigned layer, bool normalize) {
  std::string prefix = ("blk." + Twine(layer) + ".").str();
  const ExpertConfig &experts = model.experts;
  if (experts.count == 0 || !has(prefix + "ffn_gate_inp.weight"))
    return gatedFeedForward(x, layer);
  uint64_t inner = experts.feedForward ? experts.feedForward : model.feedForward[layer];
  auto sizes = {ShapedType::kDynamic, int64_t(experts.used)};
  Value logits = linear(x, prefix + "ffn_gate_inp", experts.count, Bias::None);
  auto route =
      RouteOp::create(builder, location, RankedTensorType::get(sizes, builder.getI32Type()),
                      RankedTensorType::get(sizes, builder.getF32Type()), logits,
                      experts.normalize.value_or(normalize) ? builder.getUnitAttr() : UnitAttr(),
                      builder.getF32FloatAttr(float(experts.scale)));
  auto listType = RankedTensorType::get(
      {ShapedType::kDynamic}, builder.getI32Type(),
      ExpertRowsAttr::get(builder.getContext(), unsigned(experts.count), unsigned(experts.used)));
  Value lists = ExpertRowsOp::create(builder, location, listType, route.getIds());
  Value gate = expertLinear(x, prefix + "ffn_gate_exps", inner, lists, /*paired=*/false);
  Value up = expertLinear(x, prefix + "ffn_up_exps", inner, lists, /*paired=*/false);
  Value down = expertLinear(activatedProduct(gate, up, Activation::Silu), prefix + "ffn_down_exps",
                            model.hidden, lists, /*paired=*/true);
  Value y =
      CombineOp::create(builder, location, rows(model.hidden), down, route.getProbabilities());
  if (!has(prefix + "ffn_down_shexp.weight"))
    return y;
  uint64_t shared =
      experts.sharedFeedForward ? experts.sharedFeedForward : model.feedForward[layer];
  return add(y, sharedExpert(x, prefix, shared));
}

Value GraphBuilder::feedForward(Value x, unsigned layer, Activation activation) {
  std::string prefix = ("blk." + Twine(layer) + ".").str();
  Value inner = linear(x, prefix + "ffn_up", model.feedForward[layer], Bias::Optional);
  return linear(activate(inner, activation), prefix + "ffn_down", model.hidden, Bias::Optional);
}

} // namespace tern
