// The table of model families.
#include "compiler/Import/Architectures/Architecture.h"

#include "llvm/ADT/STLExtras.h"

using namespace llvm;

namespace tern {

static constexpr Architecture architectures[] = {
    {"llama", true, buildLlama},
    {"qwen2", false, buildQwen2},
};

const Architecture *findArchitecture(StringRef name) {
  const Architecture *found =
      find_if(architectures, [&](const Architecture &a) { return a.name == name; });
  return found == std::end(architectures) ? nullptr : found;
}

std::string knownArchitectures() {
  std::string text;
  for (const Architecture &architecture : architectures)
    text += (text.empty() ? "" : ", ") + architecture.name.str();
  return text;
}

} // namespace tern
