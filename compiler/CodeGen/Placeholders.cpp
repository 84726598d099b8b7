#include "compiler/CodeGen/Placeholders.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/IntrinsicsAArch64.h"
#include "llvm/IR/IntrinsicsX86.h"
#include <functional>

using namespace llvm;

namespace tern {

namespace {

constexpr StringLiteral prefix = "tern_placeholder_";

/// What an operation does with a vector of bytes of a natural width, for all calls like `call`.
using Operation = std::function<Value *(IRBuilder<> &, Value *bytes, CallInst &call)>;

/// Replaces calls on single bytes, which Halide has made of an operation on a vector, by the
/// operation on vectors. Operands behind the first are constants.
class ByteCallExpander {
public:
  ByteCallExpander(Function &placeholder, unsigned widest, Operation operation)
      : placeholder(placeholder), operation(std::move(operation)), widest(widest) {}

  Error run() {
    SmallVector<CallInst *> calls;
    for (User *user : placeholder.users()) {
      auto *call = dyn_cast<CallInst>(user);
      if (!call || !all_of(drop_begin(call->args()), [](Value *v) { return isa<ConstantInt>(v); }))
        return createStringError("a use of '" + placeholder.getName() +
                                 "' with operands that are no constants");
      calls.push_back(call);
    }
    SmallVector<InsertElementInst *> ends;
    for (CallInst *call : calls)
      if (auto *insert = chainLink(call->hasOneUse() ? call->user_back() : nullptr))
        if (!insert->hasOneUse() || !chainLink(insert->user_back()) ||
            insert->user_back()->getOperand(0) != insert)
          ends.push_back(insert);
    // A chain may begin with another: none is touched before all have been followed.
    SmallVector<std::pair<InsertElementInst *, Value *>> results;
    for (InsertElementInst *end : ends)
      if (Value *result = expandChain(end))
        results.push_back({end, result});
    for (auto [end, result] : results)
      end->replaceAllUsesWith(result);
    for (CallInst *call : calls)
      if (!call->use_empty())
        expandOne(call);
    for (CallInst *call : calls)
      call->eraseFromParent();
    return Error::success();
  }

private:
  CallInst *byteCall(Value *value) const {
    auto *call = dyn_cast<CallInst>(value);
    return call && call->getCalledFunction() == &placeholder ? call : nullptr;
  }
  /// `user` as an insertion of a call's result into a lane.
  InsertElementInst *chainLink(User *user) const {
    auto *insert = dyn_cast_if_present<InsertElementInst>(user);
    return insert && isa<ConstantInt>(insert->getOperand(2)) && byteCall(insert->getOperand(1))
               ? insert
               : nullptr;
  }

  /// What a chain amounts to: the operation on a vector of its bytes. Lanes that it does not fill
  /// must be poison: LLVM lets users of the first lanes take the vector from the middle of a chain.
  /// Null if it is no such chain.
  Value *expandChain(InsertElementInst *end) {
    auto *type = cast<FixedVectorType>(end->getType());
    SmallVector<CallInst *> calls(type->getNumElements(), nullptr);
    Value *base = end;
    while (auto *link = chainLink(dyn_cast<InsertElementInst>(base))) {
      CallInst *&call = calls[cast<ConstantInt>(link->getOperand(2))->getZExtValue()];
      if (!call) // a later insertion hides an earlier one
        call = byteCall(link->getOperand(1));
      base = link->getOperand(0);
    }
    if (is_contained(calls, nullptr) && !isa<PoisonValue>(base))
      return nullptr;
    CallInst &any = *byteCall(end->getOperand(1));
    for (CallInst *call : calls)
      if (call && !equal(drop_begin(call->args()), drop_begin(any.args())))
        return nullptr;
    IRBuilder<> builder(end);
    return expand(builder, bytesOf(builder, calls), any);
  }

