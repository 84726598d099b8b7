// tern inspect on an artifact: contents from the table part, memory from the runtime's own
// estimate.
#include "compiler/Artifact/VariantWeights.h"
#include "runtime/core/Artifact.h"
#include "runtime/core/Source.h"
#include "runtime/core/Verify.h"
#include "tools/tern/InputError.h"
#include "tools/tern/Inspect.h"
#include "tools/tern/MemoryUse.h"
#include "tools/tern/Model.h"
#include "tools/tern/Report.h"
#include "tools/tern/Stream.h"

#include <map>

namespace tern::cli {

namespace {

std::string text(const flatbuffers::String *string) { return string ? string->str() : ""; }

/// Null vectors read as empty.
template <typename Element, typename Convert>
Json listJson(const flatbuffers::Vector<Element> *vector, Convert convert) {
  Json result = Json::array();
  if (vector)
    for (const auto &element : *vector)
      result.push_back(convert(element));
  return result;
}

void requireOk(const Status &status, const std::string &path) {
  if (!status.isOk())
    throw InputError(path, status.message());
}

uint64_t unitBytes(const fb::WeightUnit &unit) {
  return unit.segment() ? unit.segment()->size() : 0;
}

Json tokenizerJson(const fb::Tokenizer *tokenizer) {
  if (!tokenizer)
    return nullptr;
  Json result{{"model", fb::EnumNameTokenizerModel(tokenizer->model())},
              {"pre_tokenizer", text(tokenizer->pre_tokenizer())},
              {"tokens", tokenizer->token_count()}};
  const fb::ChatTemplate *chat = tokenizer->chat();
  result["chat_template"] = chat && chat->family() ? Json(text(chat->family())) : Json();
  if (chat && chat->reason())
    result["chat_template_note"] = text(chat->reason());
  return result;
}

/// Which weights each variant's plans read.
VariantWeights variantWeights(const fb::Artifact &artifact) {
  std::vector<uint64_t> sizes;
  if (artifact.tensors())
    for (const fb::Tensor *tensor : *artifact.tensors())
      sizes.push_back(tensor->size());
  VariantWeights weights(std::move(sizes));
  if (!artifact.variants())
    return weights;
  for (const fb::Variant *variant : *artifact.variants()) {
    std::vector<uint32_t> read;
    if (variant->plans())
      for (const fb::Plan *plan : *variant->plans())
        if (plan->buffers())
          for (const fb::Buffer *buffer : *plan->buffers())
            if (buffer->space() == fb::MemorySpace::tensor)
              read.push_back(buffer->index());
    weights.addVariant(read);
  }
  return weights;
}

template <typename T> Json optionalJson(const flatbuffers::Optional<T> &value) {
  return value ? Json(*value) : Json();
}

/// Whose numbers a kernel goes by.
Json inputsJson(const fb::Kernel &kernel) {
  Json inputs = Json::array();
  if (kernel.arguments())
    for (const fb::KernelArgument *argument : *kernel.arguments())
      if (const auto input = argument->input())
        inputs.push_back(fb::EnumNameInputKind(*input));
  return inputs;
}

Json variantJson(const fb::Variant &variant, const VariantWeights::Bytes &weights) {
  return {{"target", text(variant.target())},
          {"features", listJson(variant.features(),
                                [](const flatbuffers::String *name) { return text(name); })},
          {"code_bytes", variant.code() ? variant.code()->size() : 0},
          {"shared_weight_bytes", weights.shared},
          {"own_weight_bytes", weights.own},
          {"kernels", listJson(variant.kernels(),
                               [](const fb::Kernel *kernel) {
                                 return Json{{"name", text(kernel->name())},
                                             {"scratch_bytes", kernel->scratch_bytes()},
                                             {"partial_bytes", kernel->partial_bytes()},
                                             {"window", optionalJson(kernel->window())},
                                             {"inputs", inputsJson(*kernel)}};
                               })},
          {"plans", listJson(variant.plans(), [](const fb::Plan *plan) {
             return Json{{"function", plan->function()},
                         {"commands", plan->commands() ? plan->commands()->size() : 0},
                         {"arena_bytes", plan->arena_bytes()},
                         {"arena_lower_bound", plan->arena_lower_bound()}};
           })}};
}

/// Weights by encoding and layout: how many tensors, how many bytes.
Json encodingsJson(const fb::Artifact &artifact) {
  struct Total {
    uint64_t tensors = 0, bytes = 0;
  };
  std::map<std::pair<std::string, std::string>, Total> totals;
  if (artifact.tensors())
    for (const fb::Tensor *tensor : *artifact.tensors()) {
      Total &total = totals[{text(tensor->encoding()), text(tensor->layout())}];
      ++total.tensors;
      total.bytes += tensor->size();
    }
  Json result = Json::array();
  for (const auto &[key, total] : totals)
    result.push_back({{"encoding", key.first},
                      {"layout", key.second},
                      {"tensors", total.tensors},
                      {"bytes", total.bytes}});
  return result;
}

/// What a session takes on this machine; `programBytes` is this process without a model.
Json memoryJson(const EngineOptions &options, uint64_t programBytes) {
  const Model model(options.model, {TERN_WEIGHTS_MAP}, /*requireKey=*/"");
  const tern_model_info &info = model.info();
  const tern_memory_estimate estimate = model.estimate(options.context, options.threads);
  return {{"target", info.target},
          {"context", model.contextFor(options.context)},
          {"mapped_weight_bytes", info.mapped_weight_bytes},
          {"weight_bytes_per_token", info.weight_bytes_per_token},
          {"kv_bytes_per_token", info.kv_bytes_per_token},
          {"kv_bytes", estimate.kv_bytes},
          {"arena_bytes", estimate.arena_bytes},
          {"scratch_bytes", estimate.scratch_bytes},
          {"sampling_bytes", estimate.sampling_bytes},
          {"other_bytes", estimate.other_bytes},
          {"program_bytes", programBytes},
          {"private_bytes", estimate.total_bytes + programBytes}};
}

} // namespace

Json describeArtifact(const EngineOptions &options) {
  const uint64_t programBytes = privateBytes();
  const std::string &path = options.model;
  runtime::Source source;
  requireOk(runtime::Source::openFile(path.c_str(), source), path);
  runtime::ArtifactTable table;
  requireOk(runtime::ArtifactTable::open(source, Allocator{}, table), path);
  requireOk(runtime::verifyShared(table), path);
  const fb::Artifact &artifact = *table;

  Json result{{"format", "tern"},
              {"file", path},
              {"file_bytes", source.size()},
              {"table_bytes", table.end()},
              {"schema_version", artifact.schema_version()}};
  result["metadata"] = Json::object();
  if (artifact.metadata())
    for (const fb::MetadataEntry *entry : *artifact.metadata())
      result["metadata"][text(entry->key())] = text(entry->value());
  result["context_length"] = artifact.context_length();
  result["vocabulary_size"] = artifact.vocabulary_size();
  result["max_batch"] = artifact.max_batch();
  result["max_wanted"] = artifact.max_wanted();
  result["tokenizer"] = tokenizerJson(artifact.tokenizer());
  const VariantWeights weights = variantWeights(artifact);
  result["variants"] =
      listJson(artifact.variants(), [&, index = size_t(0)](const fb::Variant *variant) mutable {
        return variantJson(*variant, weights.of(index++));
      });
  result["encodings"] = encodingsJson(artifact);
  result["tensors"] = listJson(artifact.tensors(), [](const fb::Tensor *tensor) {
    return Json{{"name", text(tensor->name())},
                {"shape", listJson(tensor->shape(), [](uint64_t size) { return Json(size); })},
                {"encoding", text(tensor->encoding())},
                {"layout", text(tensor->layout())},
                {"unit", tensor->unit()},
                {"bytes", tensor->size()}};
  });
  result["units"] = listJson(artifact.units(), [](const fb::WeightUnit *unit) {
    return Json{{"name", text(unit->name())}, {"bytes", unitBytes(*unit)}};
  });
  uint64_t weightBytes = 0;
  if (artifact.units())
    for (const fb::WeightUnit *unit : *artifact.units())
      weightBytes += unitBytes(*unit);
  result["weight_bytes"] = weightBytes;
  result["kv_caches"] = listJson(artifact.kv_caches(), [](const fb::KvCache *cache) {
    return Json{{"name", text(cache->name())},
                {"type", fb::EnumNameElementType(cache->type())},
                {"kv_heads", cache->kv_heads()},
                {"head_size", cache->head_size()},
                {"window", cache->window()}};
  });
  if (options.context > artifact.context_length())
    throw InputError(options.model,
                     formatText("a context of %u positions, the model's length is %u",
                                options.context, artifact.context_length()));
  try {
    result["memory"] = memoryJson(options, programBytes);
  } catch (const InputError &error) { // most often: made for another CPU
    result["memory"] = nullptr;
    result["memory_note"] = error.what();
  }
  return result;
}

void printArtifact(const Json &artifact) {
  const auto bytes = [](const Json &value) { return bytesText(value.get<uint64_t>()); };
  const auto string = [](const Json &value) { return value.get<std::string>(); };
  printField("format", "tern artifact, schema " + artifact["schema_version"].dump());
  printField("file", bytes(artifact["file_bytes"]) + ": " + bytes(artifact["weight_bytes"]) +
                         " of weights, " + bytes(artifact["table_bytes"]) + " of tables");
  printField("vocabulary", artifact["vocabulary_size"].dump());
  printField("context length", artifact["context_length"].dump() + " tokens");
  printField("batch", artifact["max_batch"].dump() + " rows a call, " +
                          artifact["max_wanted"].dump() + " with logits");
  if (const Json &tokenizer = artifact["tokenizer"]; tokenizer.is_null())
    printField("tokenizer", "none");
  else
    printField("tokenizer",
               string(tokenizer["model"]) + ", " + string(tokenizer["pre_tokenizer"]) +
                   ", chat template " +
                   (tokenizer["chat_template"].is_null() ? "unknown"
                                                         : string(tokenizer["chat_template"])));
  for (const Json &variant : artifact["variants"]) {
    std::string features;
    for (const Json &feature : variant["features"])
      features += " " + string(feature);
    printField("target", string(variant["target"]) + ": " + bytes(variant["code_bytes"]) +
                             " of code, " + std::to_string(variant["kernels"].size()) + " kernels");
    printField("", "needs" + features);
    if (artifact["variants"].size() > 1)
      printField("", "weights: " + bytes(variant["shared_weight_bytes"]) +
                         " shared with other variants, " + bytes(variant["own_weight_bytes"]) +
                         " of its own");
    for (const Json &plan : variant["plans"])
      printField("", "arena " + bytes(plan["arena_bytes"]) + " (lower bound " +
                         bytes(plan["arena_lower_bound"]) + "), " + plan["commands"].dump() +
                         " commands");
  }
  for (const Json &encoding : artifact["encodings"])
    printField("weights", string(encoding["encoding"]) + ", layout " + string(encoding["layout"]) +
                              ": " + encoding["tensors"].dump() + " tensors, " +
                              bytes(encoding["bytes"]));
  if (const Json &memory = artifact["memory"]; memory.is_null()) {
    printField("memory", "unknown: " + string(artifact["memory_note"]));
  } else {
    printField("memory", bytes(memory["mapped_weight_bytes"]) + " of mapped weights and, for " +
                             memory["context"].dump() + " positions, " +
                             bytes(memory["private_bytes"]) + " private:");
    printField("", "KV cache " + bytes(memory["kv_bytes"]) + " (" +
                       bytes(memory["kv_bytes_per_token"]) + " a token), arena " +
                       bytes(memory["arena_bytes"]) + ", scratch " +
                       bytes(memory["scratch_bytes"]));
    printField("", "sampling " + bytes(memory["sampling_bytes"]) + ", other " +
                       bytes(memory["other_bytes"]) + ", program " +
                       bytes(memory["program_bytes"]));
  }
  for (const auto &[key, value] : artifact["metadata"].items())
    printField("metadata", key + " = " + string(value));
}

} // namespace tern::cli
