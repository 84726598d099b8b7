// Qwen3 (Yang et al., 2025): as Llama, with an RMS norm over each head of query and key.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildQwen3(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer,
                                          {.queryKeyNorm = QueryKeyNorm::Head});
    x = graph.add(x, attention);
    x = graph.add(x, graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
