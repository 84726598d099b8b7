// A kernel's region says which of its arguments is x, its signature which buffer of the call that
// is. Commands are counted as in the artifact: every op of a program but its buffers.
#include "compiler/Calibrate/LinearInputs.h"

#include "compiler/Artifact/WeightSource.h"
#include "compiler/Dialect/Plan/PlanDialect.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Kernels/KernelSignature.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringMap.h"
#include <set>

using namespace mlir;
using llvm::createStringError;
using llvm::Expected;

namespace tern {
namespace {

class InputFinder {
public:
  InputFinder(ModuleOp module, const TargetInfo &target)
      : module(module), target(target), symbols(module) {}

  Expected<std::vector<LinearInput>> run() {
    for (auto program : module.getOps<plan::ProgramOp>()) {
      uint32_t command = 0;
      for (Operation &op : program.getBody().front()) {
        if (isa<plan::BufferOp>(op))
          continue;
        if (auto call = dyn_cast<plan::CallOp>(op))
          if (llvm::Error error = add(call, command))
            return std::move(error);
        ++command;
      }
    }
    return std::move(inputs);
  }

private:
  ModuleOp module;
  const TargetInfo &target;
  SymbolTable symbols;
  llvm::StringMap<KernelSignature> signatures;
  std::vector<LinearInput> inputs;

  llvm::Error add(plan::CallOp call, uint32_t command) {
    auto kernel = symbols.lookup<KernelOp>(call.getKernel());
    for (auto linear : kernel.getBody().getOps<LinearOp>()) {
      auto weight = dyn_cast<BlockArgument>(linear.getWeight());
      if (!weight)
        return createStringError("kernel '" + kernel.getSymName() +
                                 "' computes the weight of a linear layer");
      if (signatures.try_emplace(kernel.getSymName()).second)
        signatures[kernel.getSymName()] = describeKernel(kernel, target);
      const KernelSignature &signature = signatures[kernel.getSymName()];
      auto matrix = symbols.lookup<WeightOp>(*bufferOf(call, signature, weight).getSymbol());
      auto input = describe(linear, call, signature);
      if (!input)
        return createStringError("weight '" + matrix.getSymName() +
                                 "': " + llvm::toString(input.takeError()));
      input->command = command;
      if (llvm::Error error = addNames(matrix, input->weights))
        return error;
      inputs.push_back(std::move(*input));
    }
    return llvm::Error::success();
  }

  /// Which argument of a kernel's calls holds the first component of a value of its region.
  static uint32_t argumentOf(const KernelSignature &signature, BlockArgument value) {
    auto found = llvm::find_if(signature.arguments, [&](const KernelArgument &argument) {
      return !argument.isResult && argument.value == value.getArgNumber() && argument.index == 0;
    });
    return uint32_t(found - signature.arguments.begin());
  }

  static plan::BufferOp bufferOf(plan::CallOp call, const KernelSignature &signature,
                                 BlockArgument value) {
    return call.getBuffers()[argumentOf(signature, value)].getDefiningOp<plan::BufferOp>();
  }

  static Expected<LinearInput> describe(LinearOp linear, plan::CallOp call,
                                        const KernelSignature &signature) {
    LinearInput input{};
    Value x = linear.getX();
    input.columns = uint64_t(cast<RankedTensorType>(x.getType()).getShape().back());
    if (auto slice = x.getDefiningOp<SliceOp>(); slice && !slice.getDrop() && slice.getDim() == 1) {
      input.first = uint64_t(slice.getOffset());
      x = slice.getX();
    }
    auto argument = dyn_cast<BlockArgument>(x);
    auto type = cast<RankedTensorType>(x.getType());
    if (!argument || type.getRank() != 2 || type.getEncoding())
      return createStringError("its input is no row of plain numbers that lies in memory, so "
                               "--calibration cannot gather its figures; use --imatrix");
    RowCount rows = rowCountOf(x);
    plan::BufferOp buffer = bufferOf(call, signature, argument);
    input.argument = argumentOf(signature, argument);
    input.stride = llvm::alignTo(uint64_t(type.getShape().back()), rowPadding);
    input.wanted = rows.symbol == DimSymbol::Wanted;
    input.times = rows.times;
    input.hidden = buffer.getSpace() == "output" && buffer.getIndex() == uint64_t(1);
    input.used = 1;
    if (ExpertRowsAttr expertRows = linear.getExpertRows()) {
      input.experts = unsigned(expertRows.getExperts());
      input.used = unsigned(expertRows.getUsed());
      input.lists = argumentOf(signature, cast<BlockArgument>(linear.getExperts()));
      input.paired = linear.getPaired();
    }
    return input;
  }

  /// The weights of the file that a matrix is made of.
  static llvm::Error addNames(WeightOp matrix, std::vector<std::string> &names) {
    auto source = weightSource(matrix);
    if (!source)
      return source.takeError();
    std::set<std::string> seen;
    for (const std::vector<FileRows> &part : std::get<MatrixSource>(*source).parts)
      for (const FileRows &piece : part)
        if (seen.insert(piece.weight).second)
          names.push_back(piece.weight);
    return llvm::Error::success();
  }
};

} // namespace

Expected<std::vector<LinearInput>> findLinearInputs(ModuleOp module, const TargetInfo &target) {
  return InputFinder(module, target).run();
}

} // namespace tern
