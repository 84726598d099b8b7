// The shared blocks of language models as tern ops.
#include "compiler/Import/Architectures/GraphBuilder.h"

#include "compiler/Import/Architectures/Rope.h"
#include "compiler/Import/Architectures/Scalars.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

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
  function =
      func::FuncOp::create(symbols, location, "forward",
                           builder.getFunctionType({integers, integers, integers, integers},
                                                   {rows(config.vocabulary), rows(config.hidden)}));
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
      weightSource = FileAttr::get(builder.getContext(), 0, 0, 0, "f32", {});
    WeightOp::create(symbols, location, name, type, weightSource);
    OpBuilder::InsertionGuard guard(builder);
    value = ParamOp::create(builder, location, type,
                            FlatSymbolRefAttr::get(builder.getContext(), name));
  }
  return value;
}

Attribute GraphBuilder::sourceOf(const SourceTensor *tensor, uint64_t rowCount,
                                 const std::optional<Rows> &within) {
  if (!tensor || !within)
    return tensor ? tensor->source : Attribute();
  auto file = cast<FileAttr>(tensor->source);
  uint64_t rowBytes = file.getSize() / within->total;
  if (file.getSize() % within->total != 0) {
    fail("tensor '" + within->tensor + "' is stored as " + file.getFormat() +
         ", whose rows cannot be taken apart");
    return {};
  }
  return FileAttr::get(builder.getContext(), file.getIndex(),
                       file.getOffset() + within->first * rowBytes, rowCount * rowBytes,
                       file.getFormat(), file.getScale());
}

Value GraphBuilder::matrix(const Twine &name, uint64_t rowCount, uint64_t columns,
                           const std::optional<Rows> &within) {
  std::string key = name.str();
  const SourceTensor *tensor = within ? require(within->tensor, {within->total, columns})
                                      : require(key, {rowCount, columns});
  return matrixOf(key, tensor, rowCount, columns, within);
}

Value GraphBuilder::matrixOf(StringRef name, const SourceTensor *tensor, uint64_t rowCount,
                             uint64_t columns, const std::optional<Rows> &within) {
  auto encoding =
      EncodingAttr::get(builder.getContext(), tensor ? tensor->encoding : EncodingDesc());
  auto type =
      RankedTensorType::get({int64_t(rowCount), int64_t(columns)}, builder.getF32Type(), encoding);
  return param(name, type, sourceOf(tensor, rowCount, within));
}

