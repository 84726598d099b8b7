// The merge loop.
#include "runtime/text/WordMerger.h"

#include "runtime/text/Utf8.h"

#include <functional>

using namespace tern;
using namespace tern::text;

static Status outOfMemory(size_t bytes) {
  return Status::error(StatusCode::outOfMemory, "out of memory while encoding a word of %zu bytes",
                       bytes);
}

bool WordMerger::splitIntoSymbols(std::string_view word) {
  GrowableArray<MergeWorkspace::Symbol> &symbols = workspace.symbols;
  symbols.clear();
  for (size_t i = 0; i < word.size();) {
    bool bytes = tables.model == fb::TokenizerModel::byte_level_bpe;
    uint32_t length = bytes ? 1 : decodeUtf8(word, i).length;
    uint32_t id =
        bytes ? tables.byteToken(uint8_t(word[i])) : tables.findSymbol(word.substr(i, length));
    uint32_t index = uint32_t(symbols.size());
    if (!symbols.push({id, uint32_t(i), index - 1, index + 1, noSymbol, noSymbol}))
      return false;
    i += length;
  }
  symbols.back().next = noSymbol; // symbols[0].previous is noSymbol: 0 - 1
  return true;
}

void WordMerger::findCandidate(uint32_t left) {
  MergeWorkspace::Symbol &symbol = workspace.symbols[left];
  TokenizerTables::MergeTarget target;
  if (symbol.next != noSymbol && symbol.id != noSymbol)
    target = tables.findMerge(symbol.id, workspace.symbols[symbol.next].id);
  symbol.result = target.result;
  symbol.rank = target.rank;
}

bool WordMerger::pushCandidate(uint32_t left) {
  findCandidate(left);
  uint32_t rank = workspace.symbols[left].rank;
  if (rank == noSymbol)
    return true;
  if (!workspace.candidates.push(uint64_t(rank) << 32 | left))
    return false;
  std::push_heap(workspace.candidates.begin(), workspace.candidates.end(), std::greater<>());
  return true;
}

bool WordMerger::merge() {
  GrowableArray<MergeWorkspace::Symbol> &symbols = workspace.symbols;
  GrowableArray<uint64_t> &candidates = workspace.candidates;
  candidates.clear();
  for (uint32_t i = 0; i + 1 < symbols.size(); ++i) {
    findCandidate(i);
    if (symbols[i].rank != noSymbol && !candidates.push(uint64_t(symbols[i].rank) << 32 | i))
      return false;
  }
  std::make_heap(candidates.begin(), candidates.end(), std::greater<>());
  while (!candidates.empty()) {
    std::pop_heap(candidates.begin(), candidates.end(), std::greater<>());
    uint32_t left = uint32_t(candidates.back());
    uint32_t rank = uint32_t(candidates.back() >> 32);
    candidates.popBack();
    MergeWorkspace::Symbol &symbol = symbols[left];
    // A candidate is stale when its pair has changed; the new pair has its own.
    if (symbol.rank != rank || symbol.next == noSymbol)
      continue;
    uint32_t right = symbol.next;
    symbol.id = symbol.result;
    symbol.next = symbols[right].next;
    symbols[right].rank = noSymbol;
    if (symbol.next != noSymbol)
      symbols[symbol.next].previous = left;
    if (!pushCandidate(left))
      return false;
    if (symbol.previous != noSymbol && !pushCandidate(symbol.previous))
      return false;
  }
  return true;
}

Status WordMerger::emitToken(uint32_t token) {
  return tokens.push(int32_t(token)) ? Status() : outOfMemory(0);
}

/// A character without a token: its bytes, else one unknown token for the whole stretch.
Status WordMerger::emitBytes(std::string_view bytes) {
  uint32_t missing = noSymbol;
  for (char byte : bytes)
    if (tables.byteToken(uint8_t(byte)) == noSymbol)
      missing = uint8_t(byte);
  if (missing == noSymbol) {
    afterUnknown = false;
    for (char byte : bytes)
      TERN_RETURN_IF_ERROR(emitToken(tables.byteToken(uint8_t(byte))));
    return Status();
  }
  if (tables.unknown < 0)
    return Status::error(StatusCode::invalidArgument,
                         "the text has the byte 0x%02x, for which the model has no token",
                         unsigned(missing));
  if (afterUnknown)
    return Status();
  afterUnknown = true;
  return emitToken(uint32_t(tables.unknown));
}

Status WordMerger::emit(std::string_view word) {
  const GrowableArray<MergeWorkspace::Symbol> &symbols = workspace.symbols;
  for (uint32_t i = 0; i != noSymbol; i = symbols[i].next) {
    const MergeWorkspace::Symbol &symbol = symbols[i];
    if (symbol.id < tables.tokenCount) {
      afterUnknown = false;
      TERN_RETURN_IF_ERROR(emitToken(symbol.id));
      continue;
    }
    size_t end = symbol.next == noSymbol ? word.size() : symbols[symbol.next].begin;
    TERN_RETURN_IF_ERROR(emitBytes(word.substr(symbol.begin, end - symbol.begin)));
  }
  return Status();
}

Status WordMerger::encode(std::string_view word) {
  if (uint32_t token = tables.findSymbol(word); tables.isWholeWord(token)) {
    afterUnknown = false;
    return emitToken(token);
  }
  if (!splitIntoSymbols(word) || !merge())
    return outOfMemory(word.size());
  return emit(word);
}
