// Scalar expressions in the bodies of maps: arithmetic, activations.
#ifndef TERN_COMPILER_IMPORT_ARCHITECTURES_SCALARS_H
#define TERN_COMPILER_IMPORT_ARCHITECTURES_SCALARS_H

#include "compiler/Import/Architectures/ModelConfig.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"

namespace tern {

class Scalars {
public:
  Scalars(mlir::OpBuilder &builder, mlir::Location at) : builder(builder), at(at) {}

  mlir::Value constant(double value) {
    return mlir::arith::ConstantOp::create(builder, at, builder.getF32FloatAttr(float(value)));
  }
  template <typename Op> mlir::Value op(mlir::Value a) { return Op::create(builder, at, a); }
  mlir::Value add(mlir::Value a, mlir::Value b) {
    return mlir::arith::AddFOp::create(builder, at, a, b);
  }
  mlir::Value multiply(mlir::Value a, mlir::Value b) {
    return mlir::arith::MulFOp::create(builder, at, a, b);
  }
  mlir::Value divide(mlir::Value a, mlir::Value b) {
    return mlir::arith::DivFOp::create(builder, at, a, b);
  }

  mlir::Value activation(mlir::Value x, Activation kind) {
    switch (kind) {
    case Activation::Silu: // x / (1 + exp(-x))
      return divide(x, add(op<mlir::math::ExpOp>(op<mlir::arith::NegFOp>(x)), constant(1)));
    case Activation::GeluTanh: { // x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
      mlir::Value cube = multiply(multiply(x, x), multiply(x, constant(0.044715)));
      mlir::Value inside = multiply(add(x, cube), constant(0.7978845608028654));
      return gelu(x, op<mlir::math::TanhOp>(inside));
    }
    case Activation::Gelu: // x / 2 (1 + erf(x / sqrt(2)))
      return gelu(x, op<mlir::math::ErfOp>(multiply(x, constant(0.7071067811865476))));
    case Activation::SquaredRelu: {
      mlir::Value positive = mlir::arith::MaximumFOp::create(builder, at, x, constant(0));
      return multiply(positive, positive);
    }
    }
    llvm_unreachable("all activations have a case");
  }

private:
  mlir::Value gelu(mlir::Value x, mlir::Value sigmoid) {
    return multiply(multiply(x, constant(0.5)), add(sigmoid, constant(1)));
  }

  mlir::OpBuilder &builder;
  mlir::Location at;
};

} // namespace tern
#endif
