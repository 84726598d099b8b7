// Load-time checks and hash look-ups of the tokenizer tables.
#include "runtime/text/TokenizerTables.h"

using namespace tern;
using namespace tern::text;

static Status wrongSize(const char *what, uint32_t found, uint32_t expected) {
  return Status::error(StatusCode::invalidArtifact,
                       "tokenizer: %s has %u entries, expected %u; the artifact is damaged", what,
                       found, expected);
}

Result<TokenizerTables> TokenizerTables::create(const fb::Tokenizer *table) {
  if (!table)
    return Status::error(StatusCode::notFound,
                         "the artifact has no tokenizer; pass token ids instead of text");
  if (table->model() > fb::TokenizerModel::MAX)
    return Status::error(StatusCode::unsupported,
                         "tokenizer: model %u is newer than this runtime; update the runtime",
                         unsigned(table->model()));
  TokenizerTables result;
  result.model = table->model();
  result.tokenCount = table->token_count();
  result.symbolHashProbes = std::min(table->symbol_hash_probes(), maxProbes);
  result.mergeProbes = std::min(table->merge_probes(), maxProbes);
  result.bos = table->bos();
  result.eos = table->eos();
  result.unknown = table->unk();
  result.addBos = table->add_bos();
  result.addEos = table->add_eos();
  result.addSpacePrefix = table->add_space_prefix();
  result.removeExtraWhitespaces = table->remove_extra_whitespaces();
  result.stages = TableView<fb::SplitStage>::of(table->stages());
  result.symbolOffsets = TableView<uint32_t>::of(table->symbol_offsets());
  result.symbolBlob = TableView<uint8_t>::of(table->symbol_bytes());
  result.tokenFlags = TableView<uint8_t>::of(table->token_flags());
  result.byteTokens = TableView<int32_t>::of(table->byte_tokens());
  result.symbolHash = TableView<uint32_t>::of(table->symbol_hash());
  result.merges = TableView<fb::Merge>::of(table->merges());
  result.specialTokens = TableView<uint32_t>::of(table->special_tokens());
  result.specialFirstBytes = TableView<uint8_t>::of(table->special_first_bytes());
  result.classPages = TableView<uint16_t>::of(table->class_pages());
  result.classBlocks = TableView<uint8_t>::of(table->class_blocks());
  result.endOfGeneration = TableView<uint32_t>::of(table->end_of_generation());
  result.nfc = table->nfc();

  if (result.symbolOffsets.size < 2)
    return wrongSize("symbol_offsets", result.symbolOffsets.size, 2);
  result.symbolCount = result.symbolOffsets.size - 1;
  if (result.tokenCount == 0 || result.tokenCount > result.symbolCount)
    return Status::error(StatusCode::invalidArtifact,
                         "tokenizer: %u tokens but %u symbols; the artifact is damaged",
                         result.tokenCount, result.symbolCount);
  if (result.tokenFlags.size != result.tokenCount)
    return wrongSize("token_flags", result.tokenFlags.size, result.tokenCount);
  if (result.byteTokens.size != 256)
    return wrongSize("byte_tokens", result.byteTokens.size, 256);
  for (int32_t id : {result.bos, result.eos, result.unknown})
    if (id < -1 || id >= int64_t(result.tokenCount))
      return Status::error(StatusCode::invalidArtifact,
                           "tokenizer: special token %d, but there are %u tokens; the artifact is "
                           "damaged",
                           id, result.tokenCount);
  if ((result.addBos && result.bos < 0) || (result.addEos && result.eos < 0))
    return Status::error(StatusCode::invalidArtifact,
                         "tokenizer: asks for a BOS or EOS token but names none; the artifact is "
                         "damaged");
  return result;
}

uint32_t TokenizerTables::findSymbol(std::string_view text) const {
  uint32_t slots = symbolHash.size;
  uint32_t slot = firstSlot(hashBytes(text), slots);
  uint32_t probes = std::min(symbolHashProbes, slots);
  for (uint32_t i = 0; i < probes; ++i) {
    uint32_t entry = symbolHash.elements[slot];
    if (entry == 0)
      return noSymbol;
    if (bytesOf(entry - 1) == text)
      return entry - 1;
    slot = slot + 1 == slots ? 0 : slot + 1;
  }
  return noSymbol;
}

TokenizerTables::MergeTarget TokenizerTables::findMerge(uint32_t left, uint32_t right) const {
  uint32_t slots = merges.size;
  uint32_t slot = firstSlot(hashPair(left, right), slots);
  uint32_t probes = std::min(mergeProbes, slots);
  for (uint32_t i = 0; i < probes; ++i) {
    const fb::Merge &entry = merges.elements[slot];
    if (entry.result() >= symbolCount)
      return {};
    if (entry.left() == left && entry.right() == right)
      return {entry.result(), entry.rank()};
    slot = slot + 1 == slots ? 0 : slot + 1;
  }
  return {};
}
