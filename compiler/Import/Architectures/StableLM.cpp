// StableLM 2 (Bellagente et al., 2024): as Llama with layer norms and rotary positions in part of
// each head. The 12B model normalizes each head of query and key, and has attention and
// feed-forward side by side on one norm.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildStableLM(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value normed = graph.norm(x, layer, "attn_norm");
    Value attention = graph.selfAttention(normed, layer, {.queryKeyNorm = QueryKeyNorm::OwnHead});
    if (graph.has("blk." + Twine(layer) + ".ffn_norm.weight")) {
      x = graph.add(x, attention);
      x = graph.add(x, graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer));
    } else {
      x = graph.add(x, graph.add(attention, graph.gatedFeedForward(normed, layer)));
    }
  }
  graph.finishWithLogits(x);
}

} // namespace tern
