// tern-lower-to-plan: functions of launches become programs of buffers and calls.
//
// Data flow: each SSA value maps to its list of component buffers. Weights become `tensor` buffers,
// arguments `input` buffers, the returned value `output` buffers, everything else `arena` buffers
// whose offsets plan-memory fills in.
#include "compiler/Kernels/KernelSignature.h"
#include "compiler/Transforms/Passes.h"
#include "compiler/Transforms/WeightUnits.h"
#include "targets/TargetInfo.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/MapVector.h"

namespace tern {
#define GEN_PASS_DEF_TERNLOWERTOPLAN
#include "compiler/Transforms/Passes.h.inc"
} // namespace tern

using namespace mlir;
using namespace tern;

namespace {

StringRef spelling(Space space) {
  switch (space) {
  case Space::Arena:
    return "arena";
  case Space::Tensor:
    return "tensor";
  case Space::Input:
    return "input";
  case Space::Output:
    return "output";
  case Space::KvKey:
    return "kv_key";
  case Space::KvValue:
    return "kv_value";
  case Space::BlockTable:
    return "block_table";
  }
  llvm_unreachable("every space has a spelling");
}

/// Whether which bytes of a weight a kernel reads shows only when it runs: the rows of some tokens,
/// the experts of some rows.
bool isReadInPart(BlockArgument weight) {
  return llvm::all_of(weight.getUsers(), [&](Operation *user) {
    if (auto linear = dyn_cast<LinearOp>(user))
      return linear.getWeight() == weight && linear.getExpertRows();
    return isa<EmbedOp>(user);
  });
}

class PlanBuilder {
public:
  PlanBuilder(ModuleOp module, const TargetInfo &target) : symbols(module), target(target) {}

  LogicalResult run(func::FuncOp function, int64_t maxBatch, int64_t maxWanted) {
    OpBuilder outer(function);
    auto program = plan::ProgramOp::create(outer, function.getLoc(), function.getSymName(),
                                           target.name, maxBatch, maxWanted);
    builder = OpBuilder::atBlockEnd(&program.getBody().front());
    for (unsigned i = 0, e = function.getNumArguments(); i < e; ++i)
      if (failed(addInput(function, i)))
        return failure();
    auto returned = cast<func::ReturnOp>(function.getBody().front().getTerminator());
    for (auto [index, value] : llvm::enumerate(returned.getOperands())) {
      if (!value.getDefiningOp<LaunchOp>())
        return function.emitError() << "result " << index << " of '" << function.getSymName()
                                    << "' is not the result of a kernel";
      if (!outputs.try_emplace(value, index).second)
        return function.emitError() << "result " << index << " of '" << function.getSymName()
                                    << "' is the same value as result " << outputs[value];
    }
    for (Operation &op : function.getBody().front().without_terminator())
      if (failed(lower(op)))
        return failure();
    placeFetches();
    function.erase();
    return success();
  }

private:
  SymbolTable symbols;
  const TargetInfo &target;
  OpBuilder builder{static_cast<MLIRContext *>(nullptr)};
  DenseMap<Value, SmallVector<Value, 3>> buffers; ///< component buffers of each graph value
  DenseMap<Value, unsigned> outputs;
  llvm::StringMap<KernelSignature> signatures;
  /// First and last call that reads a weight unit throughout.
  llvm::MapVector<StringAttr, std::pair<Operation *, Operation *>> unitUses;
  unsigned bufferCount = 0;

  plan::ExtentAttr extentAttr(const Extent &extent) {
    return plan::ExtentAttr::get(builder.getContext(), extent.constant, extent.perToken,
                                 extent.perWanted);
  }

  Value addBuffer(const Twine &name, Space space, FlatSymbolRefAttr symbol, IntegerAttr index,
                  const Extent &extent) {
    return plan::BufferOp::create(
        builder, builder.getUnknownLoc(), plan::BufferType::get(builder.getContext()),
        builder.getStringAttr(name), builder.getStringAttr(spelling(space)), symbol, index,
        IntegerAttr(), extentAttr(extent));
  }

  LogicalResult addInput(func::FuncOp function, unsigned index) {
    auto symbol = function.getArgAttrOfType<StringAttr>(index, "tern.dim");
    if (!symbol)
      return function.emitError() << "argument " << index << " of '" << function.getSymName()
                                  << "' has no tern.dim";
    Value argument = function.getArgument(index);
    auto components = componentsOf(argument.getType(), parseRowCount(symbol.getValue()));
    if (components.size() != 1)
      return function.emitError() << "argument " << index << " must be a plain tensor";
    buffers[argument] = {addBuffer("input." + Twine(index), Space::Input, {},
                                   builder.getI64IntegerAttr(index), components[0].bytes)};
    return success();
  }

