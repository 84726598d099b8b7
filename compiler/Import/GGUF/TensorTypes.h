// The tensor types GGUF files use: names and block sizes, known or not to the rest of the compiler.
//
// Which of them can be compiled is decided by compiler/Encoding/BlockFormat.h; this table lets the
// reader check that every tensor lies inside its file, and lets `tern inspect` name it.
#ifndef TERN_COMPILER_IMPORT_GGUF_TENSORTYPES_H
#define TERN_COMPILER_IMPORT_GGUF_TENSORTYPES_H

#include <cstdint>
#include <span>

namespace tern::gguf {

struct TensorType {
  uint32_t number; ///< enum ggml_type
  const char *name;
  uint32_t blockElements;
  uint32_t blockBytes;
  uint32_t tailBytes = 0; ///< behind a tensor's last block
};

std::span<const TensorType> tensorTypes();
/// Null if the number is unknown.
const TensorType *findTensorType(uint32_t number);

} // namespace tern::gguf
#endif
