// Lays out the tokenizer tables of schema/tokenizer.fbs.
#include "compiler/Text/TokenizerBuilder.h"

#include "compiler/Text/ChatTemplates.h"
#include "compiler/Text/EndOfGeneration.h"
#include "compiler/Text/Merges.h"
#include "compiler/Text/PreTokenizers.h"
#include "compiler/Text/UnicodeTables.h"
#include "compiler/Text/Vocabulary.h"
#include "runtime/text/TableFormat.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <algorithm>
#include <tuple>

using namespace tern;
using fb::TokenizerModel;
using text::TokenKind;

namespace {

constexpr size_t maxTokens = size_t(1) << 24;
constexpr size_t maxSpecialTokenBytes = text::maxSpecialTokenBytes;

/// An open-addressing table of entries, `emptyEntry` where free.
template <typename Entry> struct HashTable {
  std::vector<Entry> slots;
  uint32_t probes = 0; ///< longest probe sequence

  static HashTable create(llvm::ArrayRef<std::pair<uint32_t, Entry>> hashed, Entry emptyEntry,
                          llvm::function_ref<bool(const Entry &)> isEmpty) {
    // Three quarters full unless that makes a probe sequence too long.
    for (size_t size = hashed.size() + hashed.size() / 3 + 8;; size += size / 2) {
      HashTable table;
      table.slots.assign(size, emptyEntry);
      for (const auto &[hash, entry] : hashed) {
        size_t slot = text::firstSlot(hash, uint32_t(size));
        uint32_t probe = 1;
        for (; !isEmpty(table.slots[slot]); ++probe)
          slot = slot + 1 == size ? 0 : slot + 1;
        table.slots[slot] = entry;
        table.probes = std::max(table.probes, probe);
      }
      if (table.probes <= text::maxProbes)
        return table;
    }
  }
};

class Builder {
public:
  Builder(const TokenizerSpec &spec, flatbuffers::FlatBufferBuilder &builder, TokenizerWarning warn)
      : spec(spec), builder(builder), warn(warn) {}

  /// Decodes and checks everything; serialize() then cannot fail.
  llvm::Error prepare();
  flatbuffers::Offset<fb::Tokenizer> serialize();

private:
  llvm::Error chooseModel();
  llvm::Error checkSizes() const;
  llvm::Error resolveIds();
  llvm::Error checkSpecialTokens() const;
  void chooseStages();
  llvm::Error chooseAffixes();
  std::vector<uint8_t> tokenFlags() const;
  std::vector<uint32_t> specialTokens() const;
  struct SymbolVectors {
    flatbuffers::Offset<flatbuffers::Vector<uint32_t>> offsets;
    flatbuffers::Offset<flatbuffers::Vector<uint8_t>> bytes;
  };
  SymbolVectors writeSymbols();
  struct SpecialVectors {
    flatbuffers::Offset<flatbuffers::Vector<uint32_t>> tokens;
    flatbuffers::Offset<flatbuffers::Vector<uint8_t>> firstBytes;
  };
  SpecialVectors writeSpecialTokens();
  HashTable<uint32_t> symbolHash() const;
  HashTable<fb::Merge> mergeHash() const;

  /// Merges by score; the file has no pre-tokenizer.
  bool isSentencePiece() const { return !preTokenizer; }
  bool isMatchedInText(uint32_t id) const {
    TokenKind kind = vocabulary.kinds[id];
    return (kind == TokenKind::control || kind == TokenKind::userDefined ||
            kind == TokenKind::unknown) &&
           !vocabulary.symbols[id].empty();
  }

  const TokenizerSpec &spec;
  flatbuffers::FlatBufferBuilder &builder;
  TokenizerWarning warn;

  TokenizerModel model = TokenizerModel::byte_level_bpe;
  const PreTokenizer *preTokenizer = nullptr; ///< null for SentencePiece
  std::vector<fb::SplitStage> stages;
  Vocabulary vocabulary;
  Merges merges;
  int32_t bos = -1, eos = -1, unknown = -1, padding = -1, eot = -1, eom = -1;
  bool addBos = false, addEos = false, addSpacePrefix = false, removeExtraWhitespaces = false;
};

} // namespace

