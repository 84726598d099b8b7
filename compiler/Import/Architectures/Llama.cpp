// Llama 1, 2 and 3, Mistral, TinyLlama, SmolLM (Touvron et al., 2023): pre-norm, grouped-query
// attention with rotary positions, SiLU-gated feed-forward. Biases are used where a file has them,
// a sliding window (Mistral 7B v0.1) in all layers.
//
// Phi-3 and Phi-4 (Abdin et al., 2024) have the same graph. Their query, key and value lie in one
// tensor, gate and up in another, and their frequencies are divided by factors of their own for
// long contexts (Ding et al., "LongRoPE", 2024): GraphBuilder and the configuration see to that.
//
// Mixtral (Jiang et al., 2024) has experts in place of the feed-forward block.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildLlama(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer,
                                          {.window = graph.windowOf(layer, /*period=*/0)});
    x = graph.add(x, attention);
    x = graph.add(
        x, graph.gatedOrExperts(graph.norm(x, layer, "ffn_norm"), layer, /*normalize=*/true));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
