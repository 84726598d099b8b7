// Sizes and the name of WeightLayout.
#include "compiler/Encoding/WeightLayout.h"

using namespace llvm;

namespace tern {

uint64_t WeightLayout::groupBytes(const EncodingDesc &e) const {
  return uint64_t(tileRows) * (e.scaleBytes() + uint64_t(e.groupSize) * e.codeBits() / 8);
}

uint64_t WeightLayout::tileBytes(const EncodingDesc &e, uint64_t k, uint64_t parts) const {
  if (e.isFloat())
    return parts * k * tileRows * (e.codeBits() / 8);
  return parts * (k / e.groupSize) * groupBytes(e);
}

uint64_t WeightLayout::packedBytes(const EncodingDesc &e, uint64_t rows, uint64_t k,
                                   uint64_t parts) const {
  return (rows + tileRows - 1) / tileRows * tileBytes(e, k, parts);
}

std::string WeightLayout::id() const { return "rows" + std::to_string(tileRows); }

std::optional<WeightLayout> parseWeightLayout(StringRef id) {
  WeightLayout layout;
  // 1024 rows are far more than any kernel's task; the bound keeps sizes from overflowing.
  StringRef count = id;
  if (!count.consume_front("rows") || count.getAsInteger(10, layout.tileRows) ||
      layout.tileRows == 0 || layout.tileRows > 1024 || layout.id() != id)
    return std::nullopt;
  return layout;
}

} // namespace tern
