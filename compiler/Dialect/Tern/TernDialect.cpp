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

EncodingDesc EncodingAttr::desc() const {
  return {getCodes(), getGroupSize(), getScale(), getMinimum(), getSuperSize(), getSuperScale()};
}

EncodingAttr EncodingAttr::get(MLIRContext *context, const EncodingDesc &desc, StringAttr layout) {
  return get(context, desc.codes, desc.groupSize, desc.scale, desc.minimum, desc.superSize,
             desc.superScale, layout);
}

LogicalResult EncodingAttr::verify(function_ref<InFlightDiagnostic()> emitError, CodeKind codes,
                                   unsigned groupSize, ScaleType scale, bool minimum,
                                   unsigned superSize, ScaleType superScale, StringAttr layout) {
  std::string problem =
      EncodingDesc{codes, groupSize, scale, minimum, superSize, superScale}.problem();
  return problem.empty() ? success() : LogicalResult(emitError() << problem);
}

/// A scale type's name.
static ParseResult parseScale(AsmParser &parser, ScaleType &type) {
  StringRef name;
  SMLoc location = parser.getCurrentLocation();
  if (parser.parseKeyword(&name))
    return failure();
  std::optional<ScaleType> parsed = parseScaleType(name);
  if (!parsed)
    return parser.emitError(location, "unknown scale type '") << name << "'";
  type = *parsed;
  return success();
}

/// `<` codes (`, group = N`)? (`, scale = TYPE`)? (`, min`)? (`, super = N`)?
/// (`, super_scale = TYPE`)? (`, layout = "ID"`)? `>`
Attribute EncodingAttr::parse(AsmParser &parser, Type) {
  StringRef keyword;
  SMLoc location = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseKeyword(&keyword))
    return {};
  // "ternary-b3" is two tokens and a number: a keyword, a minus and a keyword.
  std::string name = keyword.str();
  if (succeeded(parser.parseOptionalMinus())) {
    if (parser.parseKeyword(&keyword))
      return {};
    name += "-" + keyword.str();
  }
  std::optional<CodeKind> codes = parseCodeKind(name);
  if (!codes)
    return parser.emitError(location, "unknown codes '")
               << name << "'; known are " << knownCodeKinds(),
           Attribute();
  EncodingDesc desc{*codes};
  StringAttr layout;
  while (succeeded(parser.parseOptionalComma())) {
    location = parser.getCurrentLocation();
    if (parser.parseKeyword(&keyword))
      return {};
    if (keyword == "min") {
      desc.minimum = true;
      continue;
    }
    if (parser.parseEqual())
      return {};
    ParseResult parsed = success();
    if (keyword == "group")
      parsed = parser.parseInteger(desc.groupSize);
    else if (keyword == "scale")
      parsed = parseScale(parser, desc.scale);
    else if (keyword == "super")
      parsed = parser.parseInteger(desc.superSize);
    else if (keyword == "super_scale")
      parsed = parseScale(parser, desc.superScale);
    else if (keyword == "layout")
      parsed = parser.parseAttribute(layout);
    else
      parsed = parser.emitError(location,
                                "expected group, scale, min, super, super_scale or layout, got '")
               << keyword << "'";
    if (parsed)
      return {};
  }
  if (parser.parseGreater())
    return {};
  return getChecked([&] { return parser.emitError(location); }, parser.getContext(), desc.codes,
                    desc.groupSize, desc.scale, desc.minimum, desc.superSize, desc.superScale,
                    layout);
}

void EncodingAttr::print(AsmPrinter &printer) const {
  printer << '<' << spelling(getCodes());
  if (getGroupSize())
    printer << ", group = " << getGroupSize();
  if (getScale() != ScaleType::None)
    printer << ", scale = " << spelling(getScale());
  if (getMinimum())
    printer << ", min";
  if (getSuperSize())
    printer << ", super = " << getSuperSize();
  if (getSuperScale() != ScaleType::None)
    printer << ", super_scale = " << spelling(getSuperScale());
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

LogicalResult KvType::verify(function_ref<InFlightDiagnostic()> emitError, unsigned heads,
                             unsigned headSize, unsigned valueSize, unsigned, Type element) {
  if (!heads || !headSize || !valueSize)
    return emitError() << "heads, head_size and value_size must be above 0";
  if (!element.isF16() && !element.isF32() && !element.isSignlessInteger(8))
    return emitError() << "element must be f16, f32 or i8, got " << element;
  return success();
}

static uint64_t blockBytes(KvType type, uint64_t elements) {
  uint64_t bytes = elements * type.getElement().getIntOrFloatBitWidth() / 8;
  return KvType::blockPositions * uint64_t(type.getHeads()) *
         (bytes + (type.hasScales() ? KvType::scaleBytes : 0));
}

uint64_t KvType::keyBlockBytes() const { return blockBytes(*this, getHeadSize()); }

uint64_t KvType::valueBlockBytes() const { return blockBytes(*this, getValueSize()); }

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