Value GraphBuilder::vector(const Twine &name, ArrayRef<uint64_t> shape,
                           const std::optional<Rows> &within) {
  std::string key = name.str();
  uint64_t size = 1;
  for (uint64_t dimension : shape)
    size *= dimension;
  const SourceTensor *tensor =
      within ? require(within->tensor, {within->total}) : require(key, shape);
  if (tensor && !tensor->encoding.isFloat()) {
    fail("tensor '" + key + "' is stored as " + tensor->encoding.str() +
         ", expected f32, f16 or bf16 for a vector");
    tensor = nullptr;
  }
  return param(key, RankedTensorType::get({int64_t(size)}, builder.getF32Type()),
               sourceOf(tensor, size, within));
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

Value GraphBuilder::multiply(Value x, double factor) {
  if (factor == 1)
    return x;
  return map({x}, [&](OpBuilder &inner, Location at, ValueRange args) -> Value {
    Value constant = arith::ConstantOp::create(inner, at, inner.getF32FloatAttr(float(factor)));
    return arith::MulFOp::create(inner, at, args[0], constant);
  });
}

// cap tanh(x / cap)
Value GraphBuilder::softCap(Value x, double cap) {
  return map({x}, [&](OpBuilder &inner, Location at, ValueRange args) -> Value {
    Scalars scalars(inner, at);
    Value ratio = scalars.multiply(args[0], scalars.constant(1 / cap));
    return scalars.multiply(scalars.op<math::TanhOp>(ratio), scalars.constant(cap));
  });
}

Value GraphBuilder::embed(double scale) {
  Value table = matrix("token_embd.weight", model.vocabulary, model.hidden);
  return EmbedOp::create(builder, location, rows(model.hidden), table, tokens,
                         builder.getF32FloatAttr(float(scale)));
}

Value GraphBuilder::norm(Value x, const Twine &name, ArrayRef<uint64_t> shape, uint64_t group,
                         Bias bias) {
  std::string key = name.str();
  Value weight = vector(key + ".weight", shape);
  auto epsilon = builder.getF32FloatAttr(float(model.epsilon));
  auto groupSize = builder.getI64IntegerAttr(int64_t(group));
  if (model.norm == NormKind::Rms)
    return RmsNormOp::create(builder, location, x.getType(), x, weight, epsilon, groupSize);
  Value biasValue = bias == Bias::None ? Value() : vector(key + ".bias", shape);
  return LayerNormOp::create(builder, location, x.getType(), x, weight, biasValue, epsilon,
                             groupSize);
}

Value GraphBuilder::embedPositions() {
  Value table = matrix("position_embd.weight", model.contextLength, model.hidden);
  return EmbedOp::create(builder, location, rows(model.hidden), table, positions,
                         builder.getF32FloatAttr(1));
}

void GraphBuilder::quantizeActivationsPerToken() {
  module->setAttr("tern.activation_quantization", builder.getStringAttr("int8-per-token"));
}

Value GraphBuilder::norm(Value x, const Twine &name) {
  uint64_t size = uint64_t(cast<RankedTensorType>(x.getType()).getDimSize(1));
  return norm(x, name, {size}, 0, Bias::Required);
}

Value GraphBuilder::norm(Value x, unsigned layer, StringRef name) {
  return norm(x, "blk." + Twine(layer) + "." + name);
}

Value GraphBuilder::queryKeyNorm(Value x, const Twine &name, uint64_t heads, QueryKeyNorm kind) {
  switch (kind) {
  case QueryKeyNorm::None:
    return x;
  case QueryKeyNorm::Head:
    return norm(x, name, {model.keySize}, model.keySize, Bias::None);
  case QueryKeyNorm::OwnHead:
    return has(name + ".weight") ? norm(x, name, {heads, model.keySize}, model.keySize, Bias::None)
                                 : x;
  case QueryKeyNorm::Projection:
    return norm(x, name, {heads * model.keySize}, 0, Bias::None);
  }
  llvm_unreachable("all kinds have a case");
}

Value GraphBuilder::linear(Value x, const Twine &name, uint64_t rowCount, Bias bias) {
  return linear(x, name, rowCount, bias, std::nullopt);
}

Value GraphBuilder::linear(Value x, const Twine &name, uint64_t rowCount, Bias bias,
                           const std::optional<Rows> &within) {
  auto partOf = [&](const char *suffix) -> std::optional<Rows> {
    return within ? std::optional(Rows{within->tensor + suffix, within->first, within->total})
                  : std::nullopt;
  };
  std::string key = name.str();
  Value weight = matrix(key + ".weight", rowCount,
                        cast<RankedTensorType>(x.getType()).getDimSize(1), partOf(".weight"));
  Value biasValue;
  std::string fileName = within ? within->tensor : key;
  if (bias == Bias::Required || (bias == Bias::Optional && has(fileName + ".bias")))
    biasValue = vector(key + ".bias", {rowCount}, partOf(".bias"));
  Value y = LinearOp::create(builder, location, rows(rowCount), x, weight, biasValue);
  if (!has(fileName + ".scale"))
    return y;
  if (biasValue)
    fail("'" + fileName +
         "' has both a .scale and a .bias: models disagree on which comes first, " +
         "and none is known that has both");
  return map({y, vector(fileName + ".scale", {1})},
             [](OpBuilder &inner, Location at, ValueRange args) -> Value {
               return arith::MulFOp::create(inner, at, args[0], args[1]);
             });
}

Value GraphBuilder::rope(Value x, double ownBase) {
  if (model.ropeDimensions == 0)
    return x;
  Value &table = ownBase != 0 ? ownRopeTable : ropeTable;
  if (!table) {
    ModelConfig settings = model;
    if (ownBase != 0) {
      settings.ropeBase = ownBase;
      settings.ropeScaling = {};
      settings.ropeFactors.clear();
    }
    RopeFrequencies rope = ropeFrequencies(settings);
    uint64_t covered = model.contextLength;
    auto type =
        RankedTensorType::get({RopeTableAttr::rowsOf(covered), int64_t(rope.frequencies.size()), 2},
                              builder.getF32Type());
    table = param(ownBase != 0 ? "rope.table.sliding" : "rope.table", type,
                  RopeTableAttr::get(builder.getContext(), covered,
                                     builder.getF64FloatAttr(rope.magnitude),
                                     builder.getDenseF64ArrayAttr(rope.frequencies)));
  }
  return RopeOp::create(builder, location, x.getType(), x, positions, table,
                        builder.getI32IntegerAttr(int32_t(model.keySize)),
                        model.ropePairs == RopePairs::Adjacent ? builder.getUnitAttr()
                                                               : UnitAttr());
}

bool GraphBuilder::slides(unsigned layer, unsigned period) const {
  if (model.window == 0)
    return false;
  return model.slidingLayers.empty() ? period == 0 || layer % period + 1 < period
                                     : model.slidingLayers[layer];
}

static Type cacheElement(Builder &builder, KvElement element) {
  switch (element) {
  case KvElement::F16:
    return builder.getF16Type();
  case KvElement::F32:
    return builder.getF32Type();
  case KvElement::Q8:
    return builder.getI8Type();
  }
  llvm_unreachable("every kind of element is listed");
}

Value GraphBuilder::selfAttention(Value x, unsigned layer, const AttentionOptions &options) {
  std::string prefix = ("blk." + Twine(layer) + ".").str();
  uint64_t heads = model.heads[layer], kvHeads = model.kvHeads[layer];
  uint64_t querySize = heads * model.keySize, keySize = kvHeads * model.keySize,
           valueSize = kvHeads * model.valueSize;
  bool fused = has(prefix + "attn_qkv.weight");
  auto project = [&](const char *name, uint64_t size, uint64_t first) {
    Rows within{prefix + "attn_qkv", first, querySize + keySize + valueSize};
    return linear(x, prefix + name, size, options.inputBias,
                  fused ? std::optional(within) : std::nullopt);
  };
  Value query = project("attn_q", querySize, 0);
  Value key = project("attn_k", keySize, querySize);
  Value value = project("attn_v", valueSize, querySize + keySize);
  query = queryKeyNorm(query, prefix + "attn_q_norm", heads, options.queryKeyNorm);
  key = queryKeyNorm(key, prefix + "attn_k_norm", kvHeads, options.queryKeyNorm);
  if (options.rope) {
    query = rope(query, options.ownRopeBase);
    key = rope(key, options.ownRopeBase);
  }

  uint64_t window = options.window < model.contextLength ? options.window : 0;
  auto cacheType =
      KvType::get(builder.getContext(), unsigned(kvHeads), unsigned(model.keySize),
                  unsigned(model.valueSize), unsigned(window), cacheElement(builder, model.kv));
  std::string cacheName = ("kv." + Twine(layer)).str();
  KvCacheOp::create(symbols, location, cacheName, cacheType);
  Value cache = CacheOp::create(builder, location, cacheType,
                                FlatSymbolRefAttr::get(builder.getContext(), cacheName));
  cache = KvStoreOp::create(builder, location, cache, key, value, positions, slots);
  auto numberUnless0 = [&](double number) {
    return number == 0 ? FloatAttr() : builder.getF32FloatAttr(float(number));
  };
  double scale = model.attentionScale.value_or(
      options.scale != 0 ? options.scale : 1 / std::sqrt(double(model.keySize)));
  Value mixed = AttentionOp::create(
      builder, location, rows(heads * model.valueSize), query, cache, positions, slots,
      builder.getI32IntegerAttr(int32_t(heads)), builder.getF32FloatAttr(float(scale)),
      numberUnless0(model.attentionSoftCap), numberUnless0(options.alibi));
  if (!options.subNorm.empty())
    mixed = norm(mixed, layer, options.subNorm);
  return linear(mixed, prefix + "attn_output", model.hidden, Bias::Optional);
}

void GraphBuilder::finishWithLogits(Value x) {
  Value chosen = GatherOp::create(builder, location, rows(model.hidden), x, wanted);
  Value normed = norm(chosen, "output_norm");
  // Tied embeddings: the file has one matrix for both ends.
  StringRef head = has("output.weight") ? "output" : "token_embd";
  Value logits = linear(normed, head, model.vocabulary, Bias::Optional);
  logits = multiply(logits, 1 / model.logitDivisor);
  if (model.finalSoftCap != 0)
    logits = softCap(logits, model.finalSoftCap);
  func::ReturnOp::create(builder, location, ValueRange{logits, normed});
}

} // namespace tern
