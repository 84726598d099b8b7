// Reads a TokenizerSpec from JSON, so that tests written in any language can describe a tokenizer
// without a model file.
#ifndef TERN_TEST_UNIT_TEXT_TOKENIZERSPECJSON_H
#define TERN_TEST_UNIT_TEXT_TOKENIZERSPECJSON_H

#include "compiler/Text/TokenizerSpec.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace tern {

/// The keys are the GGUF keys without "tokenizer." and "ggml.": model, pre, tokens, scores,
/// token_type, merges, bos_token_id, ..., add_bos_token, ..., chat_template.
llvm::Expected<TokenizerSpec> parseTokenizerSpec(llvm::StringRef json);

} // namespace tern

#endif
