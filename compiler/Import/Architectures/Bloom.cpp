// BLOOM (Le Scao et al., 2022): a norm after the embedding, ALiBi instead of rotary positions,
// layer norms and biases everywhere. GGUF has no key for ALiBi's largest exponent, 8 as in the
// paper.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

void buildBloom(GraphBuilder &graph) {
  Value x = graph.norm(graph.embed(), "token_embd_norm");
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    x = graph.add(x, graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer,
                                         {.inputBias = Bias::Required, .rope = false, .alibi = 8}));
    x = graph.add(x,
                  graph.feedForward(graph.norm(x, layer, "ffn_norm"), layer, Activation::GeluTanh));
  }
  graph.finishWithLogits(x);
}

} // namespace tern
