// The merges of a tokenizer as pairs of symbols, whatever the file gives: a list of merges (byte-
// level BPE) or scores of tokens (SentencePiece).
#ifndef TERN_COMPILER_TEXT_MERGES_H
#define TERN_COMPILER_TEXT_MERGES_H

#include "compiler/Text/Vocabulary.h"

#include "llvm/ADT/DenseMap.h"

namespace tern {

class Merges {
public:
  struct Target {
    uint32_t result;
    uint32_t rank; ///< lowest first
  };
  using Pair = std::pair<uint32_t, uint32_t>;

  static llvm::Expected<Merges> create(const TokenizerSpec &spec, const Vocabulary &vocabulary,
                                       fb::TokenizerModel model);

  /// Whether merging the initial symbols of `text` ends in the one symbol `id`.
  bool mergesTo(llvm::StringRef text, uint32_t id, const Vocabulary &vocabulary,
                fb::TokenizerModel model) const;

  const llvm::DenseMap<Pair, Target> &all() const { return pairs; }

private:
  llvm::DenseMap<Pair, Target> pairs;
};

} // namespace tern

#endif
