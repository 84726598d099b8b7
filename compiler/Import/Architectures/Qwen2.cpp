// Qwen2 and Qwen2.5 (Yang et al., 2024): as Llama, with biases on query, key and value.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildQwen2(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer,
                                          {.inputBias = Bias::Required});
    x = graph.add(x, attention);
    x = graph.add(x, graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
