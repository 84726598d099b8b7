// The shared blocks of language models as tern ops.
#include "compiler/Import/Architectures/GraphBuilder.h"

#include "compiler/Import/Architectures/Rope.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace tern {

static std::string shapeText(ArrayRef<uint64_t> shape) {
  std::string text = "[";
  for (uint64_t dimension : shape)
    text += (text.size() > 1 ? ", " : "") + std::to_string(dimension);
  return text + "]";
}

GraphBuilder::GraphBuilder(ModuleOp module, const ModelConfig &config, ModelSource &source)
    : module(module), model(config), source(source), symbols(module.getBodyRegion()),
      builder(module.getContext()), location(module.getLoc()) {
  auto integers = RankedTensorType::get({ShapedType::kDynamic}, builder.getI32Type());
  auto logits = rows(config.vocabulary);
  function = func::FuncOp::create(
      symbols, location, "forward",
      builder.getFunctionType({integers, integers, integers, integers}, {logits}));
  for (unsigned i = 0; i < 4; ++i)
    function.setArgAttr(i, "tern.dim", builder.getStringAttr(i == 3 ? "R" : "T"));
  Block *body = function.addEntryBlock();
  builder.setInsertionPointToStart(body);
  tokens = body->getArgument(0);
  positions = body->getArgument(1);
  slots = body->getArgument(2);
  wanted = body->getArgument(3);
  symbols.setInsertionPoint(function);
}

RankedTensorType GraphBuilder::rows(uint64_t size) {
  return RankedTensorType::get({ShapedType::kDynamic, int64_t(size)}, builder.getF32Type());
}

void GraphBuilder::fail(const Twine &message) { errors.push_back(message.str()); }

llvm::Error GraphBuilder::takeError() {
  if (errors.empty())
    return llvm::Error::success();
  std::string text = model.source + ": " + errors.front();
  if (errors.size() > 1)
    text += " (and " + std::to_string(errors.size() - 1) + " more)";
  return llvm::createStringError(text);
}

//===-- Weights
//-----------------------------------------------------------------------------------===//

const SourceTensor *GraphBuilder::require(StringRef name, ArrayRef<uint64_t> shape) {
  const SourceTensor *tensor = source.find(name);
  if (!tensor) {
    fail("tensor '" + name + "' is missing; expected shape " + shapeText(shape));
    return nullptr;
  }
  if (ArrayRef<uint64_t>(tensor->shape) != shape) {
    fail("tensor '" + name + "' has shape " + shapeText(tensor->shape) + ", expected " +
         shapeText(shape));
    return nullptr;
  }
  return tensor;
}

Value GraphBuilder::param(StringRef name, RankedTensorType type, Attribute weightSource) {
  Value &value = params[name];
  if (!value) {
    if (!weightSource) // already reported; keeps the graph well formed
      weightSource = FileAttr::get(builder.getContext(), 0, 0, 0, "f32");
    WeightOp::create(symbols, location, name, type, weightSource);
    OpBuilder::InsertionGuard guard(builder);
    value = ParamOp::create(builder, location, type,
                            FlatSymbolRefAttr::get(builder.getContext(), name));
  }
  return value;
}

Value GraphBuilder::matrix(const Twine &name, uint64_t rowCount, uint64_t columns) {
  std::string key = name.str();
  const SourceTensor *tensor = require(key, {rowCount, columns});
  auto encoding =
      EncodingAttr::get(builder.getContext(), tensor ? tensor->encoding : EncodingDesc());
  auto type =
      RankedTensorType::get({int64_t(rowCount), int64_t(columns)}, builder.getF32Type(), encoding);
  return param(key, type, tensor ? tensor->source : Attribute());
}

Value GraphBuilder::vector(const Twine &name, uint64_t size) {
  std::string key = name.str();
  const SourceTensor *tensor = require(key, {size});
  if (tensor && !tensor->encoding.isFloat()) {
    fail("tensor '" + key + "' is stored as " + tensor->encoding.str() +
         ", expected f32, f16 or bf16 for a vector");
    tensor = nullptr;
  }
  return param(key, RankedTensorType::get({int64_t(size)}, builder.getF32Type()),
               tensor ? tensor->source : Attribute());
}

//===-- Blocks
//------------------------------------------------------------------------------------===//

Value GraphBuilder::map(ValueRange inputs, MapBody body) {
  Type result = inputs.front().getType();
  auto op = MapOp::create(builder, location, result, inputs);
  Block &block = op.getBody().emplaceBlock();
  for (Value input : inputs)
    block.addArgument(cast<RankedTensorType>(input.getType()).getElementType(), location);
  OpBuilder inner = OpBuilder::atBlockEnd(&block);
  YieldOp::create(inner, location, body(inner, location, block.getArguments()));
  return op;
}

Value GraphBuilder::add(Value a, Value b) {
  return map({a, b}, [](OpBuilder &inner, Location at, ValueRange args) -> Value {
    return arith::AddFOp::create(inner, at, args[0], args[1]);
  });
}

