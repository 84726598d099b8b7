// Gemma (Gemma team, 2024): as Llama, with scaled embeddings, heads of a size of their own and a
// GELU-gated feed-forward. GGUF files hold the weights of its norms with the 1 that the model adds.
#include "compiler/Import/Architectures/Architecture.h"
#include <cmath>

using namespace mlir;

namespace tern {

void buildGemma(GraphBuilder &graph) {
  const ModelConfig &config = graph.config();
  Value x = graph.embed(std::sqrt(double(config.hidden)));
  for (unsigned layer = 0; layer < config.layers; ++layer) {
    x = graph.add(x, graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer));
    x = graph.add(x, graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer,
                                            {.activation = Activation::GeluTanh}));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
