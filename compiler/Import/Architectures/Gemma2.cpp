// Gemma 2 (Gemma team, 2024): as Gemma, with norms before and after attention and feed-forward,
// soft caps on scores and logits, and a sliding window in every second layer.
#include "compiler/Import/Architectures/Architecture.h"
#include <cmath>

using namespace mlir;

namespace tern {

// GGUF has no key for the 27B models' size, so they are known by their number of layers.
double gemmaQueryScale(const ModelConfig &config, unsigned layersOf27B) {
  double size = config.layers == layersOf27B ? double(config.hidden) / double(config.heads[0])
                                             : double(config.keySize);
  return 1 / std::sqrt(size);
}

void buildGemma2(GraphBuilder &graph) {
  const ModelConfig &config = graph.config();
  double scale = gemmaQueryScale(config, /*layersOf27B=*/46);
  Value x = graph.embed(std::sqrt(double(config.hidden)));
  for (unsigned layer = 0; layer < config.layers; ++layer) {
    AttentionOptions options{.window = graph.windowOf(layer, /*period=*/2), .scale = scale};
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer, options);
    x = graph.add(x, graph.norm(attention, layer, "post_attention_norm"));
    Value inner = graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer,
                                         {.activation = Activation::GeluTanh});
    x = graph.add(x, graph.norm(inner, layer, "post_ffw_norm"));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