llvm::Error Builder::chooseModel() {
  if (spec.model == "llama") {
    model = TokenizerModel::sentencepiece_bpe;
    if (spec.hasPrecompiledCharsmap)
      return llvm::createStringError("tokenizer.ggml.precompiled_charsmap is not supported for "
                                     "tokenizer.ggml.model 'llama'");
    return llvm::Error::success();
  }
  if (spec.model == "gemma4") {
    preTokenizer = findPreTokenizer("gemma4"); // llama.cpp leaves tokenizer.ggml.pre unread here
    model = TokenizerModel::sentencepiece_bpe;
    return llvm::Error::success();
  }
  if (spec.model != "gpt2")
    return llvm::createStringError(
        "unknown tokenizer.ggml.model '%s'; known are: gpt2, llama, gemma4", spec.model.c_str());
  preTokenizer = findPreTokenizer(spec.pre);
  if (!preTokenizer)
    return llvm::createStringError("unknown tokenizer.ggml.pre '%s'; known are: %s",
                                   spec.pre.c_str(), knownPreTokenizers().c_str());
  if (preTokenizer->ofCharacters)
    model = TokenizerModel::sentencepiece_bpe;
  if (spec.pre.empty())
    warn("tokenizer.ggml.pre is missing: text is cut by the 'default' rules, which may not be what "
         "the model was trained with");
  return llvm::Error::success();
}

llvm::Error Builder::checkSizes() const {
  size_t tokens = spec.tokens.size();
  if (tokens == 0 || tokens > maxTokens)
    return llvm::createStringError("tokenizer.ggml.tokens has %zu entries; expected 1 to %zu",
                                   tokens, maxTokens);
  if (!spec.scores.empty() && spec.scores.size() != tokens)
    return llvm::createStringError("tokenizer.ggml.scores has %zu entries for %zu tokens",
                                   spec.scores.size(), tokens);
  if (!spec.tokenTypes.empty() && spec.tokenTypes.size() != tokens)
    return llvm::createStringError("tokenizer.ggml.token_type has %zu entries for %zu tokens",
                                   spec.tokenTypes.size(), tokens);
  return llvm::Error::success();
}

llvm::Error Builder::resolveIds() {
  struct Id {
    int32_t &id;
    std::optional<uint32_t> given;
    const char *key;
    int32_t sentencePieceDefault;
  };
  const Id ids[] = {{bos, spec.bos, "bos", 1},
                    {eos, spec.eos, "eos", 2},
                    {unknown, spec.unknown, "unknown", 0},
                    {padding, spec.padding, "padding", -1},
                    {eot, spec.eot, "eot", -1},
                    {eom, spec.eom, "eom", -1}};
  for (const Id &entry : ids) {
    if (!entry.given) {
      bool exists = entry.sentencePieceDefault < int32_t(vocabulary.tokenCount);
      entry.id = isSentencePiece() && exists ? entry.sentencePieceDefault : -1;
    } else if (*entry.given >= vocabulary.tokenCount) {
      return llvm::createStringError("tokenizer.ggml.%s_token_id is %u, but there are %u tokens",
                                     entry.key, *entry.given, vocabulary.tokenCount);
    } else {
      entry.id = int32_t(*entry.given);
    }
  }
  return llvm::Error::success();
}

llvm::Error Builder::checkSpecialTokens() const {
  for (uint32_t id = 0; id < vocabulary.tokenCount; ++id)
    if (isMatchedInText(id) && vocabulary.symbols[id].size() > maxSpecialTokenBytes)
      return llvm::createStringError("tokenizer.ggml.tokens: special token %u has %zu bytes; at "
                                     "most %zu are supported",
                                     id, vocabulary.symbols[id].size(), maxSpecialTokenBytes);
  return llvm::Error::success();
}

void Builder::chooseStages() {
  if (preTokenizer) {
    stages.assign(preTokenizer->stages.begin(), preTokenizer->stages.end());
    return;
  }
  // SentencePiece merges whole texts. Where no token holds a space after another character, no
  // merge crosses such a place, and cutting there gives the same tokens in less time.
  for (const auto &entry : vocabulary.byText) {
    llvm::StringRef token = entry.first();
    size_t other = token.find_first_not_of(' ');
    if (other != llvm::StringRef::npos && token.find(' ', other) != llvm::StringRef::npos)
      return;
  }
  stages.push_back({fb::SplitKind::space_runs, 0});
}