  /// The bytes of the calls as a vector: the one they were extracted from, where there is one.
  /// Lanes without a call are poison.
  Value *bytesOf(IRBuilder<> &builder, ArrayRef<CallInst *> calls) {
    Value *source = nullptr;
    SmallVector<int> mask;
    for (CallInst *call : calls) {
      if (!call) {
        mask.push_back(PoisonMaskElem);
        continue;
      }
      auto *extract = dyn_cast<ExtractElementInst>(call->getArgOperand(0));
      auto *index = extract ? dyn_cast<ConstantInt>(extract->getIndexOperand()) : nullptr;
      if (!index || (source && extract->getVectorOperand() != source))
        return gather(builder, calls);
      source = extract->getVectorOperand();
      mask.push_back(int(index->getZExtValue()));
    }
    return builder.CreateShuffleVector(source, mask);
  }
  Value *gather(IRBuilder<> &builder, ArrayRef<CallInst *> calls) {
    Value *bytes = PoisonValue::get(FixedVectorType::get(builder.getInt8Ty(), calls.size()));
    for (auto [lane, call] : enumerate(calls))
      if (call)
        bytes = builder.CreateInsertElement(bytes, call->getArgOperand(0), uint64_t(lane));
    return bytes;
  }

  /// A call that Halide left alone: in lane 0 of a vector.
  void expandOne(CallInst *call) {
    IRBuilder<> builder(call);
    Value *bytes = builder.CreateVectorSplat(16, call->getArgOperand(0));
    call->replaceAllUsesWith(
        builder.CreateExtractElement(expand(builder, bytes, *call), uint64_t(0)));
  }

  /// Any number of bytes, in vectors of 16, 32 or 64.
  Value *expand(IRBuilder<> &builder, Value *bytes, CallInst &call) {
    unsigned lanes = cast<FixedVectorType>(bytes->getType())->getNumElements();
    unsigned width = widest;
    while (width > 16 && width / 2 >= lanes)
      width /= 2;
    SmallVector<Value *> pieces;
    for (unsigned first = 0; first < lanes; first += width) {
      SmallVector<int> mask;
      for (unsigned i = 0; i < width; ++i)
        mask.push_back(int(std::min(first + i, lanes - 1)));
      pieces.push_back(operation(builder, builder.CreateShuffleVector(bytes, mask), call));
    }
    Value *result = pieces.front();
    while (pieces.size() > 1) { // pairs, the last repeated where their number is odd
      SmallVector<Value *> joined;
      for (size_t i = 0; i < pieces.size(); i += 2) {
        Value *second = pieces[std::min(i + 1, pieces.size() - 1)];
        unsigned size = cast<FixedVectorType>(pieces[i]->getType())->getNumElements();
        SmallVector<int> mask(2 * size);
        for (unsigned lane = 0; lane < 2 * size; ++lane)
          mask[lane] = int(lane);
        joined.push_back(builder.CreateShuffleVector(pieces[i], second, mask));
      }
      pieces = joined;
      result = pieces.front();
    }
    SmallVector<int> mask;
    for (unsigned i = 0; i < lanes; ++i)
      mask.push_back(int(i));
    return builder.CreateShuffleVector(result, mask);
  }

