// Merges the initial symbols of one word into tokens (byte-pair encoding).
//
// The pair of lowest rank merges first, the leftmost of equals; a heap keeps the candidates, so a
// word of n bytes takes O(n log n) time and at most 60 n bytes of workspace.
#ifndef TERN_RUNTIME_TEXT_WORDMERGER_H
#define TERN_RUNTIME_TEXT_WORDMERGER_H

#include "runtime/core/Status.h"
#include "runtime/text/GrowableArray.h"
#include "runtime/text/TokenizerTables.h"

#include <string_view>

namespace tern::text {

using TokenBuffer = GrowableArray<int32_t>;

/// Buffers of WordMerger.
struct MergeWorkspace {
  struct Symbol {
    uint32_t id;       ///< symbol, or noSymbol for a character that no token holds
    uint32_t begin;    ///< byte offset in the word
    uint32_t previous; ///< neighbours in this array, or noSymbol
    uint32_t next;
    uint32_t result; ///< what this and the next symbol merge to
    uint32_t rank;   ///< of that merge; noSymbol: none
  };
  GrowableArray<Symbol> symbols;
  /// Candidates as rank << 32 | index of the left symbol.
  GrowableArray<uint64_t> candidates;
};

class WordMerger {
public:
  WordMerger(const TokenizerTables &tables, MergeWorkspace &workspace, TokenBuffer &tokens)
      : tables(tables), workspace(workspace), tokens(tokens) {}

  /// Appends the tokens of `word`, which is not empty and shorter than 4 GiB.
  Status encode(std::string_view word);

  /// The next word does not continue an unknown stretch of the one before.
  void endUnknown() { afterUnknown = false; }

private:
  bool splitIntoSymbols(std::string_view word);
  void findCandidate(uint32_t left);
  bool pushCandidate(uint32_t left);
  bool merge();
  Status emit(std::string_view word);
  Status emitBytes(std::string_view bytes);
  Status emitToken(uint32_t token);

  const TokenizerTables &tables;
  MergeWorkspace &workspace;
  TokenBuffer &tokens;
  /// The last token is the unknown token: the next unknown character is part of it.
  bool afterUnknown = false;
};

} // namespace tern::text

#endif
