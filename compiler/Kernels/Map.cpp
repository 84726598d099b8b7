// Elementwise bodies (arith and math on scalars) as Halide expressions.
//
// What is no finite number follows IEEE arithmetic, op by op: a NaN in gives a NaN out (also of a
// minimum or maximum), and what leaves the range of f32 is infinite. The functions that are
// computed here keep that: e^x is infinite above ln(2^128) and 0 below -86.99, tanh and erf are 1
// and -1 at the infinities. So x / (1 + e^-x) of -inf is -inf / inf, NaN, and of the lowest number
// -0. Zeros have IEEE's signs, but those of tanh and erf, and of two zeros of both signs the
// minimum and the maximum are either.
#include "compiler/Kernels/KernelBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>
#include <limits>
#include <numbers>

using namespace mlir;
using Halide::Expr;

namespace tern {
namespace {

Expr bitsOf(const Expr &x) { return Halide::reinterpret<int32_t>(x); }

/// All bits of a NaN for NaN, none for any number: as an integer the magnitude of a NaN is above
/// infinity's. Halide takes x != x for false.
Expr bitsOfNaN(const Expr &x) { return (0x7f800000 - (bitsOf(x) & 0x7fffffff)) >> 31; }

} // namespace

// x = n ln 2 + r with the nearest integer n, which the sum with `round` ends in; e^r is a
// polynomial of r. Its coefficients are twice those of e^r, so that the power of two beside it is
// 2^(n - 1): a normal number for every n from -125 to 128, one too few for all normal results. What
// has n = -126 becomes 0 (below -125.5 ln 2 = -86.99, 0.35 above the least normal result): to keep
// it takes a second product. Of a bound and NaN the minimum and maximum are NaN, their second
// operand.
Expr exponential(const Expr &x) {
  constexpr float round = 0x1.8p23f, log2e = std::numbers::log2e_v<float>;
  constexpr float ln2High = 0x1.62e4p-1f, ln2Low = float(std::numbers::ln2 - double(ln2High));
  constexpr float lowest = -87.5f, highest = 89.0f; // 0 and infinity
  Expr bounded = Halide::max(Expr(lowest), Halide::min(Expr(highest), x));
  Expr shifted = bounded * log2e + round;
  Expr n = shifted - round;
  Expr r = bounded - n * ln2High - n * ln2Low, power = 0x1.6d113cp-9f;
  for (float coefficient : {0x1.120ba2p-6f, 0x1.55551ap-4f, 0x1.5554dcp-2f, 1.0f, 2.0f, 2.0f})
    power = power * r + coefficient;
  return power * Halide::reinterpret<float>((bitsOf(shifted) << 23) + bitsOf(Expr(0.5f)));
}

Expr zeroOrNaN(const Expr &x) { return Halide::reinterpret<float>(bitsOfNaN(x)); }

namespace {

/// Halide's -x is 0 - x, which has another sign where x is 0.
Expr negated(const Expr &x) {
  return Halide::reinterpret<float>(bitsOf(x) ^ std::numeric_limits<int32_t>::min());
}

/// The minimum or maximum of a and b, or NaN where either is: an or keeps a zero's sign.
Expr orNaN(const Expr &extremum, const Expr &a, const Expr &b) {
  return Halide::reinterpret<float>(bitsOf(extremum) | bitsOfNaN(a) | bitsOfNaN(b));
}

/// tanh without a library call: 1 - 2 / (e^2x + 1) saturates to 1 and -1 by itself.
Expr tanhThroughExp(const Expr &x) { return 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f); }

/// Halide's takes the exponent out of the bits, where a subnormal number, infinity and NaN have
/// none.
Expr logarithm(const Expr &x) {
  using Limits = std::numeric_limits<float>;
  constexpr float log2Scale = 24;
  Expr isSubnormal = x < Limits::min();
  Expr scaled = Halide::select(isSubnormal, x * std::exp2(log2Scale), x);
  Expr exponent = Halide::select(isSubnormal, log2Scale * std::numbers::ln2_v<float>, 0.0f);
  return Halide::select(bitsOf(x) == 0x7f800000, x, Halide::log(scaled) - exponent) + zeroOrNaN(x);
}

/// Halide's polynomials run out of f32's range, while beyond 5 erf is 1. Bounded as in exponential.
Expr boundedErf(const Expr &x) {
  return Halide::erf(Halide::max(Expr(-5.0f), Halide::min(Expr(5.0f), x)));
}

/// Halide's goes through an integer where the CPU has no instruction, which has no -0 and not the
/// numbers from 2^23 on, integers all.
Expr roundEven(const Expr &x) {
  Expr sign = bitsOf(x) & std::numeric_limits<int32_t>::min();
  return Halide::select(Halide::abs(x) < 0x1p23f,
                        Halide::reinterpret<float>(bitsOf(Halide::round(x)) | sign), x);
}

Expr isNaN(const Expr &x) { return (bitsOf(x) & 0x7fffffff) > 0x7f800000; }

/// The unordered predicates (U...) hold where an operand is NaN, the ordered ones (O...) do not,
/// whatever Halide makes of a comparison.
Expr compare(arith::CmpFPredicate predicate, const Expr &a, const Expr &b) {
  using P = arith::CmpFPredicate;
  Expr unordered = isNaN(a) || isNaN(b);
  switch (predicate) {
  case P::OEQ:
    return a == b && !unordered;
  case P::OGT:
    return a > b && !unordered;
  case P::OGE:
    return a >= b && !unordered;
  case P::OLT:
    return a < b && !unordered;
  case P::OLE:
    return a <= b && !unordered;
  case P::ONE:
    return a != b && !unordered;
  case P::ORD:
    return !unordered;
  case P::UEQ:
    return a == b || unordered;
  case P::UGT:
    return a > b || unordered;
  case P::UGE:
    return a >= b || unordered;
  case P::ULT:
    return a < b || unordered;
  case P::ULE:
    return a <= b || unordered;
  case P::UNE:
    return a != b || unordered;
  case P::UNO:
    return unordered;
  case P::AlwaysFalse:
    return Halide::cast<bool>(Expr(0));
  case P::AlwaysTrue:
    return Halide::cast<bool>(Expr(1));
  }
  return {};
}

Expr constant(arith::ConstantOp op) {
  if (auto value = dyn_cast<FloatAttr>(op.getValue()))
    return float(value.getValueAsDouble());
  if (auto value = dyn_cast<IntegerAttr>(op.getValue()))
    return op.getType().isInteger(1) ? Halide::cast<bool>(Expr(int(value.getInt())))
                                     : Expr(int32_t(value.getInt()));
  return {};
}

/// The op's value, or an undefined Expr when there is none for it.
Expr scalarOp(Operation &op, llvm::ArrayRef<Expr> a) {
  return llvm::TypeSwitch<Operation *, Expr>(&op)
      .Case([&](arith::ConstantOp op) { return constant(op); })
      .Case<arith::AddFOp, arith::AddIOp>([&](auto) { return a[0] + a[1]; })
      .Case<arith::SubFOp, arith::SubIOp>([&](auto) { return a[0] - a[1]; })
      .Case<arith::MulFOp, arith::MulIOp>([&](auto) { return a[0] * a[1]; })
      .Case([&](arith::DivFOp) { return a[0] / a[1]; })
      .Case([&](arith::NegFOp) { return negated(a[0]); })
      .Case([&](arith::MaximumFOp) { return orNaN(Halide::max(a[0], a[1]), a[0], a[1]); })
      .Case([&](arith::MinimumFOp) { return orNaN(Halide::min(a[0], a[1]), a[0], a[1]); })
      .Case([&](arith::CmpFOp op) { return compare(op.getPredicate(), a[0], a[1]); })
      .Case([&](arith::SelectOp) { return Halide::select(a[0], a[1], a[2]); })
      .Case([&](arith::SIToFPOp) { return Halide::cast<float>(a[0]); })
      .Case([&](math::ExpOp) { return exponential(a[0]); })
      .Case([&](math::LogOp) { return logarithm(a[0]); })
      .Case([&](math::TanhOp) { return tanhThroughExp(a[0]); })
      .Case([&](math::ErfOp) { return boundedErf(a[0]); })
      .Case([&](math::SqrtOp) { return Halide::sqrt(a[0]); })
      .Case([&](math::RsqrtOp) { return 1.0f / Halide::sqrt(a[0]); })
      .Case([&](math::AbsFOp) { return Halide::abs(a[0]); })
      .Case([&](math::FloorOp) { return Halide::floor(a[0]); })
      .Case([&](math::CeilOp) { // Halide's is a call on the oldest CPUs
        return negated(Halide::floor(negated(a[0])));
      })
      .Case([&](math::RoundEvenOp) { return roundEven(a[0]); })
      .Case([&](math::FmaOp) { return a[0] * a[1] + a[2]; })
      .Default([](Operation *) { return Expr(); });
}

/// The operand at a point of the result: aligned by trailing dimensions, size-1 dimensions
/// repeated.
Expr broadcast(const FloatValue &input, const FloatValue &result, const Point &p) {
  int rank = input.type.getRank(), resultRank = result.type.getRank();
  Point q = p;
  if (rank == 2 && resultRank == 3)
    q.row = p.part; // [parts, N] against [rows, parts, N]
  if (rank == 3 && input.type.getDimSize(1) == 1)
    q.part = 0;
  if (rank >= 2 && !input.type.isDynamicDim(0) && input.type.getDimSize(0) == 1)
    q.row = 0;
  if (input.size() == 1 && result.size() != 1)
    q.lane = q.tile = 0;
  return input.at(q);
}

} // namespace

