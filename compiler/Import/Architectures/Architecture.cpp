// The table of model families.
#include "compiler/Import/Architectures/Architecture.h"

#include "llvm/ADT/STLExtras.h"

using namespace llvm;

namespace tern {

using enum NormKind;
using enum RopePairs;
using H = Hyperparameters;

static constexpr H gemma2Keys = H::SlidingWindow | H::AttentionSoftCap | H::FinalSoftCap;

static constexpr Architecture architectures[] = {
    {"bitnet", Rms, Halves, H::HiddenActivation, H::None, buildBitNet},
    {"bitnet-b1.58", Rms, Halves, H::None, H::None, buildBitNetB158},
    {"bloom", Layer, Halves, H::None, H::None, buildBloom},
    {"falcon", Layer, Halves, H::None, H::None, buildFalcon},
    {"gemma", Rms, Halves, H::None, H::None, buildGemma},
    {"gemma2", Rms, Halves, gemma2Keys, gemma2Keys, buildGemma2},
    {"gemma3", Rms, Halves, H::SlidingWindow | H::SlidingRopeBase | H::FinalSoftCap, H::None,
     buildGemma3},
    {"gpt2", Layer, Halves, H::None, H::None, buildGPT2},
    {"gptj", Layer, Adjacent, H::None, H::None, buildGPTJ},
    {"granite", Rms, Adjacent, H::Multipliers, H::None, buildGranite},
    {"llama", Rms, Adjacent, H::SlidingWindow | H::Experts, H::None, buildLlama},
    {"olmo2", Rms, Halves, H::SlidingWindow | H::SlidingRopeBase, H::None, buildOlmo2},
    {"phi2", Layer, Halves, H::None, H::None, buildPhi2},
    {"phi3", Rms, Halves, H::SlidingWindow | H::LongRope, H::None, buildLlama},
    {"qwen2", Rms, Halves, H::None, H::None, buildQwen2},
    {"qwen2moe", Rms, Halves, H::Experts, H::Experts, buildQwen2MoE},
    {"qwen3", Rms, Halves, H::None, H::None, buildQwen3},
    {"qwen3moe", Rms, Halves, H::Experts, H::Experts, buildQwen3},
    {"smollm3", Rms, Adjacent, H::None, H::None, buildSmolLM3},
    {"stablelm", Layer, Halves, H::None, H::None, buildStableLM},
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
