// The model families the compiler knows. One short file each says how its graph is built.
#ifndef TERN_COMPILER_IMPORT_ARCHITECTURES_ARCHITECTURE_H
#define TERN_COMPILER_IMPORT_ARCHITECTURES_ARCHITECTURE_H

#include "compiler/Import/Architectures/GraphBuilder.h"

namespace tern {

/// Optional hyperparameters that change a model's result. A file that sets one its family does not
/// read is refused: leaving it out would change the model.
enum class Hyperparameters : uint32_t {
  None = 0,
  SlidingWindow = 1 << 0,    ///< attention.sliding_window and its pattern
  AttentionSoftCap = 1 << 1, ///< attn_logit_softcapping
  FinalSoftCap = 1 << 2,     ///< final_logit_softcapping
  Multipliers = 1 << 3,      ///< embedding_scale, residual_scale, logit_scale
  SlidingRopeBase = 1 << 4,  ///< rope.freq_base_swa
  HiddenActivation = 1 << 5, ///< hidden_activation
  LongRope = 1 << 6,         ///< rope_factors_long, rope_factors_short and their keys
  Experts = 1 << 7,          ///< expert_count and what belongs to it
};
constexpr Hyperparameters operator|(Hyperparameters a, Hyperparameters b) {
  return Hyperparameters(uint32_t(a) | uint32_t(b));
}

struct Architecture {
  llvm::StringLiteral name; ///< general.architecture
  NormKind norm;
  /// Which elements of a head rotate together in GGUF files of this family. Converters permute
  /// query and key rows of some families from halves to adjacent pairs.
  RopePairs ropePairs;
  Hyperparameters reads;
  /// Those of them that a file must set.
  Hyperparameters required;
  void (*build)(GraphBuilder &graph);

  bool readsAny(Hyperparameters some) const { return (uint32_t(reads) & uint32_t(some)) != 0; }
  bool requiresAny(Hyperparameters some) const {
    return (uint32_t(required) & uint32_t(some)) != 0;
  }
};

/// Null if unknown.
const Architecture *findArchitecture(llvm::StringRef name);
/// "llama, qwen2": for messages.
std::string knownArchitectures();

void buildBitNet(GraphBuilder &graph);
void buildBitNetB158(GraphBuilder &graph);
void buildBloom(GraphBuilder &graph);
void buildFalcon(GraphBuilder &graph);
void buildGPT2(GraphBuilder &graph);
void buildGPTJ(GraphBuilder &graph);
void buildGemma(GraphBuilder &graph);
void buildGemma2(GraphBuilder &graph);
void buildGemma3(GraphBuilder &graph);
/// What Gemma 2 and 3 multiply scores with: the 27B models, known by their number of layers, take
/// another size than that of their heads.
double gemmaQueryScale(const ModelConfig &config, unsigned layersOf27B);
void buildGranite(GraphBuilder &graph);
void buildLlama(GraphBuilder &graph);
void buildOlmo2(GraphBuilder &graph);
void buildPhi2(GraphBuilder &graph);
void buildQwen2(GraphBuilder &graph);
void buildQwen2MoE(GraphBuilder &graph);
void buildQwen3(GraphBuilder &graph);
void buildSmolLM3(GraphBuilder &graph);
void buildStableLM(GraphBuilder &graph);

} // namespace tern
#endif
