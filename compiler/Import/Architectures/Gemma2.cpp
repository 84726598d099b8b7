// Gemma 2 (Gemma team, 2024): as Gemma, with norms before and after attention and feed-forward,
// soft caps on scores and logits, and a sliding window in every second layer.
#include "compiler/Import/Architectures/Architecture.h"
#include <cmath>

using namespace mlir;

namespace tern {

void buildGemma2(GraphBuilder &graph) {
  const ModelConfig &config = graph.config();
  // The 27B model's queries are scaled by another size than its heads'; GGUF has no key for it.
  constexpr unsigned layersOf27B = 46;
  double size = config.layers == layersOf27B ? double(config.hidden) / double(config.heads[0])
                                             : double(config.keySize);
  Value x = graph.embed(std::sqrt(double(config.hidden)));
  for (unsigned layer = 0; layer < config.layers; ++layer) {
    AttentionOptions options{.window = graph.windowOf(layer, /*period=*/2),
                             .scale = 1 / std::sqrt(size)};
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer, options);
    x = graph.add(x, graph.norm(attention, layer, "post_attention_norm"));
    Value inner = graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer,
                                         {.activation = Activation::GeluTanh});
    x = graph.add(x, graph.norm(inner, layer, "post_ffw_norm"));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
