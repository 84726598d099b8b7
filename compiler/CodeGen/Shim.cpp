#include "compiler/CodeGen/Shim.h"
#include "runtime/core/KernelABI.h"
#include "llvm/IR/IRBuilder.h"

using namespace llvm;

namespace tern {
namespace {

/// The values an Affine is computed from.
struct RunTimeIntegers {
  Value *tokens, *wanted, *first, *last, *blocksPerSlot, *taskBlocks;
  Value *firstRow, *blocks; ///< of a call for blocks of rows, else null
};

class ShimBuilder {
public:
  ShimBuilder(Module &module, const GeneratedKernel &kernel, ArrayRef<Function *> functions)
      : module(module), kernel(kernel), functions(functions), context(module.getContext()),
        builder(context), i32(builder.getInt32Ty()), i64(builder.getInt64Ty()),
        pointer(builder.getPtrTy()),
        // Mirrors of halide_dimension_t and halide_buffer_t (HalideRuntime.h): device,
        // device_interface, host, flags, type (code, bits, lanes), dimensions, dim, padding.
        dimensionType(StructType::get(context, {i32, i32, i32, i32})),
        bufferType(StructType::get(context, {i64, pointer, pointer, i64, builder.getInt8Ty(),
                                             builder.getInt8Ty(), builder.getInt16Ty(), i32,
                                             pointer, pointer})) {}

  Error build();

private:
  Error checkVariants() const;
  Error checkRanges() const;
  Error checkBlocks() const;
  Error checkPhases() const;
  Error checkVariant(const KernelVariant &variant, const Function &function) const;
  void emitVariant(const KernelVariant &variant, Function *halide);
  void emitByRows();
  void emitPhases();
  void emitBlocks();
  void emitRowsOfTask(Value *rows);
  Value *rowsOf(const KernelVariant &variant) const {
    return variant.rows == DimSymbol::Tokens ? values.tokens : values.wanted;
  }
  BasicBlock *block(const Twine &name) { return BasicBlock::Create(context, name, shim); }
  Value *affine(const Affine &a, Type *type);
  Value *bufferRecord(const BufferBinding &binding);
  Value *loadInteger(TernInteger index);
  AllocaInst *entryAlloca(Type *type);

