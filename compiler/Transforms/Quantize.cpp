// tern-quantize: weight encodings by policy, and int8 activations where integer codes meet them.
//
// Only types change: a weight's source stays, so values are exact under `keep`, and the packer
// re-encodes otherwise.
#include "compiler/Transforms/Passes.h"
#include "compiler/Transforms/QuantizationPolicy.h"
#include "compiler/Transforms/WeightEncoding.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"

namespace tern {
#define GEN_PASS_DEF_TERNQUANTIZE
#include "compiler/Transforms/Passes.h.inc"
} // namespace tern

using namespace mlir;
using namespace tern;

namespace {

/// How activations that meet codes of this encoding are quantized: in the weight's outermost
/// groups, so K-quants and ternary formats take them by 256 and most others by 32. Sums serve codes
/// with a zero point or minimums and, on targets whose dot product takes unsigned codes, int8;
/// K-quants share one form whatever their groups, so that matrices of several kinds read the same
/// codes.
ActivationAttr activationFor(MLIRContext *context, const EncodingDesc &weight,
                             bool trainedPerToken) {
  unsigned group = std::max(32u, weight.outerSize()), sums = weight.groupSize;
  if (weight.hasSuper())
    sums = 16;
  if (weight.isTernary() && trainedPerToken)
    group = 0;
  return ActivationAttr::get(context, group, sums);
}

struct Quantize : tern::impl::TernQuantizeBase<Quantize> {
  using TernQuantizeBase::TernQuantizeBase;

  /// Sets the encodings that the policy asks for.
  LogicalResult encodeWeights(const QuantizationPolicy &policyRules, SymbolTable &symbols,
                              ArrayRef<ParamOp> matrices) {
    for (ParamOp param : matrices) {
      auto weight = symbols.lookup<WeightOp>(param.getWeight());
      if (!weight)
        return param.emitOpError() << "unknown weight " << param.getWeightAttr();
      RankedTensorType type = weight.getTensorType();
      std::optional<EncodingDesc> wanted = policyRules.encodingFor(weight.getSymName());
      if (!wanted)
        continue;
      if (wanted->groupSize && type.getShape().back() % wanted->outerSize() != 0)
        return weight.emitError() << "weight '" << weight.getSymName() << "' has rows of "
                                  << type.getShape().back()
                                  << " elements, no multiple of the group of "
                                  << wanted->outerSize()
                                  << " that its quantization policy asks for; add '"
                                  << weight.getSymName()
                                  << "=keep' or another policy for it to --quantize";
      setEncoding(param, weight, *wanted);
    }
    return success();
  }

  /// x of a linear op on integer codes, quantized; one encode per x and grouping.
  void encodeActivation(LinearOp linear, bool trainedPerToken,
                        DenseMap<std::pair<Value, Attribute>, Value> &encoded) {
    auto weightType = cast<RankedTensorType>(linear.getWeight().getType());
    auto encoding = dyn_cast_if_present<EncodingAttr>(weightType.getEncoding());
    if (!encoding || encoding.desc().isFloat())
      return;
    Value x = linear.getX();
    auto xType = cast<RankedTensorType>(x.getType());
    ActivationAttr activation = activationFor(&getContext(), encoding.desc(), trainedPerToken);
    Value &quantized = encoded[{x, activation}];
    if (!quantized) {
      OpBuilder builder(linear);
      if (Operation *producer = x.getDefiningOp())
        builder.setInsertionPointAfter(producer);
      quantized = EncodeOp::create(
          builder, x.getLoc(),
          RankedTensorType::get(xType.getShape(), xType.getElementType(), activation), x);
    }
    linear.getXMutable().assign(quantized);
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto rules = QuantizationPolicy::parse(policy);
    if (!rules) {
      module.emitError() << llvm::toString(rules.takeError());
      return signalPassFailure();
    }
    if (rules->budget()) {
      module.emitError()
          << "a budget needs the values of weights, which a module in text form does "
             "not have: give ternc the model's file";
      return signalPassFailure();
    }
    SmallVector<ParamOp> matrices;
    module.walk([&](ParamOp param) {
      if (isQuantizedMatrix(param))
        matrices.push_back(param);
    });
    SymbolTable symbols(module);
    if (failed(encodeWeights(*rules, symbols, matrices)))
      return signalPassFailure();
    for (const std::string &pattern : rules->unusedPatterns()) {
      module.emitError() << "quantization pattern '" << pattern
                         << "' decides no weight: it matches none, or later patterns match "
                            "them all; weights are named as in the input file, e.g. '"
                         << (matrices.empty() ? StringRef("blk.0.ffn_up.weight")
                                              : matrices.front().getWeight())
                         << "'";
      return signalPassFailure();
    }
    auto trained = module->getAttrOfType<StringAttr>("tern.activation_quantization");
    bool perToken = trained && trained.getValue() == "int8-per-token";
    DenseMap<std::pair<Value, Attribute>, Value> encoded;
    module.walk([&](LinearOp linear) { encodeActivation(linear, perToken, encoded); });
  }
};

} // namespace

bool tern::isQuantizedMatrix(ParamOp param) {
  return llvm::any_of(param->getUses(), [](OpOperand &use) {
    auto linear = dyn_cast<LinearOp>(use.getOwner());
    return (linear && linear.getWeight() == use.get()) || isa<EmbedOp>(use.getOwner());
  });
}

void tern::setEncoding(ParamOp param, WeightOp weight, const EncodingDesc &encoding) {
  RankedTensorType type = weight.getTensorType();
  auto encoded = RankedTensorType::get(type.getShape(), type.getElementType(),
                                       EncodingAttr::get(param.getContext(), encoding));
  weight.setType(encoded);
  param.getResult().setType(encoded);
}
