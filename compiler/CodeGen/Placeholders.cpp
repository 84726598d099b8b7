#include "compiler/CodeGen/Placeholders.h"

using namespace llvm;

namespace tern {

Error expandPlaceholders(Module &module, const TargetInfo &target) {
  constexpr StringLiteral prefix = "tern_placeholder_";
  for (const Function &function : module)
    if (function.getName().starts_with(prefix) && !function.use_empty())
      return createStringError("target " + target.name + " has no instruction for '" +
                               function.getName().drop_front(prefix.size()) + "'");
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
