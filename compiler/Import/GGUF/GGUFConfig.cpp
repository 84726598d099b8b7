// Hyperparameters from GGUF metadata, each checked for type and range.
#include "compiler/Import/GGUF/GGUFConfig.h"

#include "compiler/Encoding/BlockFormat.h"
#include "llvm/ADT/StringSet.h"
#include <cmath>

using namespace llvm;

namespace tern {

namespace {

constexpr uint64_t largestSize = INT32_MAX;
constexpr uint64_t largestLayers = 4096;
constexpr uint64_t largestHead = 65536;
constexpr uint64_t largestExperts = 1024;
constexpr uint64_t largestUsedExperts = 64;
constexpr const char *longFactors = "rope_factors_long.weight";
constexpr const char *shortFactors = "rope_factors_short.weight";

// Keys that say nothing about the result, or nothing that the tensors do not say too.
constexpr const char *keysWithoutEffect[] = {
    "vocab_size", "tensor_data_layout", "rope.scaling.finetuned",
    "rope.scaling.original_context_length", "use_parallel_residual"};

// Reads typed keys of the architecture; the first failure is kept and stands for all.
class Keys {
public:
  Keys(const gguf::File &file, StringRef architecture)
      : file(file), path(file.parts()[0].path), prefix(architecture.str() + ".") {}

  bool has(const char *name) { return find(name); }

  uint64_t required(const char *name, uint64_t smallest, uint64_t largest) {
    const gguf::Value *value = find(name);
    if (!value) {
      fail(name, "is missing");
      return smallest;
    }
    return checked(name, *value, value->asUnsigned(), smallest, largest);
  }

  uint64_t optional(const char *name, uint64_t otherwise, uint64_t smallest, uint64_t largest) {
    return has(name) ? required(name, smallest, largest) : otherwise;
  }

  double positive(const char *name, double otherwise) {
    const gguf::Value *value = find(name);
    if (!value)
      return otherwise;
    std::optional<double> number = value->asDouble();
    if (!number || !std::isfinite(*number) || *number <= 0) {
      fail(name, "is " + value->text() + " (" + value->typeName() + "), expected a number above 0");
      return otherwise;
    }
    return *number;
  }

  // A scalar for all layers, or an array with one entry per layer.
  std::vector<uint64_t> perLayer(const char *name, uint64_t layers, uint64_t largest) {
    const gguf::Value *value = find(name);
    std::vector<uint64_t> result(layers, 1);
    if (!value || !value->isArray()) {
      result.assign(layers, required(name, 1, largest));
    } else if (value->count != layers) {
      fail(name, "has " + std::to_string(value->count) + " entries, expected one for each of " +
                     std::to_string(layers) + " layers");
    } else {
      for (uint64_t i = 0; i < layers; ++i)
        result[i] = checked(name, *value, value->unsignedAt(i), 1, largest);
    }
    return result;
  }

  // Which layers a property holds for: an array of booleans, or a period n, which leaves out every
  // n-th layer (0: none). Empty without the key.
  std::vector<bool> layerPattern(const char *name, uint64_t layers) {
    const gguf::Value *value = file.find(prefix + name);
    std::vector<bool> result;
    if (!value)
      return result;
    if (!value->isArray()) {
      uint64_t period = required(name, 0, largestLayers);
      for (uint64_t layer = 0; layer < layers; ++layer)
        result.push_back(period == 0 || layer % period + 1 < period);
      return result;
    }
    if (value->count != layers)
      fail(name, "has " + std::to_string(value->count) + " entries, expected one for each of " +
                     std::to_string(layers) + " layers");
    for (uint64_t layer = 0; layer < layers && message.empty(); ++layer) {
      std::optional<bool> truth = value->boolAt(layer);
      if (!truth)
        fail(name, "is of type " + value->typeName() + ", expected an array of booleans");
      result.push_back(truth.value_or(false));
    }
    return result;
  }

  std::string text(const char *name) {
    const gguf::Value *value = find(name);
    if (!value)
      return "";
    std::optional<std::string_view> string = value->asString();
    if (!string)
      fail(name, "is of type " + value->typeName() + ", expected a string");
    return std::string(string.value_or(""));
  }

  bool flag(const char *name, bool otherwise) {
    const gguf::Value *value = find(name);
    if (!value)
      return otherwise;
    std::optional<bool> truth = value->asBool();
    if (!truth)
      fail(name, "is of type " + value->typeName() + ", expected a boolean");
    return truth.value_or(otherwise);
  }

