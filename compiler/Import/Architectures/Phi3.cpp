// Phi-3 and Phi-4 (Abdin et al., 2024): as Llama, with query, key and value in one tensor, gate and
// up in another, a sliding window in all layers, and frequencies divided by factors of their own
// for long contexts (Ding et al., "LongRoPE", 2024).
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildPhi3(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer,
                                          {.window = graph.windowOf(layer, /*period=*/0)});
    x = graph.add(x, attention);
    x = graph.add(x, graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
