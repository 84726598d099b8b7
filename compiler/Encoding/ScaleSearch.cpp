// Groups with scales of their own; super-groups and code books have files of theirs.
#include "compiler/Encoding/ScaleSearch.h"

#include "compiler/Encoding/WeightedGroup.h"

using namespace llvm;

namespace tern {

namespace {

float rounded(ScaleType type, float scale) { return scaleFromBits(type, scaleToBits(type, scale)); }

void searchGroup(const EncodingDesc &encoding, ArrayRef<float> values, const float *importance,
                 uint8_t *codes, GroupScale &bits) {
  WeightedGroup group(values, importance);
  int zero = encoding.zero();
  FittedScale fit;
  CodeRange range{0, float(encoding.largestCode())};
  if (encoding.minimum) {
    fit = group.fitScaleAndMinimum(range.high, /*belowZero=*/false);
  } else {
    range = encoding.codes == CodeKind::Int8 ? CodeRange{-127, 127, true}
                                             : CodeRange{float(-zero), float(zero - 1)};
    fit.scale = group.fitScale(range);
  }
  fit = {rounded(encoding.scale, fit.scale), rounded(encoding.scale, fit.minimum)};
  writeCodes(values, fit, range, zero, codes);
  bits = {scaleToBits(encoding.scale, fit.scale),
          encoding.minimum ? scaleToBits(encoding.scale, fit.minimum) : 0};
}

} // namespace

bool isSearched(const EncodingDesc &encoding) {
  if (encoding.isFloat() || encoding.groupSize > WeightedGroup::largest)
    return false;
  if (encoding.isTernary() || encoding.codes == CodeKind::Quaternary)
    return false;
  bool signedCodes = encoding.zero() != 0 || encoding.codes == CodeKind::Int8;
  if (!encoding.codeBook().empty())
    return !encoding.hasSuper();
  if (encoding.hasSuper())
    return signedCodes != encoding.minimum && encoding.codes != CodeKind::Int8;
  return encoding.scale != ScaleType::E8M0 && signedCodes != encoding.minimum;
}

void searchScales(const EncodingDesc &encoding, const float *values, const float *importance,
                  uint8_t *codes, GroupScale *scales) {
  if (encoding.hasSuper())
    searchSuperGroup(encoding, values, importance, codes, scales);
  else if (!encoding.codeBook().empty())
    searchCodeBook(encoding, values, importance, codes, *scales);
  else
    searchGroup(encoding, {values, encoding.groupSize}, importance, codes, *scales);
}

} // namespace tern
