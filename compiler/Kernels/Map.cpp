// Elementwise bodies (arith and math on scalars) as Halide expressions.
#include "compiler/Kernels/KernelBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using Halide::Expr;

namespace tern {
namespace {

// e^88 is the largest power of e below the range's end by a whole number; Halide's exp needs the
// bound.
constexpr float maxExponent = 88.0f;

Expr bitsOf(const Expr &x) { return Halide::reinterpret<int32_t>(x); }

} // namespace

Expr boundedExp(const Expr &x) { return Halide::exp(Halide::min(x, maxExponent)); }

// As an integer the magnitude of a NaN is above infinity's. Halide takes x != x for false.
Expr zeroOrNaN(const Expr &x) {
  return Halide::reinterpret<float>((0x7f800000 - (bitsOf(x) & 0x7fffffff)) >> 31);
}

namespace {

/// tanh without a library call: 1 - 2 / (e^2x + 1) saturates to 1 and -1 by itself. Of NaN it is
/// any number.
Expr tanhThroughExp(const Expr &x) { return 1.0f - 2.0f / (boundedExp(2.0f * x) + 1.0f); }

Expr compare(arith::CmpFPredicate predicate, const Expr &a, const Expr &b) {
  using P = arith::CmpFPredicate;
  switch (predicate) {
  case P::OEQ:
  case P::UEQ:
    return a == b;
  case P::OGT:
  case P::UGT:
    return a > b;
  case P::OGE:
  case P::UGE:
    return a >= b;
  case P::OLT:
  case P::ULT:
    return a < b;
  case P::OLE:
  case P::ULE:
    return a <= b;
  case P::ONE:
  case P::UNE:
    return a != b;
  default:
    return {};
  }
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
      .Case([&](arith::NegFOp) { return -a[0]; })
      .Case([&](arith::MaximumFOp) {
        return Halide::max(a[0], a[1]) + zeroOrNaN(a[0]) + zeroOrNaN(a[1]);
      })
      .Case([&](arith::MinimumFOp) {
        return Halide::min(a[0], a[1]) + zeroOrNaN(a[0]) + zeroOrNaN(a[1]);
      })
      .Case([&](arith::CmpFOp op) { return compare(op.getPredicate(), a[0], a[1]); })
      .Case([&](arith::SelectOp) { return Halide::select(a[0], a[1], a[2]); })
      .Case([&](arith::SIToFPOp) { return Halide::cast<float>(a[0]); })
      .Case([&](math::ExpOp) { return boundedExp(a[0]) + zeroOrNaN(a[0]); })
      .Case([&](math::LogOp) { return Halide::log(a[0]); })
      .Case([&](math::TanhOp) { return tanhThroughExp(a[0]) + zeroOrNaN(a[0]); })
      .Case([&](math::ErfOp) { return Halide::erf(a[0]); })
      .Case([&](math::SqrtOp) { return Halide::sqrt(a[0]); })
      .Case([&](math::RsqrtOp) { return 1.0f / Halide::sqrt(a[0]); })
      .Case([&](math::AbsFOp) { return Halide::abs(a[0]); })
      .Case([&](math::FloorOp) { return Halide::floor(a[0]); })
      .Case([&](math::CeilOp) { return Halide::ceil(a[0]); })
      .Case([&](math::RoundEvenOp) { return Halide::round(a[0]); })
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
