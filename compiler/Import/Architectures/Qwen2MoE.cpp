// Qwen1.5 and Qwen2 mixtures of experts (Yang et al., 2024): Qwen2's attention; in place of the
// feed-forward block routed experts, whose probabilities are not normalized, and a shared one.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildQwen2MoE(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer,
                                          {.inputBias = Bias::Required});
    x = graph.add(x, attention);
    x = graph.add(
        x, graph.gatedOrExperts(graph.norm(x, layer, "ffn_norm"), layer, /*normalize=*/false));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