  LogicalResult lower(Operation &op) {
    if (auto param = dyn_cast<ParamOp>(op)) {
      auto components = componentsOf(param.getType(), DimSymbol::None);
      buffers[param] = {addBuffer(param.getWeight(), Space::Tensor, param.getWeightAttr(), {},
                                  components[0].bytes)};
      return success();
    }
    if (auto cache = dyn_cast<CacheOp>(op)) {
      auto &list = buffers[cache];
      for (const Component &component : componentsOf(cache.getType(), DimSymbol::None)) {
        list.push_back(addBuffer(cache.getCache() + "." + component.suffix, component.space,
                                 cache.getCacheAttr(), {}, component.bytes));
      }
      return success();
    }
    if (auto launch = dyn_cast<LaunchOp>(op))
      return lowerLaunch(launch);
    return op.emitOpError() << "is not a launch; run tern-form-kernels first";
  }

  LogicalResult lowerLaunch(LaunchOp launch) {
    auto kernel = symbols.lookup<KernelOp>(launch.getKernel());
    auto [entry, isNew] = signatures.try_emplace(launch.getKernel());
    if (isNew)
      entry->second = describeKernel(kernel, target);
    const KernelSignature &signature = entry->second;

    // A returned cache is its operand after the stores: same buffers.
    for (Value output : launch.getOutputs())
      if (isa<KvType>(output.getType())) {
        auto inputs = llvm::make_filter_range(
            launch.getInputs(), [&](Value input) { return input.getType() == output.getType(); });
        if (inputs.empty() || std::next(inputs.begin()) != inputs.end())
          return launch.emitOpError() << "needs exactly one cache operand for its cache result";
        buffers[output] = SmallVector<Value, 3>(buffers.lookup(*inputs.begin()));
      }

    SmallVector<Value> arguments;
    std::string access;
    for (const KernelArgument &argument : signature.arguments) {
      access += argument.access == Access::Read    ? 'r'
                : argument.access == Access::Write ? 'w'
                                                   : 'b';
      if (!argument.isResult) {
        arguments.push_back(buffers.lookup(launch.getInputs()[argument.value])[argument.index]);
        continue;
      }
      Value result = launch.getOutputs()[argument.value];
      auto returned = outputs.find(result);
      bool isOutput = returned != outputs.end();
      Value buffer = addBuffer(
          launch.getKernel() + "." + Twine(bufferCount++) +
              (argument.component.suffix.empty() ? Twine()
                                                 : "." + Twine(argument.component.suffix)),
          isOutput ? Space::Output : Space::Arena, {},
          isOutput ? builder.getI64IntegerAttr(returned->second) : IntegerAttr(),
          argument.component.bytes);
      buffers[result].push_back(buffer);
      arguments.push_back(buffer);
    }
    Operation *call = plan::CallOp::create(builder, launch.getLoc(), launch.getKernelAttr(),
                                           arguments, builder.getStringAttr(access));
    for (auto [input, operand] : zip_equal(launch.getInputs(), kernel.getBody().getArguments()))
      if (auto param = input.getDefiningOp<ParamOp>(); param && !isReadInPart(operand)) {
        StringAttr unit = builder.getStringAttr(unitOf(param.getWeight()));
        unitUses.try_emplace(unit, call, call).first->second.second = call;
      }
    return success();
  }

  /// Fetch before a unit's first use, release after its last. Uses that show only when the kernel
  /// runs which bytes they need are left out: nobody should wait for all of them.
  void placeFetches() {
    for (auto &[unit, range] : unitUses) {
      builder.setInsertionPoint(range.first);
      plan::FetchOp::create(builder, builder.getUnknownLoc(), unit);
      builder.setInsertionPointAfter(range.second);
      plan::ReleaseOp::create(builder, builder.getUnknownLoc(), unit);
    }
  }
};

struct LowerToPlan : tern::impl::TernLowerToPlanBase<LowerToPlan> {
  using TernLowerToPlanBase::TernLowerToPlanBase;

  void runOnOperation() override {
    auto info = lookupTarget(target);
    if (!info) {
      getOperation().emitError() << llvm::toString(info.takeError());
      return signalPassFailure();
    }
    SmallVector<func::FuncOp> functions(getOperation().getOps<func::FuncOp>());
    for (func::FuncOp function : functions)
      if (failed(PlanBuilder(getOperation(), *info).run(function, maxBatch, maxWanted)))
        return signalPassFailure();
  }
};

} // namespace
