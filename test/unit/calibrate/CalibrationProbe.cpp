// The figures that --calibration gathers, so that another program can check them.
//
//   calibration_probe MODEL.gguf TEXT NAME... > for each weight the number of its figures (uint32),
//                                               and these (float32)
#include "compiler/CodeGen/KernelWorker.h"
#include "compiler/Dialect/Plan/PlanDialect.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Driver/Calibration.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/MLIRContext.h"
#include <cstdio>

int main(int argc, char **argv) {
  if (tern::isKernelWorkerCommand(argc, argv))
    return tern::runKernelWorker(argc, argv);
  if (argc < 3)
    return 2;
  mlir::MLIRContext context;
  context.loadDialect<tern::TernDialect, tern::plan::PlanDialect, mlir::arith::ArithDialect,
                      mlir::math::MathDialect, mlir::func::FuncDialect>();
  auto fail = [](llvm::Error error) {
    llvm::errs() << llvm::toString(std::move(error)) << '\n';
    return 1;
  };
  tern::ImportOptions importOptions;
  importOptions.kv = tern::KvElement::F32; // as PyTorch
  auto model = tern::importGGUF(context, argv[1], importOptions);
  if (!model)
    return fail(model.takeError());
  tern::CompileOptions options;
  options.input = argv[1];
  options.calibration = argv[2];
  options.quantize = "int4";
  tern::ProgressLine progress(false);
  std::vector<std::string> notes;
  auto calibration = tern::calibrate(*model, options, argv[1], progress, notes);
  if (!calibration)
    return fail(calibration.takeError());
  for (int i = 3; i < argc; ++i) {
    llvm::ArrayRef<float> figures = calibration->importance.find(argv[i]);
    uint32_t count = uint32_t(figures.size());
    if (fwrite(&count, sizeof count, 1, stdout) != 1 ||
        fwrite(figures.data(), sizeof(float), count, stdout) != count)
      return 1;
  }
  for (const std::string &note : notes)
    llvm::errs() << note << '\n';
  return 0;
}
