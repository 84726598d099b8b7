// tern-opt: mlir-opt with this project's dialects, passes and named pipelines.
#include "compiler/Dialect/Plan/PlanDialect.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<tern::TernDialect, tern::plan::PlanDialect, mlir::arith::ArithDialect,
                  mlir::math::MathDialect, mlir::func::FuncDialect>();
  tern::registerTernPasses();
  tern::registerTernPipelines();
  mlir::registerTransformsPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "Tern optimizer driver\n", registry));
}