  Function &placeholder;
  Operation operation;
  unsigned widest;
};

unsigned sizeOf(Value *bytes) { return cast<FixedVectorType>(bytes->getType())->getNumElements(); }

/// The bytes of a table of 16 that lie at `codes`, below 16. Two words hold the table.
Value *lookUp(IRBuilder<> &builder, Value *codes, CallInst &call, bool isArm) {
  SmallVector<uint8_t> bytes;
  for (unsigned i = 0; i < sizeOf(codes); ++i) {
    uint64_t word = cast<ConstantInt>(call.getArgOperand(1 + i % 16 / 8))->getZExtValue();
    bytes.push_back(uint8_t(word >> (i % 8 * 8)));
  }
  Constant *table = ConstantDataVector::get(call.getContext(), bytes);
  if (isArm)
    return builder.CreateIntrinsic(Intrinsic::aarch64_neon_tbl1, {codes->getType()},
                                   {table, codes});
  switch (sizeOf(codes)) {
  case 64:
    return builder.CreateIntrinsic(Intrinsic::x86_avx512_pshuf_b_512, {table, codes});
  case 32:
    return builder.CreateIntrinsic(Intrinsic::x86_avx2_pshuf_b, {table, codes});
  default:
    return builder.CreateIntrinsic(Intrinsic::x86_ssse3_pshuf_b_128, {table, codes});
  }
}

/// The bytes themselves, of which LLVM then knows nothing: an empty piece of assembly, which has
/// them in a register.
Value *hide(IRBuilder<> &builder, Value *bytes, const char *constraints) {
  Type *type = bytes->getType();
  InlineAsm *nothing = InlineAsm::get(FunctionType::get(type, {type}, false), "", constraints,
                                      /*hasSideEffects=*/false);
  CallInst *call = builder.CreateCall(nothing, bytes);
  call->setMemoryEffects(MemoryEffects::none());
  call->setDoesNotThrow();
  return call;
}

/// Loads become prefetches to the second level; the calls are 0.
Error expandPrefetches(Function &placeholder) {
  for (User *user : make_early_inc_range(placeholder.users())) {
    auto *call = dyn_cast<CallInst>(user);
    auto *load = call ? dyn_cast<LoadInst>(call->getArgOperand(0)) : nullptr;
    if (!load)
      return createStringError("a use of '" + placeholder.getName() + "' without a load");
    IRBuilder<> builder(call);
    constexpr int read = 0, secondLevel = 2, data = 1;
    builder.CreateIntrinsic(Intrinsic::prefetch, {load->getPointerOperandType()},
                            {load->getPointerOperand(), builder.getInt32(read),
                             builder.getInt32(secondLevel), builder.getInt32(data)});
    call->replaceAllUsesWith(ConstantInt::get(call->getType(), 0));
    call->eraseFromParent();
    if (load->use_empty())
      load->eraseFromParent();
  }
  return Error::success();
}

} // namespace

Error expandPlaceholders(Module &module, const TargetInfo &target) {
  for (Function &function : module) {
    if (!function.getName().starts_with(prefix) || function.use_empty())
      continue;
    if (function.getName() == "tern_placeholder_prefetch") {
      if (Error error = expandPrefetches(function))
        return error;
      continue;
    }
    StringRef name = function.getName().drop_front(prefix.size());
    const bool isArm = target.family == "arm";
    Operation operation;
    if (name == "lookup16" && target.byteShuffle)
      operation = [&](IRBuilder<> &builder, Value *bytes, CallInst &call) {
        return lookUp(builder, bytes, call, isArm);
      };
    if (name == "hide")
      operation = [&](IRBuilder<> &builder, Value *bytes, CallInst &) {
        const char *any = isArm ? "=w,0" : target.vectorBytes == 64 ? "=v,0" : "=x,0";
        return hide(builder, bytes, any);
      };
    if (!operation)
      return createStringError("target " + target.name + " has no instruction for '" + name + "'");
    unsigned widest = name == "hide" ? target.vectorBytes : target.byteShuffle;
    if (Error error = ByteCallExpander(function, widest, std::move(operation)).run())
      return error;
  }
  return Error::success();
}

Error checkSelfContained(const Module &module) {
  for (const Function &function : module)
    if (function.isDeclaration() && !function.isIntrinsic() && !function.use_empty())
      return createStringError("calls '" + function.getName() +
                               "', but kernels have no library to call");
  for (const GlobalVariable &variable : module.globals()) {
    if (variable.isDeclaration() && !variable.use_empty())
      return createStringError("uses '" + variable.getName() + "', which nothing defines");
    if (variable.isThreadLocal())
      return createStringError("has thread-local data '" + variable.getName() + "'");
  }
  return Error::success();
}

} // namespace tern
