// The parts that variants share: limits, functions, KV caches, weight units, tensors.
#include "runtime/core/Verify.h"

#include <cinttypes>
#include <cstring>

using namespace tern;
using namespace tern::runtime;

static constexpr uint32_t maxRank = 8;

static Status verifyLimits(const fb::Artifact &artifact) {
  const struct {
    const char *name;
    uint32_t value;
    uint32_t limit;
  } limits[] = {
      {"max_batch", artifact.max_batch(), maxRows},
      {"max_wanted", artifact.max_wanted(), maxRows},
      {"vocabulary_size", artifact.vocabulary_size(), maxVocabulary},
      {"context_length", artifact.context_length(), maxContext},
  };
  for (const auto &entry : limits)
    if (entry.value == 0 || entry.value > entry.limit)
      return Status::error(StatusCode::invalidArtifact, "%s is %" PRIu32 ", expected 1 to %" PRIu32,
                           entry.name, entry.value, entry.limit);
  if (artifact.kv_block_positions() != blockPositions)
    return Status::error(StatusCode::unsupported,
                         "KV blocks of %" PRIu32 " positions; this runtime has %" PRIu32,
                         artifact.kv_block_positions(), blockPositions);
  return {};
}

uint64_t tern::runtime::hiddenSize(const fb::Function &function) {
  if (sizeOf(function.outputs()) < 2)
    return 0;
  const fb::Value &hidden = *function.outputs()->Get(1);
  const bool isHidden = strcmp(textOf(hidden.name()), "hidden") == 0 &&
                        hidden.type() == fb::ElementType::f32 && sizeOf(hidden.shape()) == 2;
  return isHidden ? hidden.shape()->Get(1)->constant() : 0;
}

static Status verifyFunctions(const fb::Artifact &artifact) {
  if (sizeOf(artifact.functions()) == 0)
    return Status::error(StatusCode::invalidArtifact, "the artifact has no function");
  for (const fb::Function *function : *artifact.functions()) {
    const uint32_t outputs = sizeOf(function->outputs());
    if (outputs == 0 || outputs > maxOutputs)
      return Status::error(StatusCode::invalidArtifact,
                           "function '%.64s' has %" PRIu32 " outputs, expected 1 to %" PRIu32,
                           function->name()->c_str(), outputs, maxOutputs);
    if (strcmp(function->name()->c_str(), "forward") != 0)
      continue;
    const fb::Value &logits = *function->outputs()->Get(0);
    const uint32_t rank = sizeOf(logits.shape());
    if (strcmp(textOf(logits.name()), "logits") != 0 || logits.type() != fb::ElementType::f32 ||
        rank != 2 || logits.shape()->Get(1)->constant() != artifact.vocabulary_size())
      return Status::error(StatusCode::invalidArtifact,
                           "function 'forward': output 0 is not f32 'logits' [R][%" PRIu32 "]",
                           artifact.vocabulary_size());
    if (outputs > 1 && hiddenSize(*function) == 0)
      return Status::error(StatusCode::invalidArtifact,
                           "function 'forward': output 1 is not f32 'hidden' [R][size]");
  }
  return {};
}

static Status verifyKvCaches(const fb::Artifact &artifact) {
  if (sizeOf(artifact.kv_caches()) > maxKvCaches)
    return Status::error(StatusCode::invalidArtifact,
                         "%" PRIu32 " KV caches, expected at most %" PRIu32,
                         sizeOf(artifact.kv_caches()), maxKvCaches);
  for (uint32_t i = 0; i < sizeOf(artifact.kv_caches()); ++i) {
    const fb::KvCache &cache = *artifact.kv_caches()->Get(i);
    const uint64_t elementSize = kvElementSize(cache), scaleSize = kvScaleSize(cache);
    if (elementSize == 0)
      return Status::error(StatusCode::unsupported,
                           "KV cache %" PRIu32
                           ": element type %u; this runtime has f16, f32 and i8",
                           i, unsigned(cache.type()));
    const CheckedSize rows = CheckedSize(cache.kv_heads()) * uint64_t(blockPositions);
    const CheckedSize key = rows * (CheckedSize(cache.head_size()) * elementSize + scaleSize);
    const CheckedSize value = rows * (CheckedSize(cache.value_size()) * elementSize + scaleSize);
    if (cache.kv_heads() == 0 || cache.head_size() == 0 || cache.value_size() == 0 ||
        !key.isEqualTo(cache.key_block_bytes()) || !value.isEqualTo(cache.value_block_bytes()))
      return Status::error(StatusCode::invalidArtifact,
                           "KV cache %" PRIu32 ": blocks of %" PRIu64 " and %" PRIu64
                           " bytes do not match its shape (%" PRIu64 " and %" PRIu64 ")",
                           i, cache.key_block_bytes(), cache.value_block_bytes(), key.value(),
                           value.value());
  }
  return {};
}