  Module &module;
  const GeneratedKernel &kernel;
  ArrayRef<Function *> functions;
  LLVMContext &context;
  IRBuilder<> builder;
  Type *i32, *i64;
  PointerType *pointer;
  StructType *dimensionType, *bufferType;
  Function *shim = nullptr;
  Value *buffers = nullptr, *integers = nullptr, *scratch = nullptr;
  RunTimeIntegers values{};
};

Error ShimBuilder::checkVariant(const KernelVariant &variant, const Function &function) const {
  auto fail = [&](const Twine &what) {
    return createStringError("variant '" + variant.functionName + "': " + what);
  };
  if (function.arg_size() != variant.parameters.size())
    return fail("the function takes " + Twine(function.arg_size()) + " parameters, " +
                Twine(variant.parameters.size()) + " are bound");
  for (auto [i, parameter] : enumerate(variant.parameters)) {
    Type *type = function.getArg(i)->getType();
    bool isBuffer = parameter.kind == ParameterBinding::Kind::Buffer;
    if (isBuffer ? !type->isPointerTy() : !type->isIntegerTy(32))
      return fail("parameter " + Twine(i) + " is bound as " +
                  (isBuffer ? "a buffer" : "an i32 scalar") + " but has another type");
    if (isBuffer && parameter.buffer.argument == BufferBinding::partials) {
      if (kernel.use != VariantUse::Phases)
        return fail("parameter " + Twine(i) + " is bound to the partial results of another kernel");
    } else if (isBuffer && parameter.buffer.argument >= kernel.signature.arguments.size()) {
      return fail("parameter " + Twine(i) + " is bound to argument " +
                  Twine(parameter.buffer.argument) + " of " +
                  Twine(kernel.signature.arguments.size()));
    }
    if (isBuffer && parameter.buffer.typeBits % 8 != 0)
      return fail("parameter " + Twine(i) + " has elements of " +
                  Twine(unsigned(parameter.buffer.typeBits)) + " bits");
  }
  return Error::success();
}

Error ShimBuilder::checkVariants() const {
  if (kernel.variants.empty() || kernel.variants.size() != functions.size())
    return createStringError("no variants");
  for (auto [variant, function] : zip(kernel.variants, functions)) {
    if (Error error = checkVariant(variant, *function))
      return error;
    if (variant.rows != kernel.variants.front().rows)
      return createStringError("variants are chosen by different dimensions");
  }
  switch (kernel.use) {
  case VariantUse::ByRows:
    return checkRanges();
  case VariantUse::Blocks:
    return checkBlocks();
  case VariantUse::Phases:
    return checkPhases();
  case VariantUse::All:
    return Error::success();
  }
  llvm_unreachable("unknown use of variants");
}

// The variants must hold every row count from 1 up, or a call would silently do nothing.
Error ShimBuilder::checkRanges() const {
  int64_t next = 1;
  for (const KernelVariant &variant : kernel.variants)
    if (variant.minRows <= next)
      next = std::max<int64_t>(next, int64_t(variant.maxRows) + 1);
  if (next <= INT32_MAX)
    return createStringError("no variant holds " + Twine(next) +
                             " rows (list them by ascending minRows)");
  return Error::success();
}

// One row and, down to blocks of 2, no remainder that no variant takes.
Error ShimBuilder::checkBlocks() const {
  const KernelVariant &one = kernel.variants.front();
  if (one.rows == DimSymbol::None || one.minRows != 1 || one.maxRows != 1)
    return createStringError("the first of variants for blocks of rows is not for one row");
  for (const KernelVariant &variant : drop_begin(kernel.variants))
    if (variant.block < 2 || variant.minRows < variant.block || variant.maxRows < variant.block)
      return createStringError("variant '" + variant.functionName + "' takes blocks of " +
                               Twine(variant.block) + " rows, from " + Twine(variant.minRows) +
                               " to " + Twine(variant.maxRows) + " rows");
  const KernelVariant &last = kernel.variants.back();
  if (last.block != 2 || last.minRows != 2)
    return createStringError("the last variant does not take blocks of 2 rows");
  return Error::success();
}

// One for each phase, and nowhere to put partial results where there is one pass.
Error ShimBuilder::checkPhases() const {
  if (kernel.variants.size() != TERN_PHASE_MERGE + 1 || kernel.signature.partialBytes == 0)
    return createStringError("variants for phases are " + Twine(kernel.variants.size()) +
                             ", with partial results of " + Twine(kernel.signature.partialBytes) +
                             " bytes");
  for (const ParameterBinding &parameter : kernel.variants.front().parameters)
    if (parameter.kind == ParameterBinding::Kind::Buffer &&
        parameter.buffer.argument == BufferBinding::partials)
      return createStringError("the variant for a single pass takes partial results");
  return Error::success();
}

AllocaInst *ShimBuilder::entryAlloca(Type *type) {
  BasicBlock &entry = shim->getEntryBlock();
  return IRBuilder<>(&entry, entry.begin()).CreateAlloca(type);
}

Value *ShimBuilder::loadInteger(TernInteger index) {
  return builder.CreateLoad(i32, builder.CreateConstInBoundsGEP1_32(i32, integers, index));
}

// Strides and extents are i32 in Halide; offsets are summed in i64.
Value *ShimBuilder::affine(const Affine &a, Type *type) {
  auto widen = [&](Value *value) { return builder.CreateSExt(value, type); };
  Value *sum = ConstantInt::getSigned(type, a.constant);
  auto add = [&](int64_t factor, Value *value) {
    if (factor)
      sum = builder.CreateAdd(
          sum, builder.CreateMul(widen(value), ConstantInt::getSigned(type, factor)));
  };
  add(a.perToken, values.tokens);
  add(a.perWanted, values.wanted);
  add(a.perFirst, values.first);
  add(a.perLast, values.last);
  add(a.perFirstRow, values.firstRow);
  add(a.perBlock, values.blocks);
  add(a.perBlocksPerSlot, values.blocksPerSlot);
  add(a.perTaskBlocks, values.taskBlocks);
  return sum;
}

// Halide's host pointer points at the element at `min` of every dimension.
Value *ShimBuilder::bufferRecord(const BufferBinding &binding) {
  size_t rank = binding.dimensions.size();
  AllocaInst *record = entryAlloca(bufferType);
  AllocaInst *dimensions = entryAlloca(ArrayType::get(dimensionType, std::max<size_t>(rank, 1)));
  Value *offset = ConstantInt::get(i64, binding.byteOffset);
  Value *elementBytes = ConstantInt::get(i64, binding.typeBits / 8);
  for (auto [i, dimension] : enumerate(binding.dimensions)) {
    Value *slot = builder.CreateConstInBoundsGEP2_32(dimensions->getAllocatedType(), dimensions, 0,
                                                     unsigned(i));
    const Affine *fields[] = {&dimension.min, &dimension.extent, &dimension.stride};
    for (auto [field, value] : enumerate(fields))
      builder.CreateStore(affine(*value, i32),
                          builder.CreateStructGEP(dimensionType, slot, unsigned(field)));
    builder.CreateStore(builder.getInt32(0), builder.CreateStructGEP(dimensionType, slot, 3));
    Value *elements = builder.CreateMul(affine(dimension.min, i64), affine(dimension.stride, i64));
    offset = builder.CreateAdd(offset, builder.CreateMul(elements, elementBytes));
  }
  Value *base = binding.argument == BufferBinding::partials
                    ? scratch
                    : builder.CreateLoad(pointer, builder.CreateConstInBoundsGEP1_32(
                                                      pointer, buffers, binding.argument));
  Value *null = ConstantPointerNull::get(pointer);
  Value *fields[] = {builder.getInt64(0),
                     null,
                     builder.CreateGEP(builder.getInt8Ty(), base, offset),
                     builder.getInt64(0),
                     builder.getInt8(binding.typeCode),
                     builder.getInt8(binding.typeBits),
                     builder.getInt16(1),
                     builder.getInt32(rank),
                     dimensions,
                     null};
  for (auto [field, value] : enumerate(fields))
    builder.CreateStore(value, builder.CreateStructGEP(bufferType, record, unsigned(field)));
  return record;
}

void ShimBuilder::emitVariant(const KernelVariant &variant, Function *halide) {
  SmallVector<Value *> arguments;
  for (const ParameterBinding &parameter : variant.parameters)
    arguments.push_back(parameter.kind == ParameterBinding::Kind::Buffer
                            ? bufferRecord(parameter.buffer)
                            : affine(parameter.scalar, i32));
  // Without asserts and bounds queries a Halide function always returns 0.
  builder.CreateCall(halide, arguments);
}

void ShimBuilder::emitByRows() {
  for (auto [i, variant] : enumerate(kernel.variants)) {
    bool unconditional = variant.rows == DimSymbol::None || i + 1 == kernel.variants.size();
    BasicBlock *next = nullptr;
    if (!unconditional) {
      BasicBlock *chosen = block("variant");
      next = block("next");
      Value *rows = rowsOf(variant);
      Value *holds =
          builder.CreateAnd(builder.CreateICmpSGE(rows, builder.getInt32(variant.minRows)),
                            builder.CreateICmpSLE(rows, builder.getInt32(variant.maxRows)));
      builder.CreateCondBr(holds, chosen, next);
      builder.SetInsertPoint(chosen);
    }
    emitVariant(variant, functions[i]);
    builder.CreateRetVoid();
    if (unconditional)
      return;
    builder.SetInsertPoint(next);
  }
}

void ShimBuilder::emitPhases() {
  values.taskBlocks = loadInteger(TERN_INT_TASK_BLOCKS);
  BasicBlock *whole = block("whole");
  SwitchInst *phases = builder.CreateSwitch(loadInteger(TERN_INT_PHASE), whole);
  for (auto [phase, variant] : enumerate(kernel.variants)) {
    BasicBlock *chosen = whole;
    if (phase != TERN_PHASE_WHOLE) {
      chosen = block("phase");
      phases->addCase(builder.getInt32(unsigned(phase)), chosen);
    }
    builder.SetInsertPoint(chosen);
    functions[phase]->addFnAttr(Attribute::NoInline); // the frame of each is its own
    emitVariant(variant, functions[phase]);
    builder.CreateRetVoid();
  }
}

// All rows of a task before the next one: its weights are then in the cache.
void ShimBuilder::emitBlocks() {
  Value *rows = rowsOf(kernel.variants.front());
  BasicBlock *one = block("one"), *several = block("several"), *tasks = block("tasks"),
             *task = block("task"), *done = block("done");
  builder.CreateCondBr(builder.CreateICmpEQ(rows, builder.getInt32(1)), one, several);
  builder.SetInsertPoint(done);
  builder.CreateRetVoid();
  builder.SetInsertPoint(one);
  emitVariant(kernel.variants.front(), functions.front());
  builder.CreateBr(done);

  builder.SetInsertPoint(several);
  AllocaInst *next = entryAlloca(i32);
  builder.CreateStore(values.first, next);
  Value *end = values.last;
  builder.CreateBr(tasks);
  builder.SetInsertPoint(tasks);
  values.first = builder.CreateLoad(i32, next);
  builder.CreateCondBr(builder.CreateICmpSLT(values.first, end), task, done);
  builder.SetInsertPoint(task);
  values.last = builder.CreateAdd(values.first, builder.getInt32(1));
  builder.CreateStore(values.last, next);
  emitRowsOfTask(rows);
  builder.CreateBr(tasks);
}

void ShimBuilder::emitRowsOfTask(Value *rows) {
  AllocaInst *row = entryAlloca(i32);
  builder.CreateStore(builder.getInt32(0), row);
  for (size_t i = 1; i < kernel.variants.size(); ++i) {
    const KernelVariant &variant = kernel.variants[i];
    Value *size = builder.getInt32(variant.block);
    BasicBlock *loop = block("rows"), *call = block("call"), *smaller = block("smaller");
    builder.CreateBr(loop);
    builder.SetInsertPoint(loop);
    values.firstRow = builder.CreateLoad(i32, row);
    Value *left = builder.CreateSub(rows, values.firstRow);
    bool smallest = i + 1 == kernel.variants.size();
    // A single last row is taken with the one before it.
    Value *least = builder.getInt32(smallest ? 1 : variant.minRows);
    Value *enters = builder.CreateICmpSGE(left, least);
    if (!smallest && variant.minRows == variant.block) // 5 rows are 3 and 2, not 4 and 1
      enters = builder.CreateAnd(enters,
                                 builder.CreateICmpNE(left, builder.getInt32(variant.block + 1)));
    builder.CreateCondBr(enters, call, smaller);
    builder.SetInsertPoint(call);
    if (smallest) {
      values.blocks = builder.getInt32(1);
      values.firstRow = builder.CreateBinaryIntrinsic(Intrinsic::smin, values.firstRow,
                                                      builder.CreateSub(rows, size));
    } else {
      values.blocks =
          builder.CreateBinaryIntrinsic(Intrinsic::smin, builder.CreateSDiv(left, size),
                                        builder.getInt32(variant.maxRows / variant.block));
    }
    emitVariant(variant, functions[i]);
    builder.CreateStore(builder.CreateAdd(values.firstRow, builder.CreateMul(values.blocks, size)),
                        row);
    builder.CreateBr(loop);
    builder.SetInsertPoint(smaller);
  }
}

Error ShimBuilder::build() {
  if (Error error = checkVariants())
    return error;
  auto *type = FunctionType::get(builder.getVoidTy(), {pointer, i32, i32}, false);
  shim = Function::Create(type, GlobalValue::ExternalLinkage, kernel.signature.name, module);
  shim->setVisibility(GlobalValue::DefaultVisibility);
  shim->setDSOLocal(true);
  shim->addFnAttr(Attribute::NoUnwind);
  Argument *args = shim->getArg(0);
  BasicBlock *entry = block("entry"), *run = block("run"), *done = block("done");

  builder.SetInsertPoint(done);
  builder.CreateRetVoid();

  builder.SetInsertPoint(entry);
  values.first = shim->getArg(1);
  values.last = shim->getArg(2);
  builder.CreateCondBr(builder.CreateICmpSLT(values.first, values.last), run, done);

  builder.SetInsertPoint(run);
  auto *argsType = StructType::get(context, {pointer, pointer, pointer}); // TernArgs
  buffers = builder.CreateLoad(pointer, builder.CreateStructGEP(argsType, args, 0), "buffers");
  integers = builder.CreateLoad(pointer, builder.CreateStructGEP(argsType, args, 1), "integers");
  if (kernel.use == VariantUse::Phases)
    scratch = builder.CreateLoad(pointer, builder.CreateStructGEP(argsType, args, 2), "scratch");
  values.tokens = loadInteger(TERN_INT_TOKENS);
  values.wanted = loadInteger(TERN_INT_WANTED);
  values.blocksPerSlot = loadInteger(TERN_INT_BLOCKS_PER_SLOT);

  switch (kernel.use) {
  case VariantUse::ByRows:
    emitByRows();
    break;
  case VariantUse::Blocks:
    emitBlocks();
    break;
  case VariantUse::Phases:
    emitPhases();
    break;
  case VariantUse::All:
    for (auto [i, variant] : enumerate(kernel.variants))
      emitVariant(variant, functions[i]);
    builder.CreateRetVoid();
    break;
  }
  return Error::success();
}

} // namespace

Error defineShim(Module &module, const GeneratedKernel &kernel, ArrayRef<Function *> functions) {
  return ShimBuilder(module, kernel, functions).build();
}

} // namespace tern
