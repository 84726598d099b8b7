// BitNet b1.58 (Ma et al., 2024): as Llama with ternary matrices, int8 activations with one scale
// per token, and a norm before each output matrix. `bitnet` files say which activation they have,
// SiLU if nothing; `bitnet-b1.58` is Microsoft's name for the 2B4T model (2025), which has squared
// ReLU.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

static void buildBitNetWith(GraphBuilder &graph, Activation activation) {
  graph.quantizeActivationsPerToken();
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    x = graph.add(x, graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer,
                                         {.subNorm = "attn_sub_norm"}));
    x = graph.add(x, graph.gatedFeedForward(graph.norm(x, layer, "ffn_norm"), layer,
                                            {.activation = activation, .subNorm = "ffn_sub_norm"}));
  }
  graph.finishWithLogits(x);
}

void buildBitNet(GraphBuilder &graph) {
  buildBitNetWith(graph, graph.config().activation.value_or(Activation::Silu));
}

void buildBitNetB158(GraphBuilder &graph) { buildBitNetWith(graph, Activation::SquaredRelu); }

} // namespace tern
