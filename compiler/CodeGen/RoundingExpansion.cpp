#include "compiler/CodeGen/RoundingExpansion.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"

using namespace llvm;

namespace tern {
namespace {

/// From 2^23 every f32 is an integer; added to a smaller magnitude it makes the addition round to
/// one, to the even one of two that are as near.
constexpr double integersBegin = 8388608;

Value *roundToEven(IRBuilder<> &builder, Value *x) {
  Type *type = x->getType();
  Constant *magic = ConstantFP::get(type, integersBegin);
  Value *magnitude = builder.CreateUnaryIntrinsic(Intrinsic::fabs, x);
  Value *rounded = builder.CreateFSub(builder.CreateFAdd(magnitude, magic), magic);
  Value *isSmall = builder.CreateFCmpOLT(magnitude, magic); // false for NaN
  return builder.CreateSelect(isSmall,
                              builder.CreateBinaryIntrinsic(Intrinsic::copysign, rounded, x), x);
}

/// Down, or up: one step back where the nearest integer lies beyond.
Value *roundDirected(IRBuilder<> &builder, Value *x, bool up) {
  Constant *one = ConstantFP::get(x->getType(), 1.0);
  Value *nearest = roundToEven(builder, x);
  Value *isBeyond = up ? builder.CreateFCmpOLT(nearest, x) : builder.CreateFCmpOGT(nearest, x);
  Value *stepped = up ? builder.CreateFAdd(nearest, one) : builder.CreateFSub(nearest, one);
  // -0.5 rounded up is -0.
  stepped = builder.CreateBinaryIntrinsic(Intrinsic::copysign, stepped, x);
  return builder.CreateSelect(isBeyond, stepped, nearest);
}

/// Null for another intrinsic.
Value *expanded(IntrinsicInst &call) {
  if (!call.getType()->getScalarType()->isFloatTy())
    return nullptr;
  IRBuilder<> builder(&call);
  Value *x = call.getArgOperand(0);
  switch (call.getIntrinsicID()) {
  case Intrinsic::rint:
  case Intrinsic::nearbyint:
  case Intrinsic::roundeven:
    return roundToEven(builder, x);
  case Intrinsic::floor:
    return roundDirected(builder, x, /*up=*/false);
  case Intrinsic::ceil:
    return roundDirected(builder, x, /*up=*/true);
  case Intrinsic::trunc: {
    Value *down = roundDirected(builder, builder.CreateUnaryIntrinsic(Intrinsic::fabs, x), false);
    return builder.CreateBinaryIntrinsic(Intrinsic::copysign, down, x);
  }
  default:
    return nullptr;
  }
}

} // namespace

void expandRounding(Module &module) {
  for (Function &function : module)
    for (Instruction &instruction : make_early_inc_range(instructions(function)))
      if (auto *call = dyn_cast<IntrinsicInst>(&instruction))
        if (Value *value = expanded(*call)) {
          call->replaceAllUsesWith(value);
          call->eraseFromParent();
        }
}

} // namespace tern
