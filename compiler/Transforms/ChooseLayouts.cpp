// tern-choose-layouts: the packed order of each matrix, as the target prefers it.
#include "compiler/Transforms/Passes.h"
#include "targets/TargetInfo.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace tern {
#define GEN_PASS_DEF_TERNCHOOSELAYOUTS
#include "compiler/Transforms/Passes.h.inc"
} // namespace tern

using namespace mlir;
using namespace tern;

namespace {

struct ChooseLayouts : tern::impl::TernChooseLayoutsBase<ChooseLayouts> {
  using TernChooseLayoutsBase::TernChooseLayoutsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto info = lookupTarget(target);
    if (!info) {
      module.emitError() << llvm::toString(info.takeError());
      return signalPassFailure();
    }
    auto layout = StringAttr::get(&getContext(), info->layout.id());
    SymbolTable symbols(module);
    module.walk([&](ParamOp param) {
      auto type = cast<RankedTensorType>(param.getType());
      auto encoding = dyn_cast_if_present<EncodingAttr>(type.getEncoding());
      if (!encoding || encoding.getLayout())
        return;
      auto packed =
          RankedTensorType::get(type.getShape(), type.getElementType(),
                                EncodingAttr::get(&getContext(), encoding.desc(), layout));
      param.getResult().setType(packed);
      symbols.lookup<WeightOp>(param.getWeight()).setType(packed);
    });
  }
};

} // namespace
