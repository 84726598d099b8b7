// A GGUF file's metadata as the format-neutral ModelConfig.
#ifndef TERN_COMPILER_IMPORT_GGUF_GGUFCONFIG_H
#define TERN_COMPILER_IMPORT_GGUF_GGUFCONFIG_H

#include "compiler/Import/Architectures/Architecture.h"
#include "compiler/Import/GGUF/Reader.h"
#include "llvm/Support/Error.h"

namespace tern {

/// Reads the keys `NAME.*` of the architecture (and rope_freqs.weight). Errors name the key, what
/// it holds and what was expected. Key names:
/// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
llvm::Expected<ModelConfig> readGGUFConfig(const gguf::File &file,
                                           const Architecture &architecture);

} // namespace tern
#endif
