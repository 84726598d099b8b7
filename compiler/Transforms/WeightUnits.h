// Which weight unit a weight belongs to: what is fetched and released together.
#ifndef TERN_COMPILER_TRANSFORMS_WEIGHTUNITS_H
#define TERN_COMPILER_TRANSFORMS_WEIGHTUNITS_H

#include "llvm/ADT/StringRef.h"
#include <string>

namespace tern {

/// The layer ("blk.3") of a layer's weight, its experts apart ("blk.3.experts"); the weight's own
/// name for one outside the layers.
inline std::string unitOf(llvm::StringRef weight) {
  if (!weight.starts_with("blk."))
    return weight.str();
  std::string layer = weight.take_front(weight.find('.', 4)).str();
  return weight.contains("_exps.") ? layer + ".experts" : layer;
}

} // namespace tern
#endif
