// The matchers of the split stages: what one stage cuts off the front of a text.
//
// Each is the regular expression that schema/tokenizer.fbs writes beside its name, by hand: linear
// in the text, whatever it holds. Invalid UTF-8 counts as characters of no class.
#ifndef TERN_RUNTIME_TEXT_SPLITMATCHER_H
#define TERN_RUNTIME_TEXT_SPLITMATCHER_H

#include "runtime/text/TokenizerTables.h"

#include <string_view>

namespace tern::text {

/// Length of the first piece that `stage` cuts off `text`, which is not empty: a match, or the text
/// before the first one. 0 only where damaged tables contradict themselves.
size_t pieceLength(const TokenizerTables &tables, const fb::SplitStage &stage,
                   std::string_view text);

} // namespace tern::text

#endif
