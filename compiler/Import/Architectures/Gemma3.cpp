// Gemma 3 (Gemma team, 2025): as Gemma 2, with a norm over each head of query and key instead of
// the soft cap on scores; five of six layers slide and have rotary positions of a smaller base.
#include "compiler/Import/Architectures/Architecture.h"
#include <cmath>

using namespace mlir;

namespace tern {

void buildGemma3(GraphBuilder &graph) {
  const ModelConfig &config = graph.config();
  double scale = gemmaQueryScale(config, /*layersOf27B=*/62);
  Value x = graph.embed(std::sqrt(double(config.hidden)));
  for (unsigned layer = 0; layer < config.layers; ++layer) {
    AttentionOptions options{.queryKeyNorm = QueryKeyNorm::Head, .scale = scale};
    if (graph.slides(layer, /*period=*/6)) {
      options.window = config.window;
      options.ownRopeBase = config.slidingRopeBase.value_or(10000);
    }
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer, options);
    x = graph.add(x, graph.norm(attention, layer, "post_attention_norm"));
    Value inner = graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer,
                                         {.activation = Activation::GeluTanh});
    x = graph.add(x, graph.norm(inner, layer, "post_ffw_norm"));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
