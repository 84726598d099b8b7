// Builds the merge pairs and replays merging on single tokens.
#include "compiler/Text/Merges.h"

#include "runtime/text/Utf8.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"

#include <algorithm>
#include <cmath>

using namespace tern;
using text::TokenKind;

/// The file lists "left right", best first, in the tokens' own spelling.
static llvm::Error addListedMerges(const TokenizerSpec &spec, const Vocabulary &vocabulary,
                                   llvm::DenseMap<Merges::Pair, Merges::Target> &pairs) {
  llvm::StringMap<uint32_t> bySpelling;
  for (uint32_t id = 0; id < vocabulary.tokenCount; ++id)
    if (vocabulary.kinds[id] == TokenKind::normal)
      bySpelling[spec.tokens[id]] = id;
  for (uint32_t id = 0; id < vocabulary.tokenCount; ++id)
    bySpelling.try_emplace(spec.tokens[id], id);

  for (auto [rank, merge] : llvm::enumerate(spec.merges)) {
    size_t space = merge.find(' ', 1);
    if (space == std::string::npos)
      return llvm::createStringError(
          "tokenizer.ggml.merges: entry %zu is '%s'; expected two tokens "
          "separated by a space",
          rank, merge.c_str());
    std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    std::string parts[] = {left, right, left + right};
    uint32_t ids[3];
    for (auto [id, part] : llvm::zip_equal(ids, parts)) {
      auto position = bySpelling.find(part);
      if (position == bySpelling.end())
        return llvm::createStringError("tokenizer.ggml.merges: entry %zu is '%s', but '%s' is not "
                                       "in tokenizer.ggml.tokens",
                                       rank, merge.c_str(), part.c_str());
      id = position->second;
    }
    pairs.try_emplace({ids[0], ids[1]}, Merges::Target{ids[2], uint32_t(rank)});
  }
  return llvm::Error::success();
}

/// SentencePiece: any two symbols merge whose concatenation is a token; the best score goes first.
static void addScoredMerges(const TokenizerSpec &spec, const Vocabulary &vocabulary,
                            llvm::DenseMap<Merges::Pair, Merges::Target> &pairs) {
  std::vector<float> scores = spec.scores;
  llvm::sort(scores, std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  for (const auto &entry : vocabulary.byText) {
    llvm::StringRef token = entry.first();
    uint32_t id = entry.second;
    if (id >= vocabulary.tokenCount)
      continue;
    auto rank = std::lower_bound(scores.begin(), scores.end(), spec.scores[id], std::greater<>());
    for (size_t i = text::decodeUtf8(token, 0).length; i < token.size();
         i += text::decodeUtf8(token, i).length) {
      std::optional<uint32_t> left = vocabulary.find(token.take_front(i));
      std::optional<uint32_t> right = vocabulary.find(token.drop_front(i));
      if (left && right)
        pairs.try_emplace({*left, *right}, Merges::Target{id, uint32_t(rank - scores.begin())});
    }
  }
}

llvm::Expected<Merges> Merges::create(const TokenizerSpec &spec, const Vocabulary &vocabulary,
                                      fb::TokenizerModel model) {
  Merges result;
  if (spec.model != "llama") {
    if (llvm::Error error = addListedMerges(spec, vocabulary, result.pairs))
      return error;
    return result;
  }
  if (spec.scores.empty())
    return llvm::createStringError("tokenizer.ggml.scores is missing; tokenizer.ggml.model 'llama' "
                                   "needs one score per token");
  if (auto bad = llvm::find_if(spec.scores, [](float s) { return std::isnan(s); });
      bad != spec.scores.end())
    return llvm::createStringError("tokenizer.ggml.scores: the score of token %zu is not a number",
                                   size_t(bad - spec.scores.begin()));
  addScoredMerges(spec, vocabulary, result.pairs);
  return result;
}

bool Merges::mergesTo(llvm::StringRef text, uint32_t id, const Vocabulary &vocabulary,
                      fb::TokenizerModel model) const {
  llvm::SmallVector<uint32_t, 64> symbols;
  for (size_t i = 0; i < text.size();) {
    bool bytes = model == fb::TokenizerModel::byte_level_bpe;
    uint32_t length = bytes ? 1 : text::decodeUtf8(text, i).length;
    std::optional<uint32_t> symbol;
    if (!bytes)
      symbol = vocabulary.find(text.substr(i, length));
    else if (int32_t token = vocabulary.byteTokens[uint8_t(text[i])]; token >= 0)
      symbol = uint32_t(token);
    if (!symbol)
      return false;
    symbols.push_back(*symbol);
    i += length;
  }
  // Each round merges the leftmost pair of the lowest rank.
  while (symbols.size() > 1) {
    size_t best = 0;
    Target bestTarget{0, UINT32_MAX};
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      auto position = pairs.find({symbols[i], symbols[i + 1]});
      if (position != pairs.end() && position->second.rank < bestTarget.rank) {
        best = i;
        bestTarget = position->second;
      }
    }
    if (bestTarget.rank == UINT32_MAX)
      return false;
    symbols[best] = bestTarget.result;
    symbols.erase(symbols.begin() + best + 1);
  }
  return symbols.size() == 1 && symbols[0] == id;
}