// silu(g) u = g / (1 + exp(-g)) u
Value GraphBuilder::siluProduct(Value gate, Value up) {
  return map({gate, up}, [](OpBuilder &inner, Location at, ValueRange args) -> Value {
    Value one = arith::ConstantOp::create(inner, at, inner.getF32FloatAttr(1));
    Value negated = arith::NegFOp::create(inner, at, args[0]);
    Value exponential = math::ExpOp::create(inner, at, negated);
    Value denominator = arith::AddFOp::create(inner, at, exponential, one);
    Value silu = arith::DivFOp::create(inner, at, args[0], denominator);
    return arith::MulFOp::create(inner, at, silu, args[1]);
  });
}

Value GraphBuilder::embed() {
  Value table = matrix("token_embd.weight", model.vocabulary, model.hidden);
  return EmbedOp::create(builder, location, rows(model.hidden), table, tokens,
                         builder.getF32FloatAttr(1));
}

Value GraphBuilder::norm(Value x, const Twine &name) {
  Value weight = vector(name + ".weight", cast<RankedTensorType>(x.getType()).getDimSize(1));
  return RmsNormOp::create(builder, location, x.getType(), x, weight,
                           builder.getF32FloatAttr(float(model.epsilon)));
}

Value GraphBuilder::rmsNorm(Value x, unsigned layer, StringRef name) {
  return norm(x, "blk." + Twine(layer) + "." + name);
}

Value GraphBuilder::linear(Value x, const Twine &name, uint64_t rowCount, Bias bias) {
  std::string key = name.str();
  Value weight =
      matrix(key + ".weight", rowCount, cast<RankedTensorType>(x.getType()).getDimSize(1));
  Value biasValue;
  if (bias == Bias::Required || (bias == Bias::Optional && source.find(key + ".bias")))
    biasValue = vector(key + ".bias", rowCount);
  return LinearOp::create(builder, location, rows(rowCount), x, weight, biasValue);
}

Value GraphBuilder::rope(Value x) {
  if (model.ropeDimensions == 0)
    return x;
  if (!ropeTable) {
    RopeFrequencies rope = ropeFrequencies(model);
    uint64_t covered = model.contextLength;
    auto type = RankedTensorType::get(
        {int64_t(256 + (covered + 255) / 256), int64_t(rope.frequencies.size()), 2},
        builder.getF32Type());
    ropeTable = param("rope.table", type,
                      RopeTableAttr::get(builder.getContext(), covered,
                                         builder.getF64FloatAttr(rope.magnitude),
                                         builder.getDenseF64ArrayAttr(rope.frequencies)));
  }
  return RopeOp::create(builder, location, x.getType(), x, positions, ropeTable,
                        builder.getI32IntegerAttr(int32_t(model.keySize)),
                        model.ropeAdjacent ? builder.getUnitAttr() : UnitAttr());
}

Value GraphBuilder::selfAttention(Value x, unsigned layer, Bias inputBias) {
  std::string prefix = ("blk." + Twine(layer) + ".").str();
  uint64_t heads = model.heads[layer], kvHeads = model.kvHeads[layer];
  Value query = linear(x, prefix + "attn_q", heads * model.keySize, inputBias);
  Value key = linear(x, prefix + "attn_k", kvHeads * model.keySize, inputBias);
  Value value = linear(x, prefix + "attn_v", kvHeads * model.valueSize, inputBias);
  query = rope(query);
  key = rope(key);

  Type element = model.kvF32 ? Type(builder.getF32Type()) : Type(builder.getF16Type());
  auto cacheType = KvType::get(builder.getContext(), unsigned(kvHeads), unsigned(model.keySize),
                               unsigned(model.valueSize), /*window=*/0, element);
  std::string cacheName = ("kv." + Twine(layer)).str();
  KvCacheOp::create(symbols, location, cacheName, cacheType);
  Value cache = CacheOp::create(builder, location, cacheType,
                                FlatSymbolRefAttr::get(builder.getContext(), cacheName));
  cache = KvStoreOp::create(builder, location, cache, key, value, positions, slots);
  Value mixed = AttentionOp::create(builder, location, rows(heads * model.valueSize), query, cache,
                                    positions, slots, builder.getI32IntegerAttr(int32_t(heads)),
                                    builder.getF32FloatAttr(float(model.attentionScale)));
  return linear(mixed, prefix + "attn_output", model.hidden, Bias::Optional);
}

Value GraphBuilder::gatedFeedForward(Value x, unsigned layer) {
  std::string prefix = ("blk." + Twine(layer) + ".").str();
  uint64_t inner = model.feedForward[layer];
  Value gate = linear(x, prefix + "ffn_gate", inner, Bias::Optional);
  Value up = linear(x, prefix + "ffn_up", inner, Bias::Optional);
  return linear(siluProduct(gate, up), prefix + "ffn_down", model.hidden, Bias::Optional);
}

void GraphBuilder::finishWithLogits(Value x) {
  Value chosen = GatherOp::create(builder, location, rows(model.hidden), x, wanted);
  Value normed = norm(chosen, "output_norm");
  // Tied embeddings: the file has one matrix for both ends.
  StringRef head = source.find("output.weight") ? "output" : "token_embd";
  Value logits = linear(normed, head, model.vocabulary, Bias::Optional);
  func::ReturnOp::create(builder, location, logits);
}

} // namespace tern
