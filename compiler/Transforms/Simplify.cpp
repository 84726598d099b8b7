// tern-simplify: folding, common subexpressions, dead ops and dead symbols.
#include "compiler/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Dominance.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tern {
#define GEN_PASS_DEF_TERNSIMPLIFY
#include "compiler/Transforms/Passes.h.inc"
} // namespace tern

using namespace mlir;
using namespace tern;

namespace {

/// Erases weights and caches that nothing refers to; parts of a dead weight die in the next round.
void eraseDeadSymbols(ModuleOp module) {
  bool changed = true;
  while (changed) {
    changed = false;
    llvm::DenseSet<StringAttr> used;
    AttrTypeWalker walker;
    walker.addWalk([&](FlatSymbolRefAttr reference) { used.insert(reference.getAttr()); });
    module.walk([&](Operation *op) {
      for (NamedAttribute attribute : op->getAttrs())
        walker.walk(attribute.getValue());
    });
    for (Operation &op : llvm::make_early_inc_range(*module.getBody()))
      if (isa<WeightOp, KvCacheOp>(op) &&
          !used.contains(op.getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName()))) {
        op.erase();
        changed = true;
      }
  }
}

struct Simplify : tern::impl::TernSimplifyBase<Simplify> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    IRRewriter rewriter(&getContext());
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      DominanceInfo dominance(function);
      eliminateCommonSubExpressions(rewriter, dominance, function);
    }
    eraseDeadSymbols(getOperation());
  }
};

} // namespace
