#include "compiler/CodeGen/MemoryRoutines.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/SourceMgr.h"

using namespace llvm;

namespace tern {
namespace {

// 32 bytes a step, then single bytes. `no-builtins` keeps LLVM from recognising the loops and
// calling the routine from within itself. memmove copies upwards or downwards; memcpy is its upward
// half.
constexpr StringLiteral routines = R"(
$memset = comdat any
$memcpy = comdat any
$memmove = comdat any

define linkonce_odr hidden ptr @memset(ptr returned %to, i32 %value, i64 %size) #0 comdat {
entry:
  %byte = trunc i32 %value to i8
  %one = insertelement <32 x i8> poison, i8 %byte, i64 0
  %line = shufflevector <32 x i8> %one, <32 x i8> poison, <32 x i32> zeroinitializer
  %bulk = and i64 %size, -32
  %anyBulk = icmp ne i64 %bulk, 0
  br i1 %anyBulk, label %lines, label %tail
lines:
  %i = phi i64 [ 0, %entry ], [ %iNext, %lines ]
  %iTo = getelementptr i8, ptr %to, i64 %i
  store <32 x i8> %line, ptr %iTo, align 1
  %iNext = add i64 %i, 32
  %iMore = icmp ult i64 %iNext, %bulk
  br i1 %iMore, label %lines, label %tail
tail:
  %anyTail = icmp ult i64 %bulk, %size
  br i1 %anyTail, label %bytes, label %done
bytes:
  %j = phi i64 [ %bulk, %tail ], [ %jNext, %bytes ]
  %jTo = getelementptr i8, ptr %to, i64 %j
  store i8 %byte, ptr %jTo, align 1
  %jNext = add i64 %j, 1
  %jMore = icmp ult i64 %jNext, %size
  br i1 %jMore, label %bytes, label %done
done:
  ret ptr %to
}

define linkonce_odr hidden ptr @memcpy(ptr returned %to, ptr %from, i64 %size) #0 comdat {
entry:
  %bulk = and i64 %size, -32
  %anyBulk = icmp ne i64 %bulk, 0
  br i1 %anyBulk, label %lines, label %tail
lines:
  %i = phi i64 [ 0, %entry ], [ %iNext, %lines ]
  %iFrom = getelementptr i8, ptr %from, i64 %i
  %iTo = getelementptr i8, ptr %to, i64 %i
  %line = load <32 x i8>, ptr %iFrom, align 1
  store <32 x i8> %line, ptr %iTo, align 1
  %iNext = add i64 %i, 32
  %iMore = icmp ult i64 %iNext, %bulk
  br i1 %iMore, label %lines, label %tail
tail:
  %anyTail = icmp ult i64 %bulk, %size
  br i1 %anyTail, label %bytes, label %done
bytes:
  %j = phi i64 [ %bulk, %tail ], [ %jNext, %bytes ]
  %jFrom = getelementptr i8, ptr %from, i64 %j
  %jTo = getelementptr i8, ptr %to, i64 %j
  %byte = load i8, ptr %jFrom, align 1
  store i8 %byte, ptr %jTo, align 1
  %jNext = add i64 %j, 1
  %jMore = icmp ult i64 %jNext, %size
  br i1 %jMore, label %bytes, label %done
done:
  ret ptr %to
}

define linkonce_odr hidden ptr @memmove(ptr returned %to, ptr %from, i64 %size) #0 comdat {
entry:
  %toInt = ptrtoint ptr %to to i64
  %fromInt = ptrtoint ptr %from to i64
  %distance = sub i64 %toInt, %fromInt
  %upwards = icmp uge i64 %distance, %size
  br i1 %upwards, label %copy, label %downwards
copy:
  %copied = call ptr @memcpy(ptr %to, ptr %from, i64 %size)
  ret ptr %to
downwards:
  %i = phi i64 [ %size, %entry ], [ %iNext, %bytes ]
  %more = icmp ne i64 %i, 0
  br i1 %more, label %bytes, label %done
bytes:
  %iNext = sub i64 %i, 1
  %iFrom = getelementptr i8, ptr %from, i64 %iNext
  %iTo = getelementptr i8, ptr %to, i64 %iNext
  %byte = load i8, ptr %iFrom, align 1
  store i8 %byte, ptr %iTo, align 1
  br label %downwards
done:
  ret ptr %to
}

@llvm.compiler.used = appending global [3 x ptr] [ptr @memset, ptr @memcpy, ptr @memmove],
    section "llvm.metadata"
attributes #0 = { nounwind noinline "no-builtins" }
)";

bool usesMemoryRoutines(const Module &module) {
  for (const Function &function : module) {
    if (function.isDeclaration() && !function.isIntrinsic() &&
        is_contained({"memset", "memcpy", "memmove"}, function.getName()))
      return true;
    for (const BasicBlock &block : function)
      for (const Instruction &instruction : block)
        if (isa<MemIntrinsic>(instruction))
          return true;
  }
  return false;
}

} // namespace

Error linkMemoryRoutines(Module &module) {
  if (!usesMemoryRoutines(module))
    return Error::success();
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> parsed = parseAssemblyString(routines, diagnostic, module.getContext());
  if (!parsed)
    return createStringError("memory routines: " + diagnostic.getMessage());
  parsed->setTargetTriple(module.getTargetTriple());
  parsed->setDataLayout(module.getDataLayout());
  if (Linker::linkModules(module, std::move(parsed)))
    return createStringError("memory routines: cannot be linked into the kernel");
  return Error::success();
}

} // namespace tern
