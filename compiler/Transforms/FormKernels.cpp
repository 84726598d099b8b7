// tern-form-kernels: outline clusters of ops into isolated, deduplicated kernels.
//
// One forward walk assigns every op to a cluster: either a new one or that of a producer it may
// join (see joins()). Views (slice, reshape) belong to no cluster; each cluster that reads one gets
// its own copy. A cluster becomes a tern.kernel whose arguments are the values from outside and
// whose results are the values used outside, and a tern.launch where its last op stood.
#include "compiler/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

namespace tern {
#define GEN_PASS_DEF_TERNFORMKERNELS
#include "compiler/Transforms/Passes.h.inc"
} // namespace tern

using namespace mlir;
using namespace tern;

namespace {

bool isView(Operation *op) { return isa_and_present<SliceOp, ReshapeOp>(op); }
bool isNorm(Operation *op) { return isa_and_present<RmsNormOp, LayerNormOp>(op); }
/// Ops that stay in the function: they name data, they compute nothing.
bool isAccess(Operation *op) { return isa<ParamOp, CacheOp>(op); }

/// The op behind a chain of views; null for a function argument.
Operation *producerThroughViews(Value value) {
  Operation *op = value.getDefiningOp();
  while (isView(op))
    op = op->getOperand(0).getDefiningOp();
  return op;
}

/// Whether every use of `producer`, seen through views, is by `consumer`, or with `mayLeave`
/// returns the value.
bool onlyFeeds(Operation *producer, Operation *consumer, bool mayLeave = false) {
  return llvm::all_of(producer->getUsers(), [&](Operation *user) {
    return user == consumer || (mayLeave && user->hasTrait<OpTrait::IsTerminator>()) ||
           (isView(user) && onlyFeeds(user, consumer, mayLeave));
  });
}

/// Elements of a row, or of a part of a stacked one.
int64_t sizeOf(Value value) { return cast<RankedTensorType>(value.getType()).getShape().back(); }

struct Cluster {
  Operation *root;              ///< the op it was made for
  SmallVector<Operation *> ops; ///< all of them in program order, once every op is assigned
};

class KernelFormer {
public:
  KernelFormer(ModuleOp module) : module(module), symbols(module) {}

  LogicalResult run(func::FuncOp function) {
    for (unsigned i = 0, e = function.getNumArguments(); i < e; ++i)
      if (auto symbol = function.getArgAttrOfType<StringAttr>(i, "tern.dim"))
        dims[function.getArgument(i)] = symbol;
    for (Operation &op : function.getBody().front().without_terminator()) {
      if (!isa<TernDialect>(op.getDialect()))
        return op.emitOpError() << "cannot become part of a kernel";
      inferDim(op);
      if (!isView(&op) && !isAccess(&op))
        clusterOf[&op] = joins(&op);
    }
    // Norms and ropes of a layer's keys and query join the store of the keys.
    function.walk([&](KvStoreOp store) { pullRowOpsInto(store); });
    for (Operation &op : function.getBody().front().without_terminator())
      if (Cluster *cluster = clusterOf.lookup(&op))
        cluster->ops.push_back(&op);

    SmallVector<Cluster *> order;
    for (Operation &op : function.getBody().front().without_terminator())
      if (Cluster *cluster = clusterOf.lookup(&op))
        if (cluster->ops.back() == &op)
          order.push_back(cluster);
    for (Cluster *cluster : order)
      if (failed(outline(*cluster)))
        return failure();
    eraseUnusedViews(function);
    return success();
  }

private:
  ModuleOp module;
  SymbolTable symbols;
  std::vector<std::unique_ptr<Cluster>> clusters;
  llvm::MapVector<Operation *, Cluster *> clusterOf;
  DenseMap<Value, StringAttr> dims;
  llvm::StringMap<KernelOp> byStructure;
  llvm::StringMap<unsigned> nameCounts;

  Cluster *newCluster(Operation *root) {
    clusters.push_back(std::make_unique<Cluster>(Cluster{root, {}}));
    return clusters.back().get();
  }

  /// `used` rows for each token; one is spelled as the tokens are.
  static StringAttr pairDim(unsigned used, MLIRContext *context) {
    return StringAttr::get(context, used == 1 ? "T" : llvm::utostr(used) + "T");
  }

