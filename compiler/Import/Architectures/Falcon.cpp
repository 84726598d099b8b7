// Falcon (Almazrouei et al., 2023): attention and feed-forward side by side, on the same layer norm
// (7B) or on one each (40B, 180B); query, key and value in one tensor, sorted by the converter.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildFalcon(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value normed = graph.norm(x, layer, "attn_norm");
    bool ownNorm = graph.has("blk." + Twine(layer) + ".attn_norm_2.weight");
    Value attention =
        graph.selfAttention(ownNorm ? graph.norm(x, layer, "attn_norm_2") : normed, layer);
    Value inner = graph.feedForward(normed, layer, Activation::Gelu);
    x = graph.add(x, graph.add(attention, inner));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
