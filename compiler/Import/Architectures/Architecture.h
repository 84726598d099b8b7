// The model families the compiler knows. One short file each says how its graph is built.
#ifndef TERN_COMPILER_IMPORT_ARCHITECTURES_ARCHITECTURE_H
#define TERN_COMPILER_IMPORT_ARCHITECTURES_ARCHITECTURE_H

#include "compiler/Import/Architectures/GraphBuilder.h"

namespace tern {

struct Architecture {
  llvm::StringLiteral name; ///< general.architecture
  /// GGUF files of this family hold query and key rows permuted for adjacent pairs.
  bool ropeAdjacentInGGUF;
  void (*build)(GraphBuilder &graph);
};

/// Null if unknown.
const Architecture *findArchitecture(llvm::StringRef name);
/// "llama, qwen2": for messages.
std::string knownArchitectures();

void buildLlama(GraphBuilder &graph);
void buildQwen2(GraphBuilder &graph);

} // namespace tern
#endif
