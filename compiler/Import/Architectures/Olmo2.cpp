// OLMo 2 (OLMo team, 2024): norms after attention and feed-forward instead of before, and over the
// whole projection of query and key. OLMo 3 shares the name: three of four layers slide, and those
// have rotary positions without scaling.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildOlmo2(GraphBuilder &graph) {
  const ModelConfig &config = graph.config();
  Value x = graph.embed();
  for (unsigned layer = 0; layer < config.layers; ++layer) {
    AttentionOptions options{.queryKeyNorm = QueryKeyNorm::Projection,
                             .window = graph.windowOf(layer, /*period=*/4)};
    if (options.window != 0)
      options.ownRopeBase = config.slidingRopeBase.value_or(config.ropeBase);
    x = graph.add(x,
                  graph.norm(graph.selfAttention(x, layer, options), layer, "post_attention_norm"));
    x = graph.add(x, graph.norm(graph.gatedFeedForward(x, layer), layer, "post_ffw_norm"));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
