// Registration, syntax and verifiers of the `plan` dialect.
#include "compiler/Dialect/Plan/PlanDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tern::plan;

/// A bare word that is stored as a string attribute.
static ParseResult parseKeyword(OpAsmParser &parser, StringAttr &attr) {
  StringRef word;
  if (parser.parseKeyword(&word))
    return failure();
  attr = parser.getBuilder().getStringAttr(word);
  return success();
}

static void printKeyword(OpAsmPrinter &printer, Operation *, StringAttr attr) {
  printer << attr.getValue();
}

#include "compiler/Dialect/Plan/PlanDialect.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "compiler/Dialect/Plan/PlanAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "compiler/Dialect/Plan/PlanTypes.cpp.inc"
#define GET_OP_CLASSES
#include "compiler/Dialect/Plan/PlanOps.cpp.inc"

void PlanDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "compiler/Dialect/Plan/PlanAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "compiler/Dialect/Plan/PlanTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "compiler/Dialect/Plan/PlanOps.cpp.inc"
      >();
}

void ProgramOp::build(OpBuilder &builder, OperationState &state, StringRef name, StringRef target,
                      int64_t maxBatch, int64_t maxWanted) {
  build(builder, state, builder.getStringAttr(name), builder.getStringAttr(target),
        builder.getI64IntegerAttr(maxBatch), builder.getI64IntegerAttr(maxWanted), IntegerAttr(),
        IntegerAttr());
  state.regions.front()->emplaceBlock();
}

LogicalResult ProgramOp::verifyRegions() {
  for (Operation &op : getBody().front())
    if (!isa<PlanDialect>(op.getDialect()))
      return op.emitOpError() << "is not a plan command";
  return success();
}

LogicalResult BufferOp::verify() {
  StringRef space = getSpace();
  enum { None, Symbol, Index } needs;
  int kind = llvm::StringSwitch<int>(space)
                 .Cases({"tensor", "kv_key", "kv_value", "block_table"}, Symbol)
                 .Cases({"input", "output"}, Index)
                 .Case("arena", None)
                 .Default(-1);
  if (kind < 0)
    return emitOpError()
           << "unknown memory space '" << space
           << "'; known are arena, tensor, input, output, kv_key, kv_value, block_table";
  needs = static_cast<decltype(needs)>(kind);
  if ((needs == Symbol) != getSymbol().has_value())
    return emitOpError() << "space '" << space << "' "
                         << (needs == Symbol ? "needs a symbol" : "takes no symbol");
  if ((needs == Index) != getIndex().has_value())
    return emitOpError() << "space '" << space << "' "
                         << (needs == Index ? "needs an index" : "takes no index");
  if (getOffset() && space != "arena")
    return emitOpError() << "only arena buffers have an offset";
  if (getOffset() && *getOffset() % 64 != 0)
    return emitOpError() << "offset " << *getOffset() << " is no multiple of 64";
  return success();
}

LogicalResult CallOp::verify() {
  if (getAccess().size() != getBuffers().size())
    return emitOpError() << "access has " << getAccess().size() << " letters for "
                         << getBuffers().size() << " buffers";
  for (auto [letter, buffer] : llvm::zip(getAccess(), getBuffers())) {
    if (letter != 'r' && letter != 'w' && letter != 'b')
      return emitOpError() << "access letter '" << Twine(letter) << "' is none of r, w, b";
    auto producer = buffer.getDefiningOp<BufferOp>();
    if (producer && letter != 'r' &&
        (producer.getSpace() == "tensor" || producer.getSpace() == "input"))
      return emitOpError() << "writes to buffer '" << producer.getName()
                           << "' in the read-only space " << producer.getSpace();
  }
  return success();
}

LogicalResult CallOp::verifySymbolUses(SymbolTableCollection &symbols) {
  Operation *program = (*this)->getParentOp();
  Operation *kernel = symbols.lookupNearestSymbolFrom(program->getParentOp(), getKernelAttr());
  if (!kernel)
    return emitOpError() << "unknown kernel " << getKernelAttr();
  return success();
}