std::vector<uint8_t> Builder::tokenFlags() const {
  std::vector<uint8_t> flags;
  for (uint32_t id = 0; id < vocabulary.tokenCount; ++id) {
    flags.push_back(uint8_t(vocabulary.kinds[id]));
    const std::string &bytes = vocabulary.symbols[id];
    if (vocabulary.find(bytes) != id)
      continue;
    // Gemma 4: a run of line breaks that is a token is not merged from its parts.
    bool isLineBreaks = preTokenizer && preTokenizer->ofCharacters && !bytes.empty() &&
                        bytes.find_first_not_of('\n') == std::string::npos;
    if ((preTokenizer && preTokenizer->ignoreMerges) || isLineBreaks ||
        merges.mergesTo(bytes, id, vocabulary, model))
      flags.back() |= text::tokenIsWholeWord;
  }
  return flags;
}

std::vector<uint32_t> Builder::specialTokens() const {
  std::vector<uint32_t> ids;
  for (uint32_t id = 0; id < vocabulary.tokenCount; ++id)
    if (isMatchedInText(id))
      ids.push_back(id);
  llvm::sort(ids, [&](uint32_t a, uint32_t b) { // bytes compare as unsigned
    return std::tie(vocabulary.symbols[a], a) < std::tie(vocabulary.symbols[b], b);
  });
  return ids;
}

HashTable<uint32_t> Builder::symbolHash() const {
  std::vector<std::pair<uint32_t, uint32_t>> hashed;
  for (uint32_t symbol = 0; symbol < vocabulary.symbols.size(); ++symbol)
    if (vocabulary.find(vocabulary.symbols[symbol]) == symbol)
      hashed.emplace_back(text::hashBytes(vocabulary.symbols[symbol]), symbol + 1);
  return HashTable<uint32_t>::create(hashed, 0, [](uint32_t entry) { return entry == 0; });
}

HashTable<fb::Merge> Builder::mergeHash() const {
  std::vector<std::pair<uint32_t, fb::Merge>> hashed;
  for (const auto &[pair, target] : merges.all())
    hashed.emplace_back(text::hashPair(pair.first, pair.second),
                        fb::Merge(pair.first, pair.second, target.result, target.rank));
  // The map's order is arbitrary; the artifact's bytes must not be.
  llvm::sort(hashed, [](const auto &a, const auto &b) {
    return std::pair(a.second.left(), a.second.right()) <
           std::pair(b.second.left(), b.second.right());
  });
  return HashTable<fb::Merge>::create(
      hashed, fb::Merge(text::noSymbol, text::noSymbol, text::noSymbol, text::noSymbol),
      [](const fb::Merge &entry) { return entry.result() == text::noSymbol; });
}

llvm::Error Builder::prepare() {
  if (llvm::Error error = chooseModel())
    return error;
  if (llvm::Error error = checkSizes())
    return error;
  if (llvm::Error error = Vocabulary::create(spec, model).moveInto(vocabulary))
    return error;
  if (llvm::Error error = resolveIds())
    return error;
  if (llvm::Error error = checkSpecialTokens())
    return error;
  if (llvm::Error error = Merges::create(spec, vocabulary, model).moveInto(merges))
    return error;
  chooseStages();
  return chooseAffixes();
}

