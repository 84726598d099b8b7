// Groups whose codes are looked up in a book of uneven steps: the nearest value of the book for
// each element, under the scale of the least squared error among candidates that clip the largest
// values or leave the ends of the book unused.
#include "compiler/Encoding/ScaleSearch.h"
#include "compiler/Encoding/WeightedGroup.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include <algorithm>
#include <cmath>

using namespace llvm;

namespace tern {

namespace {

class CodeBookSearch {
public:
  CodeBookSearch(const EncodingDesc &encoding, const float *values, const float *importance)
      : encoding(encoding), values(values, encoding.groupSize),
        weighted(ArrayRef<float>(values, encoding.groupSize), importance) {
    ArrayRef<int8_t> book = encoding.codeBook();
    for (unsigned code = 0; code < book.size(); ++code)
      order.push_back(code);
    llvm::sort(order, [&](unsigned a, unsigned b) {
      return std::pair(book[a], a) < std::pair(book[b], b);
    });
    // Of equal values the first code.
    order.erase(std::unique(order.begin(), order.end(),
                            [&](unsigned a, unsigned b) { return book[a] == book[b]; }),
                order.end());
    for (unsigned code : order)
      steps.push_back(book[code]);
    for (float x : this->values)
      peak = std::fabs(x) > std::fabs(peak) ? x : peak;
  }

  /// Bits of the best scale.
  uint32_t run() const;
  void write(float scale, uint8_t *codes) const {
    float inverse = scale == 0 ? 0 : 1 / scale;
    for (auto [code, x] : zip_equal(MutableArrayRef<uint8_t>(codes, values.size()), values))
      code = uint8_t(order[nearest(x * inverse)]);
  }

private:
  /// Number of the step nearest to a position; the lower of two equally near, and for NaN.
  unsigned nearest(float position) const {
    unsigned step = 0;
    for (unsigned i = 1; i < steps.size(); ++i)
      step += position > (steps[i - 1] + steps[i]) / 2;
    return step;
  }
  uint32_t bestPowerOfTwo() const;

  const EncodingDesc &encoding;
  ArrayRef<float> values;
  WeightedGroup weighted;
  SmallVector<unsigned, 16> order; ///< codes by ascending value
  SmallVector<float, 16> steps;    ///< their values
  float peak = 0;
};

// The power under which the largest value just fits, and those beside it.
uint32_t CodeBookSearch::bestPowerOfTwo() const {
  constexpr int bias = 128, largest = 254; // of a scale's bits; see ScaleType::E8M0
  if (!std::isfinite(peak) || peak == 0)
    return 0;
  int fitting = int(std::floor(std::log2(std::fabs(peak) / steps.back()))) + bias;
  uint32_t best = 0;
  float leastError = 0;
  for (int candidate = fitting - 1; candidate <= fitting + 2; ++candidate) {
    uint32_t bits = uint32_t(std::clamp(candidate, 0, largest));
    float error = weighted.errorOf(scaleFromBits(encoding.scale, bits), steps);
    if (candidate == fitting - 1 || error < leastError) {
      leastError = error;
      best = bits;
    }
  }
  return best;
}

uint32_t CodeBookSearch::run() const {
  if (encoding.scale == ScaleType::E8M0)
    return bestPowerOfTwo();
  return scaleToBits(encoding.scale, weighted.fitScale(steps));
}

} // namespace

void searchCodeBook(const EncodingDesc &encoding, const float *values, const float *importance,
                    uint8_t *codes, GroupScale &scale) {
  CodeBookSearch search(encoding, values, importance);
  scale = {search.run()};
  search.write(scaleFromBits(encoding.scale, scale.scale), codes);
}

} // namespace tern
