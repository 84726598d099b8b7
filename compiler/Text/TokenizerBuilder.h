// Makes an artifact's tokenizer tables from what the model file says about its tokenizer.
//
// The runtime (runtime/text) uses these tables where the file is mapped, so everything that can be
// computed ahead is computed here: decoded token bytes, hash tables, Unicode classes, the parts of
// the chat template.
#ifndef TERN_COMPILER_TEXT_TOKENIZERBUILDER_H
#define TERN_COMPILER_TEXT_TOKENIZERBUILDER_H

#include "compiler/Text/TokenizerSpec.h"
#include "tern_generated.h"

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace tern {

/// Called with one line about metadata that is accepted but suspicious.
using TokenizerWarning = llvm::function_ref<void(llvm::StringRef)>;

/// Serializes the tokenizer into `builder`, which must not be inside a table.
/// Fails on metadata that cannot be honoured exactly: unknown model or pre-tokenizer, ids out of
/// range, merges of tokens that do not exist. An unknown chat template is no failure: the artifact
/// then carries the reason. Same input, same bytes.
llvm::Expected<flatbuffers::Offset<fb::Tokenizer>> buildTokenizer(
    const TokenizerSpec &spec, flatbuffers::FlatBufferBuilder &builder,
    TokenizerWarning warn = [](llvm::StringRef) {});

} // namespace tern

#endif
