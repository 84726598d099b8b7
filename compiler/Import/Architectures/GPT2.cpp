// GPT-2 (Radford et al., 2019): learned positions, layer norms and biases everywhere.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildGPT2(GraphBuilder &graph) {
  Value x = graph.add(graph.embed(), graph.embedPositions());
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    x = graph.add(x, graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer,
                                         {.inputBias = Bias::Required, .rope = false}));
    x = graph.add(x,
                  graph.feedForward(graph.norm(x, layer, "ffn_norm"), layer, Activation::GeluTanh));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
