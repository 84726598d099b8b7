// Arguments and results of a kernel as Halide inputs and outputs; dispatch over its ops.
#include "compiler/Kernels/KernelBuilder.h"

#include "compiler/Kernels/ExpertRows.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using Halide::Expr;
using Halide::Func;

namespace tern {

KernelBuilder::KernelBuilder(KernelOp kernel, const TargetInfo &target,
                             const KernelSignature &signature, RowRange rowRange)
    : kernel(kernel), targetInfo(target), signature(signature), range(rowRange) {
  scalars.push_back({Halide::Param<int32_t>("first"), Affine{0, 0, 0, 1, 0}});
  scalars.push_back({Halide::Param<int32_t>("count"), Affine{0, 0, 0, -1, 1}});
  firstTask = scalars[0].param;
  taskCount = scalars[1].param;
  kernelStages.lane = lane;
  kernelStages.tile = tile;
  kernelStages.part = part;
  kernelStages.row = row;
  kernelStages.group = group;
  kernelStages.rowBlock = rowRange.block;
  kernelStages.maxRows = rowRange.ofBlocks ? rowRange.max : 0;
  kernelStages.singleRow = rowRange.single();
}

//===-- Sizes and parameters ------------------------------------------------------------------===//

Expr KernelBuilder::symbolParam(DimSymbol symbol) {
  Expr &param = symbolRows[unsigned(symbol)];
  if (!param.defined()) {
    Affine value;
    (symbol == DimSymbol::Tokens ? value.perToken : value.perWanted) = 1;
    scalars.push_back({Halide::Param<int32_t>(symbol == DimSymbol::Tokens ? "T" : "R"), value});
    param = scalars.back().param;
  }
  return param;
}

Expr KernelBuilder::rowsOf(Value value) {
  RowCount rows = rowCountOf(value);
  if (rows.isStatic())
    return int(cast<RankedTensorType>(value.getType()).getDimSize(0));
  bool single = range.single() && !range.ofExperts;
  return (single ? Expr(1) : symbolParam(rows.symbol)) * int(rows.times);
}

KernelBuilder::RowBlock KernelBuilder::computedRows(Value value) {
  if (!range.ofBlocks)
    return {0, rowsOf(value), fixed(0), rowsBinding(value)};
  Affine first, blocks, count;
  first.perFirstRow = 1;
  blocks.perBlock = 1;
  count.perBlock = range.block;
  Expr number = 1;
  if (range.max > range.block) {
    scalars.push_back({Halide::Param<int32_t>("blocks"), blocks});
    number = scalars.back().param;
  }
  return {firstRow(), number * range.block, first, count};
}

Expr KernelBuilder::firstRow() {
  if (!range.ofBlocks)
    return 0;
  if (!firstRowParam.defined()) {
    Affine first;
    first.perFirstRow = 1;
    scalars.push_back({Halide::Param<int32_t>("firstRow"), first});
    firstRowParam = scalars.back().param;
  }
  return firstRowParam;
}

Expr KernelBuilder::taskBlocks() {
  Affine blocks;
  blocks.perTaskBlocks = 1;
  scalars.push_back({Halide::Param<int32_t>("taskBlocks"), blocks});
  return scalars.back().param;
}

Affine KernelBuilder::rowsBinding(Value value) const {
  RowCount count = rowCountOf(value);
  Affine rows;
  switch (count.symbol) {
  case DimSymbol::None:
    rows.constant = cast<RankedTensorType>(value.getType()).getDimSize(0);
    break;
  case DimSymbol::Tokens:
    rows.perToken = count.times;
    break;
  case DimSymbol::Wanted:
    rows.perWanted = count.times;
    break;
  }
  return rows;
}

unsigned KernelBuilder::argumentOf(bool isResult, unsigned number, unsigned component) const {
  for (auto [i, argument] : llvm::enumerate(signature.arguments))
    if (argument.isResult == isResult && argument.value == number && argument.index == component)
      return i;
  llvm_unreachable("the signature lists every component");
}

static bool isConstant(const Affine &a) {
  return !a.perToken && !a.perWanted && !a.perFirst && !a.perLast && !a.perBlocksPerSlot &&
         !a.perFirstRow && !a.perBlock && !a.perTaskBlocks;
}

Halide::ImageParam KernelBuilder::addInput(unsigned argument, Halide::Type type,
                                           ArrayRef<DimensionBinding> dimensions,
                                           uint64_t byteOffset) {
  Halide::ImageParam image(type, dimensions.size(),
                           "in" + std::to_string(inputs.size()) + "_" + std::to_string(argument));
  for (auto [i, dimension] : llvm::enumerate(dimensions)) {
    if (isConstant(dimension.stride))
      image.dim(i).set_stride(int(dimension.stride.constant));
    if (isConstant(dimension.min))
      image.dim(i).set_min(int(dimension.min.constant));
  }
  // Base pointers are 64-byte aligned.
  image.set_host_alignment(byteOffset % 64 == 0 ? 64 : type.bytes());
  BufferBinding binding{argument, uint8_t(type.code()), uint8_t(type.bits()), byteOffset,
                        dimensions.vec()};
  inputs.push_back({image, binding});
  return image;
}

void KernelBuilder::addOutput(Func func, unsigned argument, ArrayRef<DimensionBinding> dimensions,
                              ArrayRef<OutputBounds> bounds) {
  Halide::OutputImageParam buffer = func.output_buffer();
  for (auto [i, dimension] : llvm::enumerate(dimensions)) {
    if (isConstant(dimension.stride))
      buffer.dim(i).set_stride(int(dimension.stride.constant));
    buffer.dim(i).set_bounds(bounds[i].min, bounds[i].extent);
  }
  Halide::Type type = func.types()[0];
  buffer.set_host_alignment(type.bytes());
  outputs.push_back(func);
  outputBindings.push_back(
      {argument, uint8_t(type.code()), uint8_t(type.bits()), 0, dimensions.vec()});
}

std::vector<Halide::Argument> KernelBuilder::arguments() const {
  std::vector<Halide::Argument> result;
  for (const ScalarParameter &scalar : scalars)
    result.push_back(scalar.param);
  for (const auto &[image, binding] : inputs)
    result.push_back(image);
  return result;
}

std::vector<ParameterBinding> KernelBuilder::bindings() const {
  std::vector<ParameterBinding> result;
  for (const ScalarParameter &scalar : scalars)
    result.push_back({ParameterBinding::Kind::Scalar, {}, scalar.value});
  for (const auto &[image, binding] : inputs)
    result.push_back({ParameterBinding::Kind::Buffer, binding, {}});
  for (const BufferBinding &binding : outputBindings)
    result.push_back({ParameterBinding::Kind::Buffer, binding, {}});
  return result;
}

Expr prefetch(const Expr &loaded) {
  Expr bits = Halide::reinterpret(Halide::UInt(loaded.type().bits()), loaded);
  return Halide::Internal::Call::make(Halide::Int(32), "tern_placeholder_prefetch", {bits},
                                      Halide::Internal::Call::PureExtern);
}

//===-- Arguments -----------------------------------------------------------------------------===//

static Halide::Type halideType(CodeKind codes) {
  switch (codes) {
  case CodeKind::F32:
    return Halide::Float(32);
  case CodeKind::F16:
    return Halide::Float(16);
  case CodeKind::BF16:
    return Halide::UInt(16); // floatCode() makes floats of them without Halide's emulation
  default:
    return Halide::UInt(8);
  }
}

void KernelBuilder::bindWeight(BlockArgument argument, EncodingAttr encoding) {
  auto type = cast<RankedTensorType>(argument.getType());
  unsigned rank = type.getRank(), number = argumentOf(false, argument.getArgNumber(), 0);
  WeightValue weight{encoding.desc(),
                     *parseWeightLayout(encoding.getLayout().getValue()),
                     rank == 3 ? type.getDimSize(0) : 1,
                     type.getDimSize(rank - 2),
                     type.getDimSize(rank - 1),
                     CellShape::of(encoding.desc()),
                     {},
                     {},
                     {},
                     {}};
  const EncodingDesc &enc = weight.encoding;
  const CellShape &shape = weight.shape;
  int64_t lanes = weight.layout.tileRows, parts = weight.parts;
  int64_t tiles = llvm::divideCeil(uint64_t(weight.rows), uint64_t(lanes));
  int64_t tileBytes = weight.layout.tileBytes(enc, weight.k, parts);
  Halide::Type codeType = halideType(enc.codes);
  if (enc.isFloat()) {
    weight.codes =
        addInput(number, codeType,
                 {dimension(lanes, 1), dimension(parts, lanes), dimension(weight.k, lanes * parts),
                  dimension(tiles, tileBytes / codeType.bytes())});
    set(argument, weight);
    return;
  }
  int64_t outerBytes = weight.layout.outerBytes(enc), cellBytes = weight.layout.cellBytes(enc);
  int64_t headerBytes = weight.layout.headerBytes(enc), scaleBytes = enc.outerScaleBytes();
  weight.codes =
      addInput(number, codeType,
               {dimension(4, 1), dimension(lanes, 4), dimension(shape.lines(), 4 * lanes),
                dimension(weight.cells(), cellBytes), dimension(parts, outerBytes),
                dimension(weight.outerGroups(), outerBytes * parts), dimension(tiles, tileBytes)},
               headerBytes + lanes * shape.scaleBytes);
  auto outerScales = [&](int64_t offset) {
    Halide::Type type = scaleBytes == 1 ? Halide::UInt(8) : Halide::Float(int(8 * scaleBytes));
    return addInput(number, type,
                    {dimension(lanes, 1), dimension(parts, outerBytes / scaleBytes),
                     dimension(weight.outerGroups(), outerBytes * parts / scaleBytes),
                     dimension(tiles, tileBytes / scaleBytes)},
                    offset);
  };
  weight.scales = outerScales(0);
  if (enc.minimum)
    weight.minimums = outerScales(lanes * scaleBytes);
  if (enc.hasSuper())
    weight.innerScales =
        addInput(number, Halide::UInt(8),
                 {dimension(lanes, 1), dimension(shape.scaleBytes, lanes),
                  dimension(weight.cells(), cellBytes), dimension(parts, outerBytes),
                  dimension(weight.outerGroups(), outerBytes * parts), dimension(tiles, tileBytes)},
                 headerBytes);
  set(argument, weight);
}

void KernelBuilder::bindActivation(BlockArgument argument, ActivationAttr activation) {
  auto type = cast<RankedTensorType>(argument.getType());
  unsigned number = argument.getArgNumber();
  int64_t k = type.getDimSize(1), codeStride = llvm::alignTo(k, codePadding);
  int64_t groups = activation.getGroupSize() ? k / activation.getGroupSize() : 1;
  Affine rows = rowsBinding(argument);
  auto perGroup = [](Halide::ImageParam image) {
    return [image](const Expr &x, const Expr &row) -> Expr { return image(x, row); };
  };
  auto rowDimension = [&](int64_t stride) {
    return DimensionBinding{fixed(0), rows, fixed(stride)};
  };
  ActValue value{type, activation, {}, {}, {}};
  Halide::ImageParam codes = addInput(argumentOf(false, number, 0), Halide::Int(8),
                                      {dimension(codeStride, 1), rowDimension(codeStride)});
  value.codes = [codes](const Point &p) -> Expr { return codes(p.element(), p.row); };
  value.scales = perGroup(addInput(argumentOf(false, number, 1), Halide::Float(32),
                                   {dimension(groups, 1), rowDimension(groups)}));
  if (unsigned sumSize = activation.getSumSize())
    value.sums = perGroup(addInput(argumentOf(false, number, 2), Halide::Int(32),
                                   {dimension(k / sumSize, 1), rowDimension(k / sumSize)}));
  set(argument, value);
}

void KernelBuilder::bindExpertRows(BlockArgument argument, ExpertRowsAttr experts) {
  ExpertRowsLayout layout(experts.getExperts(), experts.getUsed());
  Affine size = fixed(layout.head());
  size.perToken = int64_t(ExpertRowsLayout::units) * experts.getUsed();
  Halide::ImageParam lists = addInput(argumentOf(false, argument.getArgNumber(), 0),
                                      Halide::Int(32), {{fixed(0), size, fixed(1)}});
  unsigned index = 0;
  while (ExpertRowsLayout::blockOf[index] != range.block)
    ++index;
  Expr pairs = symbolParam(DimSymbol::Tokens) * int(experts.getUsed());
  Expr pairsAt = layout.head() + pairs * ExpertRowsLayout::pairsAt[index];
  Expr expertsAt = layout.head() + pairs * ExpertRowsLayout::expertsAt[index];
  // A plan may pass other numbers: they lead nowhere else.
  auto below = [](const Expr &value, const Expr &bound) {
    return Halide::clamp(value, 0, bound - 1);
  };
  // A load of the buffer itself: the bounds of a loop may not be a Func, as which it is wrapped.
  Expr room = pairs * (ExpertRowsLayout::expertsAt[index] - ExpertRowsLayout::pairsAt[index]);
  Expr items = Halide::min(Halide::Internal::Call::make(lists.parameter(), {int(index)}),
                           room / range.block);
  set(argument, ExpertValue{experts, items,
                            [=](const Expr &row) { return below(lists(pairsAt + row), pairs); },
                            [=, count = int(experts.getExperts())](const Expr &item) {
                              return below(lists(expertsAt + item), count);
                            }});
}

void KernelBuilder::bindIntRows(BlockArgument argument) {
  auto type = cast<RankedTensorType>(argument.getType());
  int64_t stride = llvm::alignTo(uint64_t(type.getShape().back()), rowPadding);
  Halide::ImageParam image =
      addInput(argumentOf(false, argument.getArgNumber(), 0), Halide::Int(32),
               {dimension(stride, 1), {fixed(0), rowsBinding(argument), fixed(stride)}});
  set(argument,
      IntRowsValue{type, [image](const Point &p) -> Expr { return image(p.element(), p.row); }});
}

llvm::Error KernelBuilder::bindArgument(BlockArgument argument) {
  unsigned number = argument.getArgNumber();
  if (auto kv = dyn_cast<KvType>(argument.getType())) {
    set(argument, KvValue{kv, argumentOf(false, number, 0), argumentOf(false, number, 1),
                          argumentOf(false, number, 2)});
    return llvm::Error::success();
  }
  auto type = cast<RankedTensorType>(argument.getType());
  if (auto encoding = dyn_cast_if_present<EncodingAttr>(type.getEncoding())) {
    bindWeight(argument, encoding);
    return llvm::Error::success();
  }
  if (auto activation = dyn_cast_if_present<ActivationAttr>(type.getEncoding())) {
    bindActivation(argument, activation);
    return llvm::Error::success();
  }
  if (auto experts = dyn_cast_if_present<ExpertRowsAttr>(type.getEncoding())) {
    bindExpertRows(argument, experts);
    return llvm::Error::success();
  }
  unsigned index = argumentOf(false, number, 0), rank = type.getRank();
  if (type.getElementType().isInteger(32) && rank == 2) {
    bindIntRows(argument);
    return llvm::Error::success();
  }
  if (type.getElementType().isInteger(32) && rank == 1) {
    Halide::ImageParam image =
        addInput(index, Halide::Int(32), {{fixed(0), rowsBinding(argument), fixed(1)}});
    set(argument, IntValue{[image](const Expr &row) -> Expr { return image(row); }});
    return llvm::Error::success();
  }
  if (!type.getElementType().isF32() || rank < 1 || rank > 3) {
    std::string text;
    llvm::raw_string_ostream(text) << type;
    return llvm::createStringError("argument " + llvm::Twine(number) + " has type " + text +
                                   "; kernels take f32 of rank 1 to 3, i32 of rank 1 and 2, "
                                   "activations, weights, lists of experts and caches");
  }
  // Tables are plain row-major; everything else has padded rows.
  bool table = rank == 3 && !type.isDynamicDim(0);
  int64_t stride =
      table ? type.getShape().back() : llvm::alignTo(uint64_t(type.getShape().back()), rowPadding);
  std::vector<DimensionBinding> dimensions = {dimension(stride, 1)};
  int64_t outer = stride;
  if (rank == 3) {
    dimensions.push_back(dimension(type.getDimSize(1), outer));
    outer *= type.getDimSize(1);
  }
  if (rank >= 2)
    dimensions.push_back({fixed(0), rowsBinding(argument), fixed(outer)});
  Halide::ImageParam image = addInput(index, Halide::Float(32), dimensions);
  set(argument, FloatValue{type, [image, rank](const Point &p) -> Expr {
                             if (rank == 1)
                               return image(p.element());
                             return rank == 2 ? image(p.element(), p.row)
                                              : image(p.element(), p.part, p.row);
                           }});
  return llvm::Error::success();
}

//===-- Results -------------------------------------------------------------------------------===//

// A kernel with a linear layer has one task per tile of outputs, any other one per row. The rows of
// experts go where their pairs are.
template <typename Rows> void KernelBuilder::defineRowsResult(unsigned number, Value value) {
  const Rows &result = get<Rows>(value);
  int64_t stride = llvm::alignTo(uint64_t(result.type.getShape().back()), rowPadding);
  int64_t tileCount = stride / int64_t(rowPadding);
  Func out("out" + std::to_string(number));
  if (kernelStages.expertItems.defined()) {
    Halide::RDom r(0, range.block, 0, kernelStages.expertItems, "ofItem");
    Expr itemRow = r.y * range.block + r.x;
    Expr value = result.at({lane, tile, itemRow});
    out(lane, tile, row) = Halide::undef(value.type());
    out(lane, tile, kernelStages.expertPair(itemRow)) = value;
    kernelStages.itemRows = r;
  } else {
    out(lane, tile, row) = result.at({lane, tile, row});
  }
  bool byTile = !kernelStages.linear.empty();
  Affine first{0, 0, 0, 1, 0}, taskExtent{0, 0, 0, -1, 1};
  DimensionBinding tiles = dimension(tileCount, rowPadding);
  RowBlock computed = computedRows(value);
  DimensionBinding rows = {computed.firstBinding, computed.countBinding, fixed(stride)};
  DimensionBinding &tasks = byTile ? tiles : rows;
  tasks.min = first;
  tasks.extent = taskExtent;
  OutputBounds tasksRange{firstTask, taskCount};
  addOutput(out, argumentOf(true, number, 0), {dimension(rowPadding, 1), tiles, rows},
            {{0, int(rowPadding)},
             byTile ? tasksRange : OutputBounds{0, int(tileCount)},
             byTile ? OutputBounds{computed.first, computed.count} : tasksRange});
  kernelStages.outputs.push_back({out, int(rowPadding)});
}

void KernelBuilder::defineActivationResult(unsigned number, Value value) {
  const ActValue &result = get<ActValue>(value);
  int64_t k = result.type.getDimSize(1), stride = llvm::alignTo(k, codePadding);
  int64_t groups = result.activation.getGroupSize() ? k / result.activation.getGroupSize() : 1;
  Affine first{0, 0, 0, 1, 0}, taskExtent{0, 0, 0, -1, 1};
  auto rows = [&](int64_t rowStride) {
    return DimensionBinding{first, taskExtent, fixed(rowStride)};
  };
  std::string base = "out" + std::to_string(number);

  Func codes(base + "_codes");
  int tiles = int(k / rowPadding);
  Expr code = result.codes({lane, stride == k ? Expr(tile) : Halide::min(tile, tiles - 1), row});
  codes(lane, tile, row) =
      stride == k ? code : Halide::select(tile < tiles, code, Halide::cast<int8_t>(0));
  addOutput(codes, argumentOf(true, number, 0),
            {dimension(rowPadding, 1), dimension(stride / rowPadding, rowPadding), rows(stride)},
            {{0, int(rowPadding)}, {0, int(stride / rowPadding)}, {firstTask, taskCount}});
  kernelStages.outputs.push_back({codes, int(rowPadding)});

  auto perGroup = [&](const char *name, unsigned component, int64_t size, const auto &source) {
    Func func(base + name);
    func(group, row) = source(group, row);
    addOutput(func, argumentOf(true, number, component), {dimension(size, 1), rows(size)},
              {{0, int(size)}, {firstTask, taskCount}});
    kernelStages.outputs.push_back({func, 1});
  };
  perGroup("_scales", 1, groups, result.scales);
  if (unsigned sumSize = result.activation.getSumSize())
    perGroup("_sums", 2, k / sumSize, result.sums);
}

llvm::Error KernelBuilder::defineResult(unsigned number, Value value) {
  if (isa<KvType>(value.getType()))
    return llvm::Error::success(); // kv_store has defined its outputs
  const KernelValue &result = values.find(value)->second;
  if (std::holds_alternative<StoredValue>(result))
    return llvm::Error::success();
  if (std::holds_alternative<ActValue>(result)) {
    if (!kernelStages.linear.empty())
      return llvm::createStringError("a linear op cannot be followed by encode in one kernel");
    defineActivationResult(number, value);
    return llvm::Error::success();
  }
  if (std::holds_alternative<IntRowsValue>(result)) {
    defineRowsResult<IntRowsValue>(number, value);
    return llvm::Error::success();
  }
  if (!std::holds_alternative<FloatValue>(result) || get<FloatValue>(value).parts() != 1)
    return llvm::createStringError(
        "result " + llvm::Twine(number) +
        " cannot cross a kernel boundary: expected rows of f32 or i32, or #tern.act");
  defineRowsResult<FloatValue>(number, value);
  return llvm::Error::success();
}

//===-- Ops -----------------------------------------------------------------------------------===//

llvm::Error KernelBuilder::buildOp(Operation &op) {
  return llvm::TypeSwitch<Operation *, llvm::Error>(&op)
      .Case([&](EmbedOp op) { return buildEmbed(*this, op); })
      .Case([&](LinearOp op) { return buildLinear(*this, op); })
      .Case([&](RouteOp op) { return buildRoute(*this, op); })
      .Case([&](ExpertRowsOp op) { return buildExpertRows(*this, op); })
      .Case([&](CombineOp op) { return buildCombine(*this, op); })
      .Case([&](RmsNormOp op) { return buildRmsNorm(*this, op); })
      .Case([&](LayerNormOp op) { return buildLayerNorm(*this, op); })
      .Case([&](EncodeOp op) { return buildEncode(*this, op); })
      .Case([&](MapOp op) { return buildMap(*this, op); })
      .Case([&](GatherOp op) { return buildGather(*this, op); })
      .Case([&](SliceOp op) { return buildSlice(*this, op); })
      .Case([&](ReshapeOp op) { return buildReshape(*this, op); })
      .Case([&](RopeOp op) { return buildRope(*this, op); })
      .Case([&](KvStoreOp op) { return buildKvStore(*this, op); })
      .Case([&](AttentionOp op) { return buildAttention(*this, op); })
      .Default([&](Operation *op) {
        return llvm::createStringError("no kernel algorithm exists for " +
                                       op->getName().getStringRef());
      });
}

llvm::Error KernelBuilder::build() {
  Block &body = kernel.getBody().front();
  for (BlockArgument argument : body.getArguments())
    if (llvm::Error error = bindArgument(argument))
      return error;
  for (Operation &op : body.without_terminator())
    if (llvm::Error error = buildOp(op))
      return error;
  for (auto [number, value] : llvm::enumerate(body.getTerminator()->getOperands()))
    if (llvm::Error error = defineResult(number, value))
      return error;
  if (!kernelStages.linear.empty() && outputs.size() != 1)
    return llvm::createStringError("a kernel with a linear op has one result, not " +
                                   llvm::Twine(outputs.size()));
  return llvm::Error::success();
}

} // namespace tern
