#include "compiler/CodeGen/ObjectEmitter.h"
#include "compiler/CodeGen/FusedMultiplyAdd.h"
#include "compiler/CodeGen/MemoryRoutines.h"
#include "compiler/CodeGen/Placeholders.h"
#include "compiler/CodeGen/RoundingExpansion.h"
#include "compiler/CodeGen/Shim.h"
#include "runtime/core/KernelABI.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/DebugInfo.h"
#include "llvm/IR/DiagnosticHandler.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Linker/Linker.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/SmallVectorMemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;

namespace tern {
namespace {

std::string featureString(const TargetInfo &target) {
  std::vector<std::string> signedFeatures;
  for (const std::string &feature : target.features)
    signedFeatures.push_back("+" + feature);
  for (const std::string &setting : target.settings)
    signedFeatures.push_back("+" + setting);
  return join(signedFeatures, ",");
}

Expected<std::unique_ptr<TargetMachine>> createMachine(const TargetInfo &target) {
  static const bool initialised = [] {
    InitializeAllTargetInfos();
    InitializeAllTargets();
    InitializeAllTargetMCs();
    InitializeAllAsmPrinters();
    InitializeAllAsmParsers();
    return true;
  }();
  (void)initialised;
  std::string message;
  Triple triple(target.triple);
  const Target *backend = TargetRegistry::lookupTarget(triple, message);
  if (!backend)
    return createStringError("target " + target.name + ": " + message);
  TargetOptions options;
  options.FunctionSections = true;
  options.DataSections = true;
  std::unique_ptr<TargetMachine> machine(
      backend->createTargetMachine(triple, target.cpu, featureString(target), options, Reloc::PIC_,
                                   CodeModel::Small, CodeGenOptLevel::Aggressive));
  if (!machine)
    return createStringError("target " + target.name + ": no code generator for " + target.triple);
  return machine;
}

// Intrinsics may become calls of a C library while instructions are selected, so only the object
// tells.
Error checkNoImports(StringRef bytes) {
  Expected<std::unique_ptr<object::ObjectFile>> object =
      object::ObjectFile::createObjectFile(MemoryBufferRef(bytes, "object"));
  if (!object)
    return object.takeError();
  for (const object::SymbolRef &symbol : (*object)->symbols()) {
    Expected<uint32_t> flags = symbol.getFlags();
    if (!flags)
      return flags.takeError();
    Expected<StringRef> name = symbol.getName();
    if (!name)
      return name.takeError();
    if ((*flags & object::SymbolRef::SF_Undefined) && !name->empty())
      return createStringError("calls '" + *name + "', but kernels have no library to call");
  }
  return Error::success();
}

/// Keeps the largest stack frame that code generation reports as too large ("warn-stack-size"):
/// storage for a loop that ends earlier than Halide can tell, or attention of hundreds of heads.
class StackSizeHandler : public DiagnosticHandler {
public:
  explicit StackSizeHandler(uint64_t &largest) : largest(largest) {}
  bool handleDiagnostics(const DiagnosticInfo &info) override {
    auto *size = dyn_cast<DiagnosticInfoStackSize>(&info);
    if (size)
      largest = std::max(largest, size->getStackSize());
    return size != nullptr;
  }

private:
  uint64_t &largest;
};

/// Bytes to which callers align the stack, on x86-64 and on AArch64.
constexpr unsigned abiStackAlignment = 16;

class Emitter {
public:
  Emitter(const GeneratedKernel &kernel, const TargetInfo &target, TargetMachine &machine)
      : kernel(kernel), target(target), machine(machine),
        module(std::make_unique<Module>(kernel.signature.name, context)) {
    prepareModule(*module);
    context.setDiagnosticHandler(std::make_unique<StackSizeHandler>(stackBytes));
  }

  Expected<std::string> run(EmitKind kind);

private:
  void prepareModule(Module &m) {
    m.setTargetTriple(machine.getTargetTriple());
    m.setDataLayout(machine.createDataLayout());
  }
  Expected<Function *> linkVariant(const KernelVariant &variant, size_t number);
  Error verify();
  void setFunctionAttributes();
  void optimise();
  Expected<std::string> emit(EmitKind kind);