llvm::Error buildMap(KernelBuilder &builder, MapOp op) {
  Block &body = op.getBody().front();
  auto evaluate = [&](llvm::ArrayRef<Expr> arguments) -> llvm::Expected<Expr> {
    llvm::DenseMap<Value, unsigned> index;
    std::vector<Expr> values(arguments.begin(), arguments.end());
    for (auto [i, argument] : llvm::enumerate(body.getArguments()))
      index[argument] = i;
    for (Operation &inner : body.without_terminator()) {
      std::vector<Expr> operands;
      for (Value operand : inner.getOperands())
        operands.push_back(values[index.at(operand)]);
      Expr value = scalarOp(inner, operands);
      if (!value.defined())
        return llvm::createStringError("tern.map: no scalar form exists for " +
                                       inner.getName().getStringRef());
      index[inner.getResult(0)] = values.size();
      values.push_back(value);
    }
    return values[index.at(body.getTerminator()->getOperand(0))];
  };

  // Evaluated once with placeholders: the lambda below must not outlive the region or fail.
  std::vector<FloatValue> inputs;
  std::vector<Expr> arguments;
  for (auto [i, input] : llvm::enumerate(op.getInputs())) {
    if (!cast<RankedTensorType>(input.getType()).getElementType().isF32())
      return llvm::createStringError("tern.map inside a kernel takes f32 inputs only");
    inputs.push_back(builder.get<FloatValue>(input));
    std::string name = "mapInput" + std::to_string(i);
    arguments.push_back(Halide::Internal::Variable::make(Halide::Float(32), name));
  }
  llvm::Expected<Expr> result = evaluate(arguments);
  if (!result)
    return result.takeError();
  FloatValue value{cast<RankedTensorType>(op.getResult().getType()), {}};
  FloatValue shape = value;
  value.at = [inputs, shape, body = *result](const Point &p) {
    std::map<std::string, Expr> substitutions;
    for (size_t i = 0; i < inputs.size(); ++i)
      substitutions["mapInput" + std::to_string(i)] = broadcast(inputs[i], shape, p);
    return Halide::Internal::substitute(substitutions, body);
  };
  builder.set(op.getResult(), value);
  return llvm::Error::success();
}

} // namespace tern
