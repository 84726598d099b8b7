// K-quants: a scale, and maybe a minimum, for each group, which are small integers under a scale
// and a minimum of the super-group.
//
// Each group's scale is searched by itself, as a float. The largest of them meets the end of the
// integers' range. From there on what is stored is improved in turns: each group's integers by
// steps of one, codes always chosen anew under the rounded scales; then scale and minimum of the
// super-group, which for given codes and integers are the solution of a least-squares problem.
#include "compiler/Encoding/ScaleSearch.h"
#include "compiler/Encoding/WeightedGroup.h"

#include "llvm/ADT/SmallVector.h"
#include <algorithm>
#include <cmath>

using namespace llvm;

namespace tern {

namespace {

constexpr unsigned turns = 4;

class SuperGroupSearch {
public:
  SuperGroupSearch(const EncodingDesc &encoding, const float *values, const float *importance);

  void run();
  void write(uint8_t *codes, GroupScale *scales) const;

private:
  struct Group {
    ArrayRef<float> data;
    WeightedGroup weighted;
    int scale = 0, minimum = 0;
    Group(ArrayRef<float> data, const float *importance) : data(data), weighted(data, importance) {}
  };
  /// The second-level scale and minimum, as their type holds them.
  struct Outer {
    float scale = 0, minimum = 0;
  };

  FittedScale fitOf(const Group &group, Outer outer) const {
    return {outer.scale * float(group.scale), -(outer.minimum * float(group.minimum))};
  }
  float errorOf(const Group &group, Outer outer) const {
    return group.weighted.errorOf(fitOf(group, outer), range);
  }
  double errorOf(Outer outer) const {
    double sum = 0;
    for (const Group &group : groups)
      sum += errorOf(group, outer);
    return sum;
  }
  Outer rounded(Outer outer) const {
    auto round = [&](float x) {
      return scaleFromBits(encoding.superScale, scaleToBits(encoding.superScale, x));
    };
    return {round(outer.scale), round(outer.minimum)};
  }
  int inner(float value, float unit) const {
    float position = unit == 0 ? 0 : value / unit;
    return position == position
               ? int(nearestInteger(std::clamp(position, float(innerLow), float(innerHigh))))
               : 0;
  }
  void start();
  bool improveGroups();
  bool improveOuter();

  const EncodingDesc &encoding;
  CodeRange range;
  int innerLow = 0, innerHigh = 0;
  SmallVector<Group, 0> groups;
  Outer outer;
};

SuperGroupSearch::SuperGroupSearch(const EncodingDesc &encoding, const float *values,
                                   const float *importance)
    : encoding(encoding) {
  int zero = encoding.zero();
  range = encoding.minimum ? CodeRange{0, float(encoding.largestCode())}
                           : CodeRange{float(-zero), float(zero - 1)};
  int count = 1 << encoding.scaleBits();
  bool isSigned = encoding.scale == ScaleType::I6 || encoding.scale == ScaleType::I8;
  innerLow = isSigned ? -count / 2 : 0;
  innerHigh = innerLow + count - 1;
  groups.reserve(encoding.superSize / encoding.groupSize);
  for (unsigned k = 0; k < encoding.superSize; k += encoding.groupSize)
    groups.emplace_back(ArrayRef<float>(values + k, encoding.groupSize),
                        importance ? importance + k : nullptr);
}

void SuperGroupSearch::start() {
  SmallVector<FittedScale, 16> fits;
  float peak = 0, deepest = 0;
  for (const Group &group : groups) {
    FittedScale fit;
    if (encoding.minimum)
      fit = group.weighted.fitScaleAndMinimum(range.high, /*belowZero=*/true);
    else
      fit.scale = group.weighted.fitScale(range);
    peak = std::fabs(fit.scale) > std::fabs(peak) ? fit.scale : peak;
    deepest = std::min(deepest, fit.minimum);
    fits.push_back(fit);
  }
  // The end of the range that is farther from 0.
  outer = rounded({peak / float(innerLow ? innerLow : innerHigh), -deepest / float(innerHigh)});
  for (auto [group, fit] : zip_equal(groups, fits)) {
    group.scale = inner(fit.scale, outer.scale);
    group.minimum = inner(-fit.minimum, outer.minimum);
  }
}

bool SuperGroupSearch::improveGroups() {
  bool changed = false;
  for (Group &group : groups) {
    const int scale = group.scale, minimum = group.minimum;
    float least = errorOf(group, outer);
    Group best = group;
    int reach = encoding.minimum ? 1 : 0;
    for (int s = -1; s <= 1; ++s)
      for (int m = -reach; m <= reach; ++m) {
        group.scale = std::clamp(scale + s, innerLow, innerHigh);
        group.minimum = std::clamp(minimum + m, 0, innerHigh);
        if (float error = errorOf(group, outer); error < least) {
          least = error;
          best.scale = group.scale;
          best.minimum = group.minimum;
          changed = true;
        }
      }
    group.scale = best.scale;
    group.minimum = best.minimum;
  }
  return changed;
}

bool SuperGroupSearch::improveOuter() {
  // Normal equations of x = scale * a - minimum * b with a = group.scale * code, b = group.minimum.
  double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
  SmallVector<uint8_t, 256> codes(encoding.groupSize);
  for (const Group &group : groups) {
    writeCodes(group.data, fitOf(group, outer), range, -int(range.low), codes.data());
    for (unsigned i = 0; i < encoding.groupSize; ++i) {
      double a = double(group.scale) * (codes[i] + int(range.low)), b = group.minimum;
      double x = group.data[i], weight = group.weighted.weights[i];
      aa += weight * a * a;
      ab += weight * a * b;
      bb += weight * b * b;
      xa += weight * x * a;
      xb += weight * x * b;
    }
  }
  Outer better = outer;
  double determinant = aa * bb - ab * ab;
  if (determinant > 1e-9 * aa * bb) {
    better.scale = float((xa * bb - xb * ab) / determinant);
    better.minimum = float((xa * ab - xb * aa) / determinant);
  } else if (aa > 0) {
    better.scale = float((xa + ab * outer.minimum) / aa);
  }
  better = rounded(better);
  if (!(errorOf(better) < errorOf(outer)))
    return false;
  outer = better;
  return true;
}

void SuperGroupSearch::run() {
  start();
  for (unsigned turn = 0; turn < turns; ++turn) {
    bool groupsChanged = improveGroups();
    if (!improveOuter() && !groupsChanged)
      break;
  }
}

void SuperGroupSearch::write(uint8_t *codes, GroupScale *scales) const {
  for (const Group &group : groups) {
    *scales++ = {uint32_t(group.scale + encoding.scaleZero()) & ((1u << encoding.scaleBits()) - 1),
                 uint32_t(group.minimum), scaleToBits(encoding.superScale, outer.scale),
                 encoding.minimum ? scaleToBits(encoding.superScale, outer.minimum) : 0};
    writeCodes(group.data, fitOf(group, outer), range, encoding.zero(), codes);
    codes += encoding.groupSize;
  }
}

} // namespace

void searchSuperGroup(const EncodingDesc &encoding, const float *values, const float *importance,
                      uint8_t *codes, GroupScale *scales) {
  SuperGroupSearch search(encoding, values, importance);
  search.run();
  search.write(codes, scales);
}

} // namespace tern
