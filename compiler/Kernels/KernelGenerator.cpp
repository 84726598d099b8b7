// Runs Halide on a kernel: one pipeline per range of row counts, lowered to bitcode.
#include "compiler/Kernels/KernelGenerator.h"

#include "compiler/Kernels/AnonymousFile.h"
#include "compiler/Kernels/ExpertRows.h"
#include "compiler/Kernels/KernelBuilder.h"
#include "targets/cpu/Schedule.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/MemoryBuffer.h"
#include <cstdio>
#include <sstream>

using namespace mlir;

namespace tern {
namespace {

bool hasExperts(KernelOp kernel) {
  return llvm::any_of(kernel.getBody().front(), [](Operation &op) {
    auto linear = dyn_cast<LinearOp>(op);
    return linear && linear.getExperts();
  });
}

/// Rows of a call from which on weights are decoded once for all rows, and the most rows that one
/// such call takes: their sums take 8 KiB a part.
constexpr int32_t manyRows = 12, mostRows = 64;

/// A block of rows of a linear layer. Where it takes fewer outputs at a time than a tile has, it
/// would walk several times through each tile, past half of it and more, which the processor does
/// not fetch ahead (four rows of Q4_K took seven times as long as one on AVX2): it decodes once.
/// Floats, groups too large to decode at once and items of experts walk so still.
RowRange rowBlock(int32_t rows, const TargetInfo &target) {
  bool wholeTile = target.outputsPerBlock(rows) == int(target.layout.tileRows);
  return {.min = rows, .max = rows, .block = rows, .ofBlocks = true, .decodesOnce = !wholeTile};
}

/// Linear layers take rows in blocks, and one row in a form of its own; other kernels loop over
/// rows. Linear layers of experts have a variant for each size of items, attention for each phase.
llvm::SmallVector<RowRange> rowRangesOf(KernelOp kernel, DimSymbol rows, const TargetInfo &target) {
  if (hasExperts(kernel)) {
    llvm::SmallVector<RowRange> ranges;
    for (int block : ExpertRowsLayout::blockOf)
      ranges.push_back({.min = block, .max = block, .block = block, .ofExperts = true});
    return ranges;
  }
  if (kernel.find<AttentionOp>()) {
    llvm::SmallVector<RowRange> ranges(3);
    ranges[TERN_PHASE_BLOCKS].phase = TERN_PHASE_BLOCKS;
    ranges[TERN_PHASE_MERGE].phase = TERN_PHASE_MERGE;
    return ranges;
  }
  if (!kernel.find<LinearOp>() || rows == DimSymbol::None)
    return {{1, INT32_MAX, 1}};
  RowRange four = rowBlock(4, target), many = four;
  many.min = manyRows;
  many.max = mostRows;
  many.decodesOnce = true;
  // Apart from `many`, whose fewest rows say how far each fetches ahead: too far for many of them.
  if (four.decodesOnce)
    four.max = 8;
  return {{1, 1, 1}, many, four, rowBlock(3, target), rowBlock(2, target)};
}

VariantUse useOf(KernelOp kernel, llvm::ArrayRef<RowRange> ranges) {
  if (hasExperts(kernel))
    return VariantUse::All;
  if (kernel.find<AttentionOp>())
    return VariantUse::Phases;
  return ranges.back().ofBlocks ? VariantUse::Blocks : VariantUse::ByRows;
}

DimSymbol rowSymbolOf(KernelOp kernel) {
  for (Operation &op : kernel.getBody().front())
    for (Value result : op.getResults())
      if (RowCount rows = rowCountOf(result); !rows.isStatic())
        return rows.symbol;
  for (Value argument : kernel.getBody().front().getArguments())
    if (RowCount rows = rowCountOf(argument); !rows.isStatic())
      return rows.symbol;
  return DimSymbol::None;
}

using Scheduler = void (*)(KernelStages &, const TargetInfo &);

Scheduler schedulerOf(llvm::StringRef family) {
  return llvm::StringSwitch<Scheduler>(family).Cases({"x86", "arm"}, scheduleCpu).Default(nullptr);
}

// Halide addresses within a buffer by i32 unless told otherwise.
bool needsLargeBuffers(const KernelSignature &signature) {
  return llvm::any_of(signature.arguments, [](const KernelArgument &argument) {
    const Extent &bytes = argument.component.bytes;
    if (argument.component.space == Space::KvKey || argument.component.space == Space::KvValue)
      return false; // the runtime bounds them (maxCacheElements)
    return bytes.at(TERN_MAX_ROWS, TERN_MAX_ROWS) > uint64_t(INT32_MAX);
  });
}

/// Floats are strict: a row's bits must not depend on the variant that computes it.
Halide::Target halideTarget(const TargetInfo &target, const KernelSignature &signature) {
  Halide::Target result(target.halideTarget +
                        "-no_runtime-no_asserts-no_bounds_query-strict_float");
  if (needsLargeBuffers(signature))
    result.set_feature(Halide::Target::LargeBuffers);
  return result;
}

/// Halide writes bitcode to files only.
llvm::Expected<std::string> bitcodeOf(const Halide::Module &module) {
  llvm::Expected<AnonymousFile> file = createAnonymousFile();
  if (!file)
    return file.takeError();
  std::string path = "/dev/fd/" + std::to_string(fileno(file->get()));
  module.compile({{Halide::OutputFileType::bitcode, path}});
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return llvm::createStringError(buffer.getError(), "cannot read back " + path);
  return (*buffer)->getBuffer().str();
}

/// Sums of float products run twice as fast fused. Integer layers keep products and sums apart:
/// they are bound by memory or by the integer products, and so have the same bits on every target.
bool fusesMultiplyAdd(const KernelStages &stages) {
  return !stages.attentions.empty() || llvm::any_of(stages.linear, [](const LinearStages &s) {
    return s.form == DotForm::Float;
  });
}

llvm::Expected<KernelVariant> generateVariant(KernelOp kernel, const TargetInfo &target,
                                              const KernelSignature &signature, RowRange range,
                                              Scheduler schedule) {
  KernelBuilder builder(kernel, target, signature, range);
  if (llvm::Error error = builder.build())
    return std::move(error);
  schedule(builder.stages(), target);
  KernelVariant variant;
  variant.functionName = signature.name + "_rows" + std::to_string(range.min);
  if (range.phase != TERN_PHASE_WHOLE)
    variant.functionName += range.phase == TERN_PHASE_BLOCKS ? "_blocks" : "_merge";
  variant.minRows = range.min;
  variant.maxRows = range.max;
  variant.block = range.block;
  variant.rows = rowSymbolOf(kernel);
  variant.parameters = builder.bindings();
  variant.fuseMultiplyAdd = fusesMultiplyAdd(builder.stages());
  Halide::Module module = builder.pipeline().compile_to_module(
      builder.arguments(), variant.functionName, halideTarget(target, signature));
  std::ostringstream stmt;
  stmt << module;
  variant.stmt = stmt.str();
  llvm::Expected<std::string> bitcode = bitcodeOf(module);
  if (!bitcode)
    return bitcode.takeError();
  variant.bitcode = std::move(*bitcode);
  return variant;
}

llvm::Error inKernel(llvm::StringRef name, const llvm::Twine &message) {
  return llvm::createStringError("kernel '" + name + "': " + message);
}

/// Halide's warnings are about bounds queries and assertions that kernels are built without;
/// printed, they would stand before the one line that says why a worker failed.
class QuietReporter : public Halide::CompileTimeErrorReporter {
  void warning(const char *) override {}
  [[noreturn]] void error(const char *message) override { throw Halide::CompileError(message); }
};

} // namespace

llvm::Expected<GeneratedKernel> generateKernel(KernelOp kernel, const TargetInfo &target) {
  static QuietReporter reporter;
  Halide::set_custom_compile_time_error_reporter(&reporter);
  llvm::StringRef name = kernel.getSymName();
  Scheduler schedule = schedulerOf(target.family);
  if (!schedule)
    return inKernel(name, "no kernel schedules exist for the target family " + target.family);
  llvm::SmallVector<RowRange> ranges = rowRangesOf(kernel, rowSymbolOf(kernel), target);
  GeneratedKernel result{describeKernel(kernel, target), useOf(kernel, ranges), {}};
  for (RowRange range : ranges) {
    // Halide reports misuse by exceptions, which end here.
    try {
      llvm::Expected<KernelVariant> variant =
          generateVariant(kernel, target, result.signature, range, schedule);
      if (!variant)
        return inKernel(name, llvm::toString(variant.takeError()));
      result.variants.push_back(std::move(*variant));
    } catch (const Halide::Error &error) {
      return inKernel(name, llvm::Twine("Halide: ") + error.what());
    }
  }
  return result;
}

} // namespace tern