  /// The symbol of a result's leading dimension: that of the indices for embed and gather, else
  /// that of the first operand that has one.
  void inferDim(Operation &op) {
    StringAttr symbol;
    if (auto embed = dyn_cast<EmbedOp>(op))
      symbol = dims.lookup(embed.getTokens());
    else if (auto gather = dyn_cast<GatherOp>(op))
      symbol = dims.lookup(gather.getIndices());
    else if (auto combine = dyn_cast<CombineOp>(op))
      symbol = dims.lookup(combine.getWeights());
    else if (auto linear = dyn_cast<LinearOp>(op); linear && linear.getExperts())
      symbol = pairDim(linear.getExpertRows().getUsed(), op.getContext());
    else
      for (Value operand : op.getOperands())
        if (!symbol)
          symbol = dims.lookup(operand);
    if (symbol)
      for (Value result : op.getResults())
        if (isa<RankedTensorType>(result.getType()))
          dims[result] = symbol;
  }

  /// The cluster this op runs in: a producer's, if it is an epilogue of it, else its own.
  Cluster *joins(Operation *op) {
    if (isNorm(op) || isa<EncodeOp>(op)) {
      Operation *producer = op->getOperand(0).getDefiningOp();
      bool prologue = isNorm(op) ? isa_and_present<GatherOp>(producer) : isNorm(producer);
      if (prologue && onlyFeeds(producer, op, /*mayLeave=*/true))
        return clusterOf.lookup(producer);
    }
    if (isa<MapOp>(op))
      // The latest linear op or norm whose result, or elementwise tail so far, goes nowhere else.
      for (Value operand : llvm::reverse(op->getOperands())) {
        // Slices of appended rows do not meet within one tile of outputs.
        if (auto slice = operand.getDefiningOp<SliceOp>(); slice && !slice.getDrop())
          continue;
        Operation *producer = producerThroughViews(operand);
        Cluster *cluster = producer ? clusterOf.lookup(producer) : nullptr;
        if (cluster && mayHaveTail(cluster->root, op) && onlyFeeds(producer, op) &&
            sizeOf(producer->getResult(0)) == sizeOf(op->getResult(0)))
          return cluster;
      }
    return newCluster(op);
  }

  /// Whether elementwise ops may follow `root` in its kernel. What experts compute is not in the
  /// order of other rows.
  bool mayHaveTail(Operation *root, Operation *map) {
    auto linear = dyn_cast<LinearOp>(root);
    if (linear && linear.getExperts())
      return llvm::all_of(map->getOperands(), [&](Value operand) {
        Operation *producer = producerThroughViews(operand);
        return producer && (isAccess(producer) || (clusterOf.lookup(producer) &&
                                                   clusterOf.lookup(producer)->root == root));
      });
    return linear || isNorm(root) || isa<CombineOp>(root);
  }

  void pullRowOpsInto(KvStoreOp store) {
    Cluster *cluster = clusterOf.lookup(store);
    auto pull = [&](Value value) {
      for (Operation *op = value.getDefiningOp(); isa_and_present<RopeOp>(op) || isNorm(op);
           op = op->getOperand(0).getDefiningOp()) {
        if (!op->isBeforeInBlock(store) || !op->hasOneUse())
          return;
        clusterOf[op] = cluster;
      }
    };
    pull(store.getKey());
    for (Operation *user : store.getResult().getUsers())
      if (auto attention = dyn_cast<AttentionOp>(user))
        pull(attention.getQuery());
  }

  LogicalResult outline(Cluster &cluster) {
    llvm::SetVector<Value> inputs;
    SmallVector<Operation *> body; // views included, in program order
    collectBody(cluster, body, inputs);
    SmallVector<Value> results;
    for (Operation *op : cluster.ops)
      for (Value result : op->getResults())
        if (llvm::any_of(result.getUsers(),
                         [&](Operation *user) { return escapes(user, cluster); }))
          results.push_back(result);

    for (Value result : results)
      if (auto type = dyn_cast<RankedTensorType>(result.getType()); type && type.getRank() > 2)
        return result.getDefiningOp()->emitOpError()
               << "a stacked result must be consumed by an elementwise op of its own";

    KernelOp kernel = buildKernel(cluster, body, inputs.getArrayRef(), results);
    OpBuilder builder(cluster.ops.back());
    auto launch =
        LaunchOp::create(builder, cluster.ops.back()->getLoc(), ValueRange(results).getTypes(),
                         FlatSymbolRefAttr::get(kernel.getSymNameAttr()), inputs.getArrayRef());
    for (auto [result, output] : llvm::zip(results, launch.getOutputs())) {
      // Also where there is none: the output may lie where a value with one lay that is erased now.
      dims[output] = dims.lookup(result);
      result.replaceAllUsesWith(output);
    }
    for (Operation *op : llvm::reverse(cluster.ops)) {
      eraseViewUsers(op);
      op->erase();
    }
    return success();
  }