  const GeneratedKernel &kernel;
  const TargetInfo &target;
  TargetMachine &machine;
  LLVMContext context;
  uint64_t stackBytes = 0; ///< of the largest frame that is refused
  std::unique_ptr<Module> module;
};

// Halide names symbols by counters of its process; only the entry keeps a name, and that name is
// made from the kernel's.
Expected<Function *> Emitter::linkVariant(const KernelVariant &variant, size_t number) {
  MemoryBufferRef bitcode(variant.bitcode, variant.functionName);
  Expected<std::unique_ptr<Module>> parsed = parseBitcodeFile(bitcode, context);
  if (!parsed)
    return parsed.takeError();
  Module &source = **parsed;
  prepareModule(source);
  source.setSourceFileName(kernel.signature.name);
  Function *function = source.getFunction(variant.functionName);
  if (!function || function->isDeclaration())
    return createStringError("the bitcode defines no function '" + variant.functionName + "'");
  std::string name = (kernel.signature.name + ".variant" + Twine(number)).str();
  function->setName(name);
  for (GlobalValue &value : source.global_values()) {
    if (value.isDeclaration())
      continue;
    value.setVisibility(GlobalValue::DefaultVisibility);
    // External for the moment of linking, so that the linker keeps it.
    value.setLinkage(&value == function ? GlobalValue::ExternalLinkage
                                        : GlobalValue::InternalLinkage);
  }
  if (variant.fuseMultiplyAdd && target.hasFusedMultiplyAdd)
    for (Function &defined : source)
      fuseMultiplyAdd(defined);
  if (Linker::linkModules(*module, std::move(*parsed)))
    return createStringError("variant " + Twine(number) + " cannot be linked");
  function = module->getFunction(name);
  function->setLinkage(GlobalValue::InternalLinkage);
  return function;
}

Error Emitter::verify() {
  std::string message;
  raw_string_ostream stream(message);
  if (verifyModule(*module, &stream))
    return createStringError("invalid LLVM IR: " + StringRef(message).trim());
  return Error::success();
}

void Emitter::setFunctionAttributes() {
  std::string features = featureString(target);
  for (Function &function : *module) {
    if (function.isDeclaration())
      continue;
    for (const char *stale : {"target-cpu", "target-features", "tune-cpu", "frame-pointer",
                              "probe-stack", "stack-probe-size"})
      function.removeFnAttr(stale);
    function.removeFnAttr(Attribute::UWTable);
    function.addFnAttr("target-cpu", target.cpu);
    function.addFnAttr("target-features", features);
    function.addFnAttr("warn-stack-size", utostr(TERN_KERNEL_STACK_BYTES));
    function.addFnAttr(Attribute::NoRedZone);
    function.addFnAttr(Attribute::NoUnwind);
    // Else vectors are spilled where they cross cache lines, and reloaded late.
    if (target.vectorBytes > abiStackAlignment)
      function.addFnAttr("stackrealign");
  }
}

// Halide has unrolled and vectorised as the schedule says; LLVM must not do it again.
void Emitter::optimise() {
  PipelineTuningOptions tuning;
  tuning.LoopUnrolling = false;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  tuning.LoopInterleaving = false;
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager graph;
  ModuleAnalysisManager modules;
  PassBuilder passes(&machine, tuning);
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(graph);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, graph, modules);
  passes.buildPerModuleDefaultPipeline(OptimizationLevel::O2).run(*module, modules);
}

Expected<std::string> Emitter::emit(EmitKind kind) {
  if (kind == EmitKind::LLVM) {
    std::string text;
    raw_string_ostream(text) << *module;
    return text;
  }
  SmallString<0> bytes;
  raw_svector_ostream stream(bytes);
  legacy::PassManager passes;
  CodeGenFileType type =
      kind == EmitKind::Object ? CodeGenFileType::ObjectFile : CodeGenFileType::AssemblyFile;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, type))
    return createStringError("target " + target.name + " cannot emit this kind of file");
  passes.run(*module);
  if (stackBytes)
    return createStringError("takes " + Twine(stackBytes) + " bytes of stack, at most " +
                             Twine(TERN_KERNEL_STACK_BYTES) + " are allowed");
  if (kind == EmitKind::Object)
    if (Error error = checkNoImports(bytes))
      return error;
  return std::string(bytes);
}

Expected<std::string> Emitter::run(EmitKind kind) {
  SmallVector<Function *> functions;
  for (auto [number, variant] : enumerate(kernel.variants)) {
    Expected<Function *> function = linkVariant(variant, number);
    if (!function)
      return function.takeError();
    functions.push_back(*function);
  }
  if (Error error = defineShim(*module, kernel, functions))
    return error;
  if (Error error = expandPlaceholders(*module, target))
    return error;
  if (!target.hasRounding)
    expandRounding(*module);
  StripDebugInfo(*module);
  setFunctionAttributes();
  if (Error error = verify())
    return error;
  optimise();
  if (Error error = linkMemoryRoutines(*module))
    return error;
  setFunctionAttributes();
  if (Error error = checkSelfContained(*module))
    return error;
  if (Error error = verify())
    return error;
  return emit(kind);
}

} // namespace

Expected<std::string> emitKernelCode(const GeneratedKernel &kernel, const TargetInfo &target,
                                     EmitKind kind) {
  auto named = [&](Error error) -> Error {
    return createStringError("kernel '" + kernel.signature.name +
                             "': " + toString(std::move(error)));
  };
  if (kind == EmitKind::Stmt) {
    std::string text;
    for (const KernelVariant &variant : kernel.variants)
      text += variant.stmt;
    return text;
  }
  Expected<std::unique_ptr<TargetMachine>> machine = createMachine(target);
  if (!machine)
    return named(machine.takeError());
  Expected<std::string> code = Emitter(kernel, target, **machine).run(kind);
  if (!code)
    return named(code.takeError());
  return code;
}

} // namespace tern
