#include "compiler/CodeGen/FusedMultiplyAdd.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"

using namespace llvm;

namespace tern {
namespace {

BinaryOperator *asProduct(Value *value) {
  auto *operation = dyn_cast<BinaryOperator>(value);
  return operation && operation->getOpcode() == Instruction::FMul ? operation : nullptr;
}

Value *fused(BinaryOperator &sum) {
  BinaryOperator *left = asProduct(sum.getOperand(0)), *right = asProduct(sum.getOperand(1));
  if (bool(left) == bool(right))
    return nullptr;
  IRBuilder<> builder(&sum);
  BinaryOperator *product = left ? left : right;
  Value *a = product->getOperand(0), *b = product->getOperand(1);
  Value *c = sum.getOperand(left ? 1 : 0);
  if (sum.getOpcode() == Instruction::FSub)
    (left ? c : a) = builder.CreateFNeg(left ? c : a);
  return builder.CreateIntrinsic(Intrinsic::fma, {sum.getType()}, {a, b, c});
}

} // namespace

void fuseMultiplyAdd(Function &function) {
  for (Instruction &instruction : make_early_inc_range(instructions(function))) {
    unsigned opcode = instruction.getOpcode();
    if (opcode != Instruction::FAdd && opcode != Instruction::FSub)
      continue;
    if (Value *value = fused(cast<BinaryOperator>(instruction))) {
      instruction.replaceAllUsesWith(value);
      instruction.eraseFromParent();
    }
  }
}

} // namespace tern
