// Qwen2 and Qwen2.5 (Yang et al., 2024): as Llama, with biases on query, key and value. Qwen3 (Yang
// et al., 2025): with an RMS norm over each head of query and key in their place. Mixtures of
// experts (qwen2moe: Qwen1.5 and Qwen2, with a shared expert and probabilities that are not
// normalized; qwen3moe) have the same graph around them.
#include "compiler/Import/Architectures/Architecture.h"

using namespace mlir;

namespace tern {

static void build(GraphBuilder &graph, const AttentionOptions &options, bool normalize = true) {
  Value x = graph.embed();
  for (unsigned layer = 0; layer < graph.config().layers; ++layer) {
    Value attention = graph.selfAttention(graph.norm(x, layer, "attn_norm"), layer, options);
    x = graph.add(x, attention);
    x = graph.add(x, graph.gatedOrExperts(graph.norm(x, layer, "ffn_norm"), layer, normalize));
  }
  graph.finishWithLogits(x);
}

void buildQwen2(GraphBuilder &graph) { build(graph, {.inputBias = Bias::Required}); }

void buildQwen2MoE(GraphBuilder &graph) {
  build(graph, {.inputBias = Bias::Required}, /*normalize=*/false);
}

void buildQwen3(GraphBuilder &graph) { build(graph, {.queryKeyNorm = QueryKeyNorm::Head}); }

} // namespace tern
