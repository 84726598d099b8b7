// Which tokens end a reply.
//
// Files name one end-of-sequence token, but chat models end their turns with others, often unnamed.
// The rule is llama.cpp's: the named ids, and tokens known by their text in the model families.
#ifndef TERN_COMPILER_TEXT_ENDOFGENERATION_H
#define TERN_COMPILER_TEXT_ENDOFGENERATION_H

#include "compiler/Text/TokenizerSpec.h"

#include <cstdint>
#include <vector>

namespace tern {

/// Ids in ascending order. Ids that are out of range are left out.
std::vector<uint32_t> endOfGenerationTokens(const TokenizerSpec &spec);

/// Whether a token of this text ends a reply by its text alone and is therefore a control token,
/// whatever type the file gives it.
bool endsGenerationByText(const std::string &token);

} // namespace tern

#endif
