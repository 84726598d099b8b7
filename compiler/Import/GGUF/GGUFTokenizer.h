// The tokenizer keys of a GGUF file.
#ifndef TERN_COMPILER_IMPORT_GGUF_GGUFTOKENIZER_H
#define TERN_COMPILER_IMPORT_GGUF_GGUFTOKENIZER_H

#include "compiler/Import/GGUF/Reader.h"
#include "compiler/Text/TokenizerSpec.h"
#include <optional>

namespace tern {

/// What `tokenizer.*` says. Nothing when the file has no tokenizer or its keys do not make sense;
/// `note` then says why: a model without a tokenizer still runs on token ids.
std::optional<TokenizerSpec> readGGUFTokenizer(const gguf::File &file, std::string &note);

} // namespace tern
#endif
