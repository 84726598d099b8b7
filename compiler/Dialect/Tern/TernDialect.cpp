// Registration of the `tern` dialect and the custom syntax of its attributes and kernels.
// Op verifiers and folders are in TernVerifiers.cpp.
#include "compiler/Dialect/Tern/TernDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FoldInterfaces.h"
#include "mlir/Interfaces/FunctionImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tern;

#include "compiler/Dialect/Tern/TernDialect.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "compiler/Dialect/Tern/TernAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "compiler/Dialect/Tern/TernTypes.cpp.inc"
#define GET_OP_CLASSES
#include "compiler/Dialect/Tern/TernOps.cpp.inc"

namespace {

/// Constants that folding makes inside the body of a structured op stay there.
struct TernFolderInterface : DialectFoldInterface {
  using DialectFoldInterface::DialectFoldInterface;
  bool shouldMaterializeInto(Region *region) const final {
    return isa<MapOp, ReduceOp>(region->getParentOp());
  }
};

} // namespace

void TernDialect::initialize() {
  addInterfaces<TernFolderInterface>();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "compiler/Dialect/Tern/TernAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "compiler/Dialect/Tern/TernTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "compiler/Dialect/Tern/TernOps.cpp.inc"
      >();
}

//===-- #tern.enc -----------------------------------------------------------------------------===//

EncodingDesc EncodingAttr::desc() const { return {getCodes(), getGroupSize(), getScale()}; }

EncodingAttr EncodingAttr::get(MLIRContext *context, const EncodingDesc &desc, StringAttr layout) {
  return get(context, desc.codes, desc.groupSize, desc.scale, layout);
}

LogicalResult EncodingAttr::verify(function_ref<InFlightDiagnostic()> emitError, CodeKind codes,
                                   unsigned groupSize, ScaleType scale, StringAttr layout) {
  bool isFloat = EncodingDesc{codes}.isFloat();
  if (isFloat && (groupSize != 0 || scale != ScaleType::None))
    return emitError() << "float codes '" << spelling(codes) << "' take neither group nor scale";
  if (!isFloat && (groupSize == 0 || groupSize % 32 != 0))
    return emitError() << "codes '" << spelling(codes)
                       << "' need a group that is a multiple of 32, got " << groupSize;
  if (!isFloat && scale == ScaleType::None)
    return emitError() << "codes '" << spelling(codes) << "' need a scale type (f16 or f32)";
  return success();
}

/// `<` codes (`, group = N`)? (`, scale = TYPE`)? (`, layout = "ID"`)? `>`
Attribute EncodingAttr::parse(AsmParser &parser, Type) {
  StringRef keyword;
  SMLoc location = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseKeyword(&keyword))
    return {};
  std::optional<CodeKind> codes = parseCodeKind(keyword);
  if (!codes)
    return parser.emitError(location, "unknown codes '")
               << keyword << "'; known are f32, f16, bf16, ternary, quaternary, int4, int8",
           Attribute();
  unsigned groupSize = 0;
  ScaleType scale = ScaleType::None;
  StringAttr layout;
  while (succeeded(parser.parseOptionalComma())) {
    location = parser.getCurrentLocation();
    if (parser.parseKeyword(&keyword) || parser.parseEqual())
      return {};
    if (keyword == "group") {
      if (parser.parseInteger(groupSize))
        return {};
    } else if (keyword == "scale") {
      StringRef name;
      if (parser.parseKeyword(&name))
        return {};
      std::optional<ScaleType> parsed = parseScaleType(name);
      if (!parsed)
        return parser.emitError(location, "unknown scale type '") << name << "'", Attribute();
      scale = *parsed;
    } else if (keyword == "layout") {
      if (parser.parseAttribute(layout))
        return {};
    } else {
      return parser.emitError(location, "expected group, scale or layout, got '") << keyword << "'",
             Attribute();
    }
  }
  if (parser.parseGreater())
    return {};
  return getChecked([&] { return parser.emitError(location); }, parser.getContext(), *codes,
                    groupSize, scale, layout);
}

