// Argument reduction in double-double arithmetic (Dekker, 1971), then Taylor polynomials on
// [-pi/4, pi/4].
#include "compiler/Artifact/RopeTable.h"

#include "compiler/Dialect/Tern/TernDialect.h"
#include <cmath>

namespace tern {

namespace {

constexpr uint64_t fineRows = RopeTableAttr::fineRows;

// An unevaluated sum, |low| <= ulp(high) / 2: about 106 bits.
struct DoubleDouble {
  double high, low;
};

DoubleDouble quickSum(double large, double small) {
  double sum = large + small;
  return {sum, small - (sum - large)};
}

DoubleDouble sum(double a, double b) {
  double total = a + b, bPart = total - a;
  return {total, (a - (total - bPart)) + (b - bPart)};
}

// Exact: std::fma rounds once, on every host.
DoubleDouble product(double a, double b) {
  double high = a * b;
  return {high, std::fma(a, b, -high)};
}

DoubleDouble subtract(DoubleDouble a, DoubleDouble b) {
  DoubleDouble high = sum(a.high, -b.high);
  return quickSum(high.high, high.low + (a.low - b.low));
}

// pi / 2 to 160 bits.
constexpr double halfPi[] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110};
constexpr double twoOverPi = 0x1.45f306dc9c883p-1;

// Terms of the Taylor series until they fall below 2^-56 for |x| <= pi / 4.
double sinePolynomial(double x) {
  double square = x * x, result = 0;
  for (int n = 17; n >= 3; n -= 2)
    result = (1 + result) * (-square / double(n * (n - 1)));
  return x + x * result;
}

double cosinePolynomial(double x) {
  double square = x * x, result = 0;
  for (int n = 18; n >= 2; n -= 2)
    result = (1 + result) * (-square / double(n * (n - 1)));
  return 1 + result;
}

} // namespace

CosineSine cosineSine(uint64_t multiplier, double frequency) {
  DoubleDouble angle = product(double(multiplier), frequency);
  double quadrants = std::nearbyint(angle.high * twoOverPi);
  for (double part : halfPi)
    angle = subtract(angle, product(quadrants, part));
  // sin(h + l) = sin h + l cos h: l is below 2^-53, so one term is enough.
  double sine = sinePolynomial(angle.high), cosine = cosinePolynomial(angle.high);
  double sineSum = sine + angle.low * cosine, cosineSum = cosine - angle.low * sine;
  switch (int64_t(quadrants) & 3) {
  case 0:
    return {cosineSum, sineSum};
  case 1:
    return {-sineSum, cosineSum};
  case 2:
    return {-cosineSum, -sineSum};
  default:
    return {sineSum, -cosineSum};
  }
}

uint64_t ropeTableRows(const RopeTableSource &table) {
  return uint64_t(RopeTableAttr::rowsOf(table.positions));
}

void ropeTableRow(const RopeTableSource &table, uint64_t row, float *values) {
  bool fine = row < fineRows;
  uint64_t multiplier = fine ? row : (row - fineRows) * fineRows;
  double magnitude = fine ? table.magnitude : 1;
  for (double frequency : table.frequencies) {
    CosineSine pair = cosineSine(multiplier, frequency);
    *values++ = float(magnitude * pair.cosine);
    *values++ = float(magnitude * pair.sine);
  }
}

} // namespace tern
