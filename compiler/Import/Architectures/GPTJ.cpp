// GPT-J (Wang and Komatsuzaki, 2021): attention and feed-forward read the same layer norm, side by
// side; the first elements of each head are rotated in adjacent pairs.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildGPTJ(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value normed = graph.norm(x, layer, "attn_norm");
    Value attention = graph.selfAttention(normed, layer);
    Value inner = graph.feedForward(normed, layer, Activation::GeluTanh);
    x = graph.add(x, graph.add(attention, inner));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