void EncodingAttr::print(AsmPrinter &printer) const {
  printer << '<' << spelling(getCodes());
  if (getGroupSize())
    printer << ", group = " << getGroupSize();
  if (getScale() != ScaleType::None)
    printer << ", scale = " << spelling(getScale());
  if (getLayout())
    printer << ", layout = " << getLayout();
  printer << '>';
}

//===-- #tern.act -----------------------------------------------------------------------------===//

/// `<group =` (N | `row`) (`, sums = N`)? `>`
Attribute ActivationAttr::parse(AsmParser &parser, Type) {
  unsigned groupSize = 0, sumSize = 0;
  if (parser.parseLess() || parser.parseKeyword("group") || parser.parseEqual())
    return {};
  if (failed(parser.parseOptionalKeyword("row")) && parser.parseInteger(groupSize))
    return {};
  if (succeeded(parser.parseOptionalComma()) &&
      (parser.parseKeyword("sums") || parser.parseEqual() || parser.parseInteger(sumSize)))
    return {};
  if (parser.parseGreater())
    return {};
  return get(parser.getContext(), groupSize, sumSize);
}

void ActivationAttr::print(AsmPrinter &printer) const {
  printer << "<group = ";
  if (getGroupSize())
    printer << getGroupSize();
  else
    printer << "row";
  if (getSumSize())
    printer << ", sums = " << getSumSize();
  printer << '>';
}

//===-- #tern.parts ---------------------------------------------------------------------------===//

/// `<` (`concat` | `stack`) `, [` @symbol, ... `]>`
Attribute PartsAttr::parse(AsmParser &parser, Type) {
  bool stacked = false;
  SmallVector<FlatSymbolRefAttr> weights;
  if (parser.parseLess())
    return {};
  if (succeeded(parser.parseOptionalKeyword("stack")))
    stacked = true;
  else if (parser.parseKeyword("concat"))
    return {};
  if (parser.parseComma() ||
      parser.parseCommaSeparatedList(
          AsmParser::Delimiter::Square,
          [&] { return parser.parseAttribute(weights.emplace_back()); }) ||
      parser.parseGreater())
    return {};
  return get(parser.getContext(), stacked, weights);
}

void PartsAttr::print(AsmPrinter &printer) const {
  printer << '<' << (getStacked() ? "stack" : "concat") << ", [";
  llvm::interleaveComma(getWeights(), printer);
  printer << "]>";
}

//===-- !tern.kv ------------------------------------------------------------------------------===//

uint64_t KvType::keyBlockBytes() const {
  return uint64_t(blockPositions) * getHeads() * getHeadSize() *
         getElement().getIntOrFloatBitWidth() / 8;
}

uint64_t KvType::valueBlockBytes() const {
  return uint64_t(blockPositions) * getHeads() * getValueSize() *
         getElement().getIntOrFloatBitWidth() / 8;
}

/// The empty terminator that a body without results gets.
void YieldOp::build(OpBuilder &, OperationState &) {}

//===-- tern.kernel ---------------------------------------------------------------------------===//

ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &result) {
  auto buildType = [](Builder &builder, ArrayRef<Type> arguments, ArrayRef<Type> results,
                      function_interface_impl::VariadicFlag,
                      std::string &) { return builder.getFunctionType(arguments, results); };
  return function_interface_impl::parseFunctionOp(
      parser, result, /*allowVariadic=*/false, getFunctionTypeAttrName(result.name), buildType,
      getArgAttrsAttrName(result.name), getResAttrsAttrName(result.name));
}

void KernelOp::print(OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(printer, *this, /*isVariadic=*/false,
                                           getFunctionTypeAttrName(), getArgAttrsAttrName(),
                                           getResAttrsAttrName());
}