  /// Views of an op that is about to go have been copied into the kernels that read them.
  static void eraseViewUsers(Operation *op) {
    for (Operation *user : llvm::make_early_inc_range(op->getUsers()))
      if (isView(user)) {
        eraseViewUsers(user);
        if (user->use_empty())
          user->erase();
      }
  }

  /// Whether a use lies outside the cluster, looking through views.
  bool escapes(Operation *user, Cluster &cluster) {
    if (isView(user))
      return llvm::any_of(user->getUsers(),
                          [&](Operation *next) { return escapes(next, cluster); });
    return clusterOf.lookup(user) != &cluster;
  }

  void collectBody(Cluster &cluster, SmallVectorImpl<Operation *> &body,
                   llvm::SetVector<Value> &inputs) {
    llvm::SmallPtrSet<Operation *, 8> members(cluster.ops.begin(), cluster.ops.end());
    std::function<void(Value)> need = [&](Value value) {
      Operation *producer = value.getDefiningOp();
      if (producer && members.contains(producer))
        return;
      if (isView(producer)) {
        for (Value operand : producer->getOperands())
          need(operand);
        if (members.insert(producer).second)
          body.push_back(producer);
        return;
      }
      inputs.insert(value);
    };
    for (Operation *op : cluster.ops) {
      for (Value operand : op->getOperands())
        need(operand);
      body.push_back(op);
    }
  }

  KernelOp buildKernel(Cluster &cluster, ArrayRef<Operation *> body, ArrayRef<Value> inputs,
                       ArrayRef<Value> results) {
    MLIRContext *context = module.getContext();
    OpBuilder builder(context);
    OperationState state(UnknownLoc::get(context), KernelOp::getOperationName());
    state.addAttribute("sym_name", builder.getStringAttr("k"));
    state.addAttribute("function_type",
                       TypeAttr::get(builder.getFunctionType(ValueRange(inputs).getTypes(),
                                                             ValueRange(results).getTypes())));
    SmallVector<Attribute> argumentAttributes;
    for (Value input : inputs) {
      NamedAttrList attributes;
      if (StringAttr symbol = dims.lookup(input))
        attributes.append("tern.dim", symbol);
      argumentAttributes.push_back(attributes.getDictionary(context));
    }
    state.addAttribute("arg_attrs", builder.getArrayAttr(argumentAttributes));
    state.addRegion();
    auto kernel = cast<KernelOp>(Operation::create(state));
    Block &block = kernel.getBody().emplaceBlock();
    IRMapping mapping;
    for (Value input : inputs)
      mapping.map(input, block.addArgument(input.getType(), UnknownLoc::get(context)));
    builder.setInsertionPointToEnd(&block);
    for (Operation *op : body)
      builder.clone(*op, mapping)->setLoc(UnknownLoc::get(context));
    SmallVector<Value> yielded;
    for (Value result : results)
      yielded.push_back(mapping.lookup(result));
    YieldOp::create(builder, UnknownLoc::get(context), yielded);

    std::string structure;
    llvm::raw_string_ostream(structure) << kernel;
    auto [entry, isNew] = byStructure.try_emplace(structure, kernel);
    if (!isNew) {
      kernel->erase();
      return entry->second;
    }
    std::string name = kernelName(cluster);
    kernel.setSymName((name + "_" + Twine(nameCounts[name]++)).str());
    symbols.insert(kernel);
    return kernel;
  }

  /// The mnemonics of the distinct ops, the elementwise tail left out: "rms_norm_encode", "linear".
  static std::string kernelName(Cluster &cluster) {
    std::string name;
    llvm::SmallPtrSet<const void *, 4> seen;
    for (Operation *op : cluster.ops) {
      if (cluster.ops.size() > 1 && isa<MapOp>(op))
        continue;
      if (!seen.insert(op->getName().getAsOpaquePointer()).second)
        continue;
      if (!name.empty())
        name += '_';
      name += op->getName().stripDialect();
    }
    return name;
  }

  static void eraseUnusedViews(func::FuncOp function) {
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
      if ((isView(&op) || isAccess(&op)) && op.use_empty())
        op.erase();
  }
};

struct FormKernels : tern::impl::TernFormKernelsBase<FormKernels> {
  void runOnOperation() override {
    KernelFormer former(getOperation());
    SmallVector<func::FuncOp> functions(getOperation().getOps<func::FuncOp>());
    for (func::FuncOp function : functions)
      if (failed(former.run(function)))
        return signalPassFailure();
  }
};

} // namespace
