// Rotary frequencies: plain, per-frequency factors, linear scaling, YaRN.
#include "compiler/Import/Architectures/Rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tern {

// The (fractional) frequency index whose wave turns `turns` times within the original context.
static double yarnDimension(const ModelConfig &config, double turns) {
  return double(config.ropeDimensions) *
         std::log(config.ropeScaling.originalContext / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(config.ropeBase));
}

RopeFrequencies ropeFrequencies(const ModelConfig &config) {
  RopeFrequencies result;
  const RopeScaling &scaling = config.ropeScaling;
  bool yarn = scaling.kind == RopeScaling::Kind::Yarn;
  double low = 0, high = 0;
  if (scaling.kind == RopeScaling::Kind::Long)
    result.magnitude = scaling.attentionFactor;
  if (yarn) {
    low = std::max(0.0, std::floor(yarnDimension(config, scaling.betaFast)));
    high = std::min(double(config.ropeDimensions) - 1,
                    std::ceil(yarnDimension(config, scaling.betaSlow)));
    result.magnitude = scaling.attentionFactor;
    if (scaling.extrapolation != 0)
      result.magnitude *= 1 + 0.1 * std::log(scaling.factor);
  }
  for (uint64_t i = 0; i < config.ropeDimensions / 2; ++i) {
    double frequency = std::pow(config.ropeBase, -2.0 * double(i) / double(config.ropeDimensions));
    if (!config.ropeFactors.empty())
      frequency /= config.ropeFactors[i];
    double scaled = frequency / scaling.factor;
    if (yarn) {
      double ramp = std::clamp((double(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
      double keep = (1 - ramp) * scaling.extrapolation;
      frequency = scaled * (1 - keep) + frequency * keep;
    } else if (scaling.kind == RopeScaling::Kind::Linear) {
      frequency = scaled;
    }
    result.frequencies.push_back(frequency);
  }
  return result;
}

} // namespace tern