llvm::Error Builder::chooseAffixes() {
  addBos = spec.addBos.value_or(isSentencePiece() || preTokenizer->addBos);
  addEos = spec.addEos.value_or(false);
  if (preTokenizer && preTokenizer->ofCharacters && !addBos) {
    warn("tokenizer.ggml.add_bos_token is false, but Gemma 4 needs the BOS token: it is added");
    addBos = true;
  }
  if (addBos && bos < 0)
    return llvm::createStringError("the tokenizer begins texts with a BOS token, but "
                                   "tokenizer.ggml.bos_token_id is missing");
  if (addEos && eos < 0)
    return llvm::createStringError("tokenizer.ggml.add_eos_token asks for an EOS token, but "
                                   "tokenizer.ggml.eos_token_id is missing");
  if (isSentencePiece()) {
    addSpacePrefix = spec.addSpacePrefix.value_or(true);
    removeExtraWhitespaces = spec.removeExtraWhitespaces.value_or(false);
  } else if (spec.addSpacePrefix.value_or(false) || spec.removeExtraWhitespaces.value_or(false)) {
    warn("tokenizer.ggml.add_space_prefix and remove_extra_whitespaces have no meaning for "
         "tokenizer.ggml.model '" +
         spec.model + "' and are left out");
  }
  return llvm::Error::success();
}

Builder::SymbolVectors Builder::writeSymbols() {
  std::vector<uint32_t> offsets{0};
  std::vector<uint8_t> bytes; // Vocabulary::create has bounded the sum
  for (const std::string &symbol : vocabulary.symbols) {
    bytes.insert(bytes.end(), symbol.begin(), symbol.end());
    offsets.push_back(uint32_t(bytes.size()));
  }
  return {builder.CreateVector(offsets), builder.CreateVector(bytes)};
}

Builder::SpecialVectors Builder::writeSpecialTokens() {
  std::vector<uint32_t> special = specialTokens();
  std::vector<uint8_t> firstBytes(32);
  for (uint32_t id : special) {
    uint8_t first = uint8_t(vocabulary.symbols[id][0]);
    firstBytes[first / 8] |= uint8_t(1 << first % 8);
  }
  return {builder.CreateVector(special), builder.CreateVector(firstBytes)};
}

flatbuffers::Offset<fb::Tokenizer> Builder::serialize() {
  auto textOf = [&](int32_t id) { return id < 0 ? std::string() : vocabulary.symbols[id]; };
  HashTable<uint32_t> symbolSlots = symbolHash();
  HashTable<fb::Merge> mergeSlots = mergeHash();

  auto name = builder.CreateString(preTokenizer ? preTokenizer->name.str() : "llama");
  auto stagesOffset = builder.CreateVectorOfStructs(stages);
  SymbolVectors symbols = writeSymbols();
  auto flags = builder.CreateVector(tokenFlags());
  auto byteTokens =
      builder.CreateVector(vocabulary.byteTokens.data(), vocabulary.byteTokens.size());
  auto symbolHashOffset = builder.CreateVector(symbolSlots.slots);
  auto mergesOffset = builder.CreateVectorOfStructs(mergeSlots.slots);
  SpecialVectors special = writeSpecialTokens();
  auto end = builder.CreateVector(endOfGenerationTokens(spec));
  auto chat = buildChatTemplate(spec.chatTemplate.value_or(""), textOf(bos), textOf(eos), builder);
  flatbuffers::Offset<fb::NfcTables> nfc;
  if (preTokenizer && preTokenizer->nfc)
    nfc = buildNfcTables(builder);
  flatbuffers::Offset<flatbuffers::Vector<uint16_t>> classPages;
  flatbuffers::Offset<flatbuffers::Vector<uint8_t>> classBlocks;
  if (preTokenizer) { // SentencePiece needs no character classes
    CharClassTable classes = buildCharClassTable();
    classPages = builder.CreateVector(classes.pages);
    classBlocks = builder.CreateVector(classes.blocks);
  }
  return fb::CreateTokenizer(
      builder, model, name, stagesOffset, nfc, vocabulary.tokenCount, symbols.offsets,
      symbols.bytes, flags, byteTokens, symbolHashOffset, symbolSlots.probes, mergesOffset,
      mergeSlots.probes, special.tokens, special.firstBytes, classPages, classBlocks, bos, eos,
      unknown, padding, end, addBos, addEos, addSpacePrefix, removeExtraWhitespaces, chat);
}

llvm::Expected<flatbuffers::Offset<fb::Tokenizer>>
tern::buildTokenizer(const TokenizerSpec &spec, flatbuffers::FlatBufferBuilder &builder,
                     TokenizerWarning warn) {
  Builder tokenizer(spec, builder, warn);
  if (llvm::Error error = tokenizer.prepare())
    return error;
  return tokenizer.serialize();
}
