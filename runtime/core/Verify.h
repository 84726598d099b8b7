// Checks every number of an artifact before anything in it is used.
//
// After these checks: each tensor lies in its unit and each unit in the file; each kernel's entry
// is code of its image; for every T <= max_batch and R <= max_wanted each base pointer of each call
// leads to at least the bytes its kernel declares; nothing writes weights, inputs or the block
// table. All arithmetic is overflow-safe and no check is ever compiled out. What the machine code
// itself does is outside of their reach: running an artifact is running a program.
#ifndef TERN_RUNTIME_CORE_VERIFY_H
#define TERN_RUNTIME_CORE_VERIFY_H

#include "runtime/core/Artifact.h"
#include "runtime/core/KernelABI.h"

namespace tern::runtime {

/// Bounds on what an artifact may ask for: the rows that kernels are made for, the others far above
/// real models. They keep products in range.
inline constexpr uint32_t maxRows = TERN_MAX_ROWS;
inline constexpr uint32_t maxVocabulary = uint32_t(1) << 24;
inline constexpr uint32_t maxContext = TERN_MAX_POSITIONS;
inline constexpr uint32_t maxArguments = 64;
inline constexpr uint32_t maxOutputs = 16;
/// A model has one for each layer.
inline constexpr uint32_t maxKvCaches = 4096;
/// Positions of one KV block; a constant of the kernels.
inline constexpr uint32_t blockPositions = 64;
/// Kernels number cache blocks, and address the elements of a layer's keys or values, in 32 bits
/// (compiler/Kernels/KvCacheAccess.h).
inline constexpr uint64_t maxCacheBlocks = TERN_MAX_CACHE_BLOCKS;
inline constexpr uint64_t maxCacheElements = uint64_t(1) << 31;
/// Positions that one attention step covers.
inline constexpr uint32_t attentionStepPositions = TERN_ATTENTION_BLOCK;
/// Cache blocks of such a step: rows of the block table are padded to a multiple.
inline constexpr uint32_t blocksPerAttentionStep = attentionStepPositions / blockPositions;
static_assert(attentionStepPositions % blockPositions == 0);

/// Bytes of an element of a KV cache; 0 for a type that no cache has.
inline uint64_t kvElementSize(const fb::KvCache &cache) {
  switch (cache.type()) {
  case fb::ElementType::i8:
    return 1;
  case fb::ElementType::f16:
    return 2;
  case fb::ElementType::f32:
    return 4;
  default:
    return 0;
  }
}

/// Bytes of the scale that codes have beside them for each position and head; 0 for floats.
inline uint64_t kvScaleSize(const fb::KvCache &cache) {
  return cache.type() == fb::ElementType::i8 ? 2 : 0;
}

/// Elements of a row of output 1 of `forward`, the hidden states; 0 if there is none.
uint64_t hiddenSize(const fb::Function &function);

/// Everything that the variants share.
Status verifyShared(const ArtifactTable &table);

/// Where a variant's code lies in the file.
Status verifyCodeSegment(const ArtifactTable &table, const fb::Variant &variant);

/// One variant: code digest, image, kernels and plans. `code` holds the bytes of its code segment,
/// aligned to 8. verifyShared and verifyCodeSegment have passed.
Status verifyVariant(const ArtifactTable &table, const fb::Variant &variant, const uint8_t *code);

/// The plan of a function in a variant, or null.
const fb::Plan *findPlan(const fb::Artifact &artifact, const fb::Variant &variant,
                         const char *function);

} // namespace tern::runtime

#endif
