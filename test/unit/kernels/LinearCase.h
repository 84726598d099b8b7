// One linear kernel of a test: its text, its random weights and inputs, and what it has to give.
//
// The reference packs weights from the description in WeightLayout.h and repeats the float
// operations of the kernel in their documented order, so results are compared bit by bit.
#ifndef TERN_TEST_UNIT_KERNELS_LINEARCASE_H
#define TERN_TEST_UNIT_KERNELS_LINEARCASE_H

#include "test/unit/kernels/EncodingText.h"
#include "test/unit/kernels/KernelHarness.h"

#include "compiler/Encoding/GroupArithmetic.h"
#include <random>

namespace tern {

/// Special: scales of weights that are zero, subnormal or as large as they get, and activations or
/// their scales that are zero, subnormal, infinite or NaN.
/// AllExtreme, OtherExtreme: the codes of the highest value, and of the lowest.
enum class Fill { Random, AllExtreme, OtherExtreme, AlternatingSigns, Special };

/// One layer: encoding, activation groups, shape.
struct Layer {
  EncodingDesc desc;
  int activationGroup = -1; ///< 0: the whole row; -1: plain f32 input
  int sums = 0;
  int rows, k, parts = 1;
  bool bias = false, residual = false;
};

/// The kernel of a layer; two parts are multiplied with one another.
std::string linearKernel(const Layer &layer);

/// Logical weights: codes and scales as stored.
struct Weights {
  std::vector<int> codes;         ///< [parts][rows][k]; int8 signed
  std::vector<GroupScale> scales; ///< [parts][rows][groups]
  std::vector<float> values;      ///< float encodings: [parts][rows][k]
};

class LinearCase {
public:
  LinearCase(const Layer &layer, Fill fill, bool fused, unsigned seed)
      : l(layer), fill(fill), fused(fused), random(seed) {
    makeWeights();
  }
  void pack(uint8_t *bytes) const;
  void makeInputs(int t);
  std::vector<float> expected(int t) const;

  std::vector<int8_t> codes;
  std::vector<float> scales, x, bias, residual;
  std::vector<int32_t> sums;

private:
  void makeWeights();
  size_t groups() const { return l.desc.isFloat() ? 0 : l.k / l.desc.groupSize; }
  template <typename T> T oneOf(std::initializer_list<T> values) {
    return values.begin()[random() % values.size()];
  }
  float uniform() { return std::uniform_real_distribution<float>(-1, 1)(random); }
  float dot(int t, int part, int n) const;

  const Layer &l;
  Fill fill;
  bool fused;
  mutable std::mt19937 random;
  Weights w;
};

/// Copies rows of `rowElements` to rows `stride` elements apart.
template <typename T>
void fillRows(GuardedBuffer &buffer, const std::vector<T> &values, size_t rowElements,
              size_t stride) {
  for (size_t row = 0; row * rowElements < values.size(); ++row)
    memcpy(buffer.as<T>() + row * stride, values.data() + row * rowElements,
           rowElements * sizeof(T));
}

} // namespace tern
#endif
