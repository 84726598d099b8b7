// One group's values with the weights of their squared errors, and the least-squares fits of scales
// to them: what the searches of ScaleSearch.h and SuperGroupSearch.h are made of.
//
// A scale that clips the largest values is often better than one that just holds them. Candidates
// clip by up to a third of the range; for the codes each of them gives, the best scale is the
// solution of a least-squares problem, and the candidate of the least error wins. Sums are kept in
// eight lanes whatever the machine, so that results are the same on each.
#ifndef TERN_COMPILER_ENCODING_WEIGHTEDGROUP_H
#define TERN_COMPILER_ENCODING_WEIGHTEDGROUP_H

#include "llvm/ADT/ArrayRef.h"

namespace tern {

/// What scales a group: value = scale * code + minimum.
struct FittedScale {
  float scale = 0;
  float minimum = 0;
};

/// Codes from low to high, as signed numbers. `even`: both ends are equally far from 0.
struct CodeRange {
  float low = 0, high = 0;
  bool even = false;
};

struct WeightedGroup {
  static constexpr unsigned largest = 256;

  unsigned size = 0; ///< padded to whole lanes with weights of 0
  float values[largest], weights[largest];

  /// At most `largest` values. `importance` is null for equal weights; weights of nothing but 0
  /// count as equal too: nothing is known of the group.
  WeightedGroup(llvm::ArrayRef<float> data, const float *importance);

  /// The weighted squared error of the nearest codes under a scale.
  float errorOf(FittedScale fit, const CodeRange &range) const;
  /// The scale with the least error that is found, without a minimum. 0 for values of nothing but
  /// zeros, or that are not finite.
  float fitScale(const CodeRange &range) const;
  /// The same with a minimum, for codes from 0; with `belowZero` the minimum is at most 0.
  FittedScale fitScaleAndMinimum(float high, bool belowZero) const;

  /// The same for codes that stand for `steps`, at most maxSteps ascending values.
  static constexpr unsigned maxSteps = 16;
  float errorOf(float scale, llvm::ArrayRef<float> steps) const;
  float fitScale(llvm::ArrayRef<float> steps) const;
};

/// The nearest integer, halves to even, of a magnitude below 2^22.
inline float nearestInteger(float x) {
  // Added and taken away again: 1.5 * 2^23 has no bits after the point.
  constexpr float magic = 12582912.0f;
  return (x + magic) - magic;
}

/// The nearest code of each value, stored as code + zero; NaN becomes the lowest.
void writeCodes(llvm::ArrayRef<float> values, FittedScale fit, const CodeRange &range, int zero,
                uint8_t *codes);

} // namespace tern
#endif
