// Qwen3 (Yang et al., 2025): as Llama, with an RMS norm over each head of query and key; its
// mixtures of experts (qwen3moe) have the same graph around them.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildQwen3(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer,
                                          {.queryKeyNorm = QueryKeyNorm::Head});
    x = graph.add(x, attention);
    x = graph.add(
        x, graph.gatedOrExperts(graph.norm(x, layer, "ffn_norm"), layer, /*normalize=*/true));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
