// Any bytes as an importance matrix: parsing fails with a message, or every entry is finite and not
// negative.
#include "compiler/Import/ImportanceMatrix.h"
#include <cmath>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::Expected<tern::ImportanceMatrix> matrix =
      tern::ImportanceMatrix::parse(llvm::ArrayRef(data, size), "input");
  if (!matrix) {
    if (llvm::toString(matrix.takeError()).empty())
      abort();
    return 0;
  }
  if (matrix->size() == 0)
    abort();
  for (const char *weight :
       {"blk.0.attn_qkv.weight", "blk.0.attn_q.weight", "blk.0.ffn_gate.weight",
        "blk.0.ffn_up.weight", "blk.0.ffn_up_exps.weight"})
    for (float value : matrix->find(weight))
      if (!std::isfinite(value) || value < 0)
        abort();
  return 0;
}
