// SmolLM3 (Bakouch et al., 2025): as Llama, but every fourth layer has no rotary positions (Yang et
// al., "Rope to Nope and Back Again", 2025). GGUF has no key for the distance.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildSmolLM3(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer,
                                          {.rope = (layer + 1) % 4 != 0});
    x = graph.add(x, attention);
    x = graph.add(x, graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
