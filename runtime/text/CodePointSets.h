// Membership in the fixed sets of code points that split stages name (schema CodePointSet).
//
// They are lists because the models' own regular expressions are: no Unicode property gives them.
// The sets of a general category are not here; the artifact's class table has those.
#ifndef TERN_RUNTIME_TEXT_CODEPOINTSETS_H
#define TERN_RUNTIME_TEXT_CODEPOINTSETS_H

#include "tern_generated.h"

#include <cstdint>

namespace tern::text {

/// Whether `codePoint` is in a listed set; false for the sets of a general category.
bool isInSet(fb::CodePointSet set, uint32_t codePoint);

/// Whether it is one of the characters that end a word of Bloom: ( ) | . , ! ? and relatives.
bool endsBloomWord(uint32_t codePoint);

} // namespace tern::text

#endif
