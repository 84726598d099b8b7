// Phi-1, 1.5 and 2 (Li et al., 2023): attention and feed-forward read the same layer norm, side by
// side; part of each head is rotated; all matrices have biases.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildPhi2(GraphBuilder &graph) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value normed = graph.norm(x, layer, "attn_norm");
    Value attention = graph.selfAttention(normed, layer, {.inputBias = Bias::Required});
    Value inner = graph.feedForward(normed, layer, Activation::GeluTanh);
    x = graph.add(x, graph.add(attention, inner));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
