// The table of all targets, one part per family.
#include "targets/TargetInfo.h"

#include "targets/arm/Targets.h"
#include "targets/x86/Targets.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace tern {

static std::vector<TargetInfo> allTargets() {
  std::vector<TargetInfo> targets = x86Targets();
  append_range(targets, armTargets());
  return targets;
}

Expected<TargetInfo> lookupTarget(StringRef name) {
  if (name == "host")
    return hostX86Target();
  for (TargetInfo &target : allTargets())
    if (target.name == name)
      return target;
  return createStringError("unknown target '" + name + "'; known are host, " +
                           join(listTargets(), ", "));
}

std::vector<std::string> listTargets() {
  std::vector<std::string> names;
  for (const TargetInfo &target : allTargets())
    names.push_back(target.name);
  return names;
}

} // namespace tern
