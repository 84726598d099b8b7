// Granite 3 (IBM, 2024): as Llama, with multipliers on the embedding, on what layers add to the
// residual stream, and on the logits; the attention's own is the common key `attention.scale`.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildGranite(GraphBuilder &graph) {
  const ModelConfig &config = graph.config();
  Value x = graph.embed(config.embeddingScale);
  for (unsigned layer = 0; layer < config.layers; ++layer) {
    Value attention =
        graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer, {.rope = config.usesRope});
    x = graph.add(x, graph.multiply(attention, config.residualScale));
    Value inner = graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer);
    x = graph.add(x, graph.multiply(inner, config.residualScale));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
