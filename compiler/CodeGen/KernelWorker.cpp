#include "compiler/CodeGen/KernelWorker.h"
#include "compiler/CodeGen/KernelCompiler.h"
#include "compiler/CodeGen/ObjectEmitter.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Kernels/KernelGenerator.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#ifdef __linux__
#include <csignal>
#include <sys/prctl.h>
#endif

using namespace llvm;

namespace tern {
namespace {

Expected<std::string> compile(StringRef text, StringRef targetName, EmitKind kind) {
  Expected<TargetInfo> target = lookupTarget(targetName);
  if (!target)
    return target.takeError();
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  context.loadDialect<TernDialect, mlir::arith::ArithDialect, mlir::math::MathDialect,
                      mlir::func::FuncDialect>();
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::parseSourceString<mlir::ModuleOp>(text, mlir::ParserConfig(&context), "kernel");
  if (!module)
    return createStringError("the kernel's text cannot be parsed");
  auto kernels = module->getOps<KernelOp>();
  if (!hasSingleElement(kernels))
    return createStringError("expected one tern.kernel");
  Expected<GeneratedKernel> generated = generateKernel(*kernels.begin(), *target);
  if (!generated)
    return generated.takeError();
  return emitKernelCode(*generated, *target, kind);
}

} // namespace

bool isKernelWorkerCommand(int argc, char **argv) {
  return argc > 1 && argv[1] == kernelWorkerFlag;
}

int runKernelWorker(int argc, char **argv) {
  auto fail = [](const Twine &what) {
    errs() << what << "\n";
    return 1;
  };
#ifdef __linux__
  // A worker whose compiler was interrupted has nobody to work for.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
  std::optional<EmitKind> kind = argc == 4 ? parseEmitKind(argv[3]) : std::nullopt;
  if (!kind)
    return fail("usage: " + kernelWorkerFlag + " TARGET obj|asm|llvm|stmt");
  ErrorOr<std::unique_ptr<MemoryBuffer>> input = MemoryBuffer::getSTDIN();
  if (!input)
    return fail("cannot read standard input: " + input.getError().message());
  Expected<std::string> code = compile((*input)->getBuffer(), argv[2], *kind);
  if (!code)
    return fail(toString(code.takeError()));
  outs() << *code;
  outs().flush();
  if (outs().has_error()) {
    std::string reason = outs().error().message();
    outs().clear_error();
    return fail("cannot write the code: " + reason);
  }
  return 0;
}

} // namespace tern
