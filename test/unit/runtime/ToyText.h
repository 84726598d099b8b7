// A tokenizer table for the toy: token t < 96 is the character 32 + t, 96 and 97 are halves of "é",
// 98 ends a generation, the rest has no text.
#ifndef TERN_TEST_UNIT_RUNTIME_TOYTEXT_H
#define TERN_TEST_UNIT_RUNTIME_TOYTEXT_H

#include "test/unit/runtime/ToyArtifact.h"

#include <memory>

namespace tern::test {

inline constexpr int32_t toyEndToken = 98;
std::unique_ptr<fb::TokenizerT> toyTokenizer();
/// The toy artifact with this tokenizer.
AlignedBytes toyWithText();

} // namespace tern::test

#endif
