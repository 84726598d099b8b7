// Cuts text into the words that are merged separately (the "pre-tokenizer").
//
// The artifact lists split stages (schema/tokenizer.fbs); each cuts the pieces of the stage before
// it. Stages are hand-written matchers of the regular expressions named in the schema: linear in
// the text, whatever it holds. Invalid UTF-8 counts as characters of no class.
#ifndef TERN_RUNTIME_TEXT_WORDSPLITTER_H
#define TERN_RUNTIME_TEXT_WORDSPLITTER_H

#include "runtime/text/TokenizerTables.h"

#include <string_view>

namespace tern::text {

class WordSplitter {
public:
  /// More stages than any known pre-tokenizer has.
  static constexpr uint32_t maxStages = 8;

  /// Fails if the artifact lists unknown or too many stages.
  static Status checkStages(const TokenizerTables &tables);

  /// `tables` has passed checkStages; it and `text` outlive the splitter.
  WordSplitter(const TokenizerTables &tables, std::string_view text);

  /// The next word, or an empty view at the end.
  std::string_view next();

private:
  const TokenizerTables &tables;
  std::string_view text;
  size_t position = 0;
  /// End of the current piece before the first stage and after each.
  size_t ends[maxStages + 1];
};

} // namespace tern::text

#endif
