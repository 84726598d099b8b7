// Rotary frequencies with a model's scaling applied.
#ifndef TERN_COMPILER_IMPORT_ARCHITECTURES_ROPE_H
#define TERN_COMPILER_IMPORT_ARCHITECTURES_ROPE_H

#include "compiler/Import/Architectures/ModelConfig.h"

namespace tern {

struct RopeFrequencies {
  std::vector<double> frequencies; ///< ropeDimensions / 2
  double magnitude = 1;            ///< multiplies cosines and sines (YaRN's attention factor)
};

/// Frequency i is base^(-2 i / dimensions), divided by its factor, then scaled: linear divides by
/// the factor, YaRN blends scaled and unscaled by wavelength as llama.cpp and transformers do.
RopeFrequencies ropeFrequencies(const ModelConfig &config);

} // namespace tern
#endif