  void fail(const Twine &name, const Twine &what) {
    if (message.empty())
      message = (path + ": metadata key '" + prefix + name + "' " + what).str();
  }
  /// Keys of the architecture that nobody has asked for: they may change the result.
  std::vector<std::string> unread() const {
    std::vector<std::string> result;
    for (const gguf::Entry &entry : file.metadata())
      if (StringRef name = entry.key; name.consume_front(prefix) && !asked.contains(name) &&
                                      !is_contained(keysWithoutEffect, name))
        result.push_back(std::string(entry.key));
    return result;
  }
  Error takeError() { return message.empty() ? Error::success() : createStringError(message); }

private:
  const gguf::Value *find(StringRef name) {
    asked.insert(name);
    return file.find((Twine(prefix) + name).str());
  }

  uint64_t checked(const char *name, const gguf::Value &value, std::optional<uint64_t> number,
                   uint64_t smallest, uint64_t largest) {
    if (number && *number >= smallest && *number <= largest)
      return *number;
    fail(name, "is " + value.text() + " (" + value.typeName() + "), expected an integer from " +
                   Twine(smallest) + " to " + Twine(largest));
    return smallest;
  }

  const gguf::File &file;
  std::string path, prefix, message;
  StringSet<> asked;
};

void readRopeScaling(Keys &keys, const Architecture &architecture, ModelConfig &config) {
  RopeScaling &scaling = config.ropeScaling;
  std::string type = keys.text("rope.scaling.type");
  scaling.factor = keys.positive("rope.scaling.factor", 1);
  if (type.empty() && keys.has("rope.scale_linear")) { // the key before scaling types existed
    type = "linear";
    scaling.factor = keys.positive("rope.scale_linear", 1);
  }
  if (type.empty() && scaling.factor != 1) // a factor alone is linear scaling, as llama.cpp has it
    type = "linear";
  bool isLong = type == "longrope" && architecture.readsAny(Hyperparameters::LongRope);
  if (type.empty() || type == "none" || isLong) // readLongRope finds its tensors
    return;
  if (type == "linear") {
    scaling.kind = RopeScaling::Kind::Linear;
  } else if (type == "yarn") {
    scaling.kind = RopeScaling::Kind::Yarn;
    scaling.originalContext =
        keys.positive("rope.scaling.original_context_length", double(config.contextLength));
    scaling.attentionFactor = keys.positive("rope.scaling.yarn_attn_factor",
                                            keys.positive("rope.scaling.attn_factor", 1));
    scaling.extrapolation = keys.positive("rope.scaling.yarn_ext_factor", 1);
    scaling.betaFast = keys.positive("rope.scaling.yarn_beta_fast", 32);
    scaling.betaSlow = keys.positive("rope.scaling.yarn_beta_slow", 1);
    if (config.ropeBase <= 1)
      keys.fail("rope.freq_base", "must be above 1 for YaRN scaling");
  } else {
    keys.fail("rope.scaling.type", "is '" + type + "', expected none, linear or yarn");
  }
}

Error readFactors(const gguf::File &file, const char *name, ModelConfig &config) {
  const gguf::Tensor *tensor = file.findTensor(name);
  if (!tensor)
    return Error::success();
  const BlockFormat *format = findBlockFormatByGGUFType(tensor->typeNumber);
  uint64_t count = config.ropeDimensions / 2;
  if (!format || !format->isFloat() || tensor->elements != count)
    return createStringError(config.source + ": tensor '" + name + "' has " +
                             Twine(tensor->elements) + " elements of type " +
                             (tensor->type ? tensor->type->name : "unknown") + ", expected " +
                             Twine(count) + " floats");
  std::vector<float> values(count);
  decodeRow(*format, file.bytesOf(*tensor).data(), count, values.data());
  for (float value : values) {
    if (!std::isfinite(value) || value <= 0)
      return createStringError(config.source + ": tensor '" + name +
                               "' holds a factor that is not above 0");
    config.ropeFactors.push_back(value);
  }
  return Error::success();
}

// Contexts beyond the original one take the long factors at every length: keys that are in the
// cache cannot change their positions later.
void readLongRope(const gguf::File &file, Keys &keys, ModelConfig &config) {
  if (!file.findTensor(longFactors) || !file.findTensor(shortFactors))
    return;
  RopeScaling &scaling = config.ropeScaling;
  scaling.kind = RopeScaling::Kind::Long;
  scaling.originalContext =
      double(keys.required("rope.scaling.original_context_length", 1, largestSize));
  scaling.attentionFactor = keys.positive("rope.scaling.attn_factor", 1);
  if (double(config.contextLength) > scaling.originalContext)
    config.notes.push_back("rotary positions are those of contexts above " +
                           std::to_string(uint64_t(scaling.originalContext)) +
                           " tokens, at every length");
}

Error readRopeFactors(const gguf::File &file, ModelConfig &config) {
  if (config.ropeScaling.kind != RopeScaling::Kind::Long)
    return readFactors(file, "rope_freqs.weight", config);
  return readFactors(file,
                     double(config.contextLength) > config.ropeScaling.originalContext
                         ? longFactors
                         : shortFactors,
                     config);
}

void readActivation(Keys &keys, ModelConfig &config) {
  std::string name = keys.text("hidden_activation");
  if (name.empty())
    return;
  if (name == "silu" || name == "swish")
    config.activation = Activation::Silu;
  else if (name == "relu2")
    config.activation = Activation::SquaredRelu;
  else
    keys.fail("hidden_activation", "is " + gguf::quotedText(name) + ", expected 'silu' or 'relu2'");
}

void readExperts(Keys &keys, const Architecture &architecture, ModelConfig &config) {
  using H = Hyperparameters;
  ExpertConfig &experts = config.experts;
  experts.count = architecture.requiresAny(H::Experts)
                      ? keys.required("expert_count", 1, largestExperts)
                      : keys.optional("expert_count", 0, 0, largestExperts);
  if (experts.count == 0) {
    keys.has("expert_used_count"); // 0 in files of models without experts
    return;
  }
  if (!architecture.readsAny(H::Experts)) {
    keys.fail("expert_count", "asks for a mixture of experts, which is not supported for this "
                              "architecture");
    return;
  }
  experts.used = keys.required("expert_used_count", 1, std::min(experts.count, largestUsedExperts));
  experts.feedForward = keys.optional("expert_feed_forward_length", 0, 0, largestSize);
  experts.sharedFeedForward = keys.optional("expert_shared_feed_forward_length", 0, 0, largestSize);
  if (keys.has("expert_weights_norm"))
    experts.normalize = keys.flag("expert_weights_norm", true);
  experts.scale = keys.positive("expert_weights_scale", 1);
  constexpr uint64_t softmax = 1;
  if (uint64_t gating = keys.optional("expert_gating_func", softmax, 0, largestSize);
      gating > softmax) // 0: not said
    keys.fail("expert_gating_func", "is " + Twine(gating) + ", expected 1 (softmax)");
  for (const char *name : {"expert_group_count", "expert_group_used_count"})
    if (keys.optional(name, 1, 0, largestSize) > 1)
      keys.fail(name, "asks for groups of experts, which are not supported");
}

// Hyperparameters of some families; one that this family does not read is an error.
void readFamilySpecifics(Keys &keys, const Architecture &architecture, ModelConfig &config) {
  using H = Hyperparameters;
  auto read = [&](H group, const char *name, double &value) {
    if (architecture.readsAny(group) && !keys.has(name) && architecture.requiresAny(group))
      keys.fail(name, "is missing");
    else if (architecture.readsAny(group))
      value = keys.positive(name, value);
    else if (keys.has(name))
      keys.fail(name, "is not supported for this architecture");
  };
  read(H::AttentionSoftCap, "attn_logit_softcapping", config.attentionSoftCap);
  read(H::FinalSoftCap, "final_logit_softcapping", config.finalSoftCap);
  read(H::Multipliers, "embedding_scale", config.embeddingScale);
  read(H::Multipliers, "residual_scale", config.residualScale);
  read(H::Multipliers, "logit_scale", config.logitDivisor);
  double slidingRopeBase = 0;
  read(H::SlidingRopeBase, "rope.freq_base_swa", slidingRopeBase);
  if (slidingRopeBase != 0)
    config.slidingRopeBase = slidingRopeBase;
  // Granite's models without rotary positions.
  if (architecture.readsAny(H::Multipliers))
    config.usesRope = keys.flag("rope.scaling.finetuned", true);
  if (architecture.readsAny(H::HiddenActivation))
    readActivation(keys, config);

  readExperts(keys, architecture, config);
  if (keys.has("hidden_activation") && !architecture.readsAny(H::HiddenActivation))
    keys.fail("hidden_activation", "is not supported for this architecture");
  for (const char *name :
       {"attention.clamp_kqv", "attention.max_alibi_bias", "attention.temperature_length",
        "attention.temperature_scale", "rope.scaling.yarn_log_multiplier"})
    if (keys.has(name))
      keys.fail(name, "is not supported for this architecture");
  if (!keys.flag("attention.causal", true))
    keys.fail("attention.causal", "is false, but only causal attention is supported");
}

// Shortens the context to what the compiled model computes exactly, and says so.
void limitContext(ModelConfig &config, uint64_t limit, const char *reason) {
  if (config.contextLength <= limit)
    return;
  config.notes.push_back("compiled for a context of " + std::to_string(limit) +
                         " tokens, the file says " + std::to_string(config.contextLength) + ": " +
                         reason);
  config.contextLength = limit;
}

void readSlidingWindow(Keys &keys, const Architecture &architecture, ModelConfig &config) {
  uint64_t window = architecture.requiresAny(Hyperparameters::SlidingWindow)
                        ? keys.required("attention.sliding_window", 0, largestSize)
                        : keys.optional("attention.sliding_window", 0, 0, largestSize);
  config.slidingLayers = keys.layerPattern("attention.sliding_window_pattern", config.layers);
  if (architecture.readsAny(Hyperparameters::SlidingWindow))
    config.window = window;
  else if (window > 0) // up to its window a model with sliding attention is one without
    limitContext(config, window,
                 "its sliding windows are not built for this architecture, and up to the window "
                 "they change nothing");
}

} // namespace

Expected<ModelConfig> readGGUFConfig(const gguf::File &file, const Architecture &architecture) {
  Keys keys(file, architecture.name);
  ModelConfig config;
  config.norm = architecture.norm;
  config.ropePairs = architecture.ropePairs;
  config.source = file.parts()[0].path;
  config.contextLength = keys.required("context_length", 1, largestSize);
  config.hidden = keys.required("embedding_length", 1, largestSize);
  config.layers = keys.required("block_count", 1, largestLayers);
  config.feedForward = keys.perLayer("feed_forward_length", config.layers, largestSize);
  config.heads = keys.perLayer("attention.head_count", config.layers, largestHead);
  config.kvHeads = keys.has("attention.head_count_kv")
                       ? keys.perLayer("attention.head_count_kv", config.layers, largestHead)
                       : config.heads;
  for (uint64_t layer = 0; layer < config.layers; ++layer)
    if (config.heads[layer] % config.kvHeads[layer] != 0)
      keys.fail("attention.head_count", "is " + Twine(config.heads[layer]) +
                                            ", no multiple of the " + Twine(config.kvHeads[layer]) +
                                            " key and value heads");
  uint64_t evenShare = std::max<uint64_t>(1, config.hidden / config.heads[0]);
  config.keySize = keys.optional("attention.key_length", evenShare, 1, largestHead);
  config.valueSize = keys.optional("attention.value_length", evenShare, 1, largestHead);
  const char *epsilon = config.norm == NormKind::Rms ? "attention.layer_norm_rms_epsilon"
                                                     : "attention.layer_norm_epsilon";
  config.epsilon = keys.positive(epsilon, 0);
  if (config.epsilon == 0)
    keys.fail(epsilon, "is missing");
  if (keys.has("attention.scale"))
    config.attentionScale = keys.positive("attention.scale", 1);

  config.ropeDimensions =
      keys.optional("rope.dimension_count", config.keySize / 2 * 2, 0, config.keySize);
  if (config.ropeDimensions % 2 != 0)
    keys.fail("rope.dimension_count", "is odd, expected an even number");
  config.ropeBase = keys.positive("rope.freq_base", 10000);
  readRopeScaling(keys, architecture, config);
  if (architecture.readsAny(Hyperparameters::LongRope))
    readLongRope(file, keys, config);
  readFamilySpecifics(keys, architecture, config);
  readSlidingWindow(keys, architecture, config);
  limitContext(config, largestContext, "the rotary tables end there");
  if (Error error = keys.takeError())
    return error;
  if (Error error = readRopeFactors(file, config))
    return error;
  const gguf::Tensor *embedding = file.findTensor("token_embd.weight");
  config.vocabulary = embedding && embedding->shape.size() == 2 ? embedding->shape[0] : 1;
  if (config.vocabulary > largestSize)
    return createStringError(config.source + ": tensor 'token_embd.weight' has " +
                             Twine(config.vocabulary) + " rows, expected at most " +
                             Twine(largestSize));
  for (const std::string &key : keys.unread())
    config.notes.push_back("metadata key " + gguf::quotedText(key) +
                           " is not known and has no effect");
  return config;
}

} // namespace tern
