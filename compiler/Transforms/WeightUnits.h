// Which weight unit a weight belongs to: what is fetched and released together.
#ifndef TERN_COMPILER_TRANSFORMS_WEIGHTUNITS_H
#define TERN_COMPILER_TRANSFORMS_WEIGHTUNITS_H

#include "llvm/ADT/StringRef.h"

namespace tern {

/// The layer ("blk.3") of a layer's weight, the weight's own name for one outside the layers.
inline llvm::StringRef unitOf(llvm::StringRef weight) {
  return weight.starts_with("blk.") ? weight.take_front(weight.find('.', 4)) : weight;
}

} // namespace tern
#endif