/// A segment lies behind the table part, within the file, on a segment boundary.
static Status verifySegment(const ArtifactTable &table, const fb::Segment &segment,
                            const char *what, const char *name) {
  if (segment.offset() % segmentAlignment != 0 || segment.offset() < table.end() ||
      !(CheckedSize(segment.offset()) + segment.size()).isAtMost(table->file_size()))
    return Status::error(StatusCode::invalidArtifact,
                         "%s '%.64s': segment [%" PRIu64 ", +%" PRIu64
                         ") is misaligned or outside of the file's %" PRIu64 " bytes",
                         what, name, segment.offset(), segment.size(), table->file_size());
  return {};
}

static Status verifyUnits(const ArtifactTable &table) {
  uint64_t previousEnd = 0;
  for (uint32_t i = 0; i < sizeOf(table->units()); ++i) {
    const fb::WeightUnit &unit = *table->units()->Get(i);
    if (!unit.segment() || !unit.digest())
      return Status::error(StatusCode::invalidArtifact,
                           "weight unit '%.64s' has no segment or no digest", unit.name()->c_str());
    TERN_RETURN_IF_ERROR(
        verifySegment(table, *unit.segment(), "weight unit", unit.name()->c_str()));
    // Bounds what copying all units takes by the size of the file.
    if (unit.segment()->offset() < previousEnd)
      return Status::error(StatusCode::invalidArtifact,
                           "weight unit '%.64s' overlaps the one before or is out of order",
                           unit.name()->c_str());
    previousEnd = unit.segment()->offset() + unit.segment()->size();
  }
  return {};
}

static Status verifyTensor(const fb::Artifact &artifact, const fb::Tensor &tensor) {
  const char *name = tensor.name()->c_str();
  if (tensor.unit() >= sizeOf(artifact.units()))
    return Status::error(StatusCode::invalidArtifact,
                         "tensor '%.64s': unit %" PRIu32 " of %" PRIu32, name, tensor.unit(),
                         sizeOf(artifact.units()));
  const uint64_t unitSize = artifact.units()->Get(tensor.unit())->segment()->size();
  if (tensor.offset() % blockAlignment != 0 ||
      !(CheckedSize(tensor.offset()) + tensor.size()).isAtMost(unitSize))
    return Status::error(StatusCode::invalidArtifact,
                         "tensor '%.64s': bytes [%" PRIu64 ", +%" PRIu64
                         ") are misaligned or outside of its unit's %" PRIu64,
                         name, tensor.offset(), tensor.size(), unitSize);
  const auto *shape = tensor.shape();
  if (!shape)
    return {};
  // The FlatBuffers verifier checks the alignment of a vector's length, not of its elements.
  if (shape->size() > maxRank ||
      reinterpret_cast<uintptr_t>(shape->Data()) % alignof(uint64_t) != 0)
    return Status::error(StatusCode::invalidArtifact,
                         "tensor '%.64s': shape of %" PRIu32 " dimensions (at most %" PRIu32
                         "), or misaligned",
                         name, shape->size(), maxRank);
  CheckedSize elements = 1;
  for (uint64_t dimension : *shape)
    elements *= dimension;
  if (!elements.isAtMost(INT64_MAX))
    return Status::error(StatusCode::invalidArtifact,
                         "tensor '%.64s': its number of elements overflows", name);
  return {};
}

Status tern::runtime::verifyShared(const ArtifactTable &table) {
  TERN_RETURN_IF_ERROR(verifyLimits(*table));
  TERN_RETURN_IF_ERROR(verifyFunctions(*table));
  TERN_RETURN_IF_ERROR(verifyKvCaches(*table));
  TERN_RETURN_IF_ERROR(verifyUnits(table));
  for (uint32_t i = 0; i < sizeOf(table->tensors()); ++i)
    TERN_RETURN_IF_ERROR(verifyTensor(*table, *table->tensors()->Get(i)));
  if (sizeOf(table->variants()) == 0)
    return Status::error(StatusCode::invalidArtifact, "the artifact has no variant");
  return {};
}

Status tern::runtime::verifyCodeSegment(const ArtifactTable &table, const fb::Variant &variant) {
  if (!variant.code() || !variant.code_digest())
    return Status::error(StatusCode::invalidArtifact, "variant '%.64s' has no code or no digest",
                         variant.target()->c_str());
  return verifySegment(table, *variant.code(), "variant", variant.target()->c_str());
}
