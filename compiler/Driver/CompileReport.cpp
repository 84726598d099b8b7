// Figures come from the written model and the builds; nothing is measured here.
#include "compiler/Driver/CompileReport.h"

#include "compiler/Artifact/OutputFile.h"
#include "compiler/Artifact/VariantWeights.h"
#include "compiler/Driver/Printable.h"
#include "compiler/Driver/QuantizationReport.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace mlir;

namespace tern {
namespace {

/// Which weights each variant's plans read.
VariantWeights variantWeights(const fb::ArtifactT &table) {
  std::vector<uint64_t> sizes;
  for (const auto &tensor : table.tensors)
    sizes.push_back(tensor->size);
  VariantWeights weights(std::move(sizes));
  for (const auto &variant : table.variants) {
    std::vector<uint32_t> read;
    for (const auto &plan : variant->plans)
      for (const auto &buffer : plan->buffers)
        if (buffer->space == fb::MemorySpace::tensor)
          read.push_back(buffer->index);
    weights.addVariant(read);
  }
  return weights;
}

} // namespace

llvm::Error report(const CompileResult &result) {
  const ArtifactModel &model = result.model;
  const CompileOptions &options = result.options;
  const VariantWeights weights = variantWeights(model.table);
  if (result.builds.size() > 1)
    for (auto [index, build] : llvm::enumerate(result.builds)) {
      const VariantWeights::Bytes bytes = weights.of(index);
      llvm::errs() << llvm::format(
          "%s: %.1f MB of weights shared with other variants, %.1f MB of its own\n",
          build.target.name.c_str(), double(bytes.shared) / 1e6, double(bytes.own) / 1e6);
    }
  if (result.calibration)
    print(*result.calibration, llvm::errs());
  QuantizationReport quantization(model);
  quantization.print(llvm::errs());
  if (result.budget)
    print(*result.budget, llvm::errs());
  std::string warning = quantization.ternaryWarning();
  if (!warning.empty())
    llvm::errs() << "ternc: " << printable(options.input) << ": WARNING: " << warning << '\n';
  if (options.timing) {
    for (const StageTimer::Stage &stage : result.timer.stages())
      llvm::errs() << llvm::format("%-10s %8.3f s\n", stage.name.c_str(), stage.seconds);
    llvm::errs() << llvm::format("%-10s %8.3f s\n", "total", result.timer.total());
  }
  if (!options.json)
    return llvm::Error::success();
  llvm::json::Object stages, root;
  for (const StageTimer::Stage &stage : result.timer.stages())
    stages[stage.name] = stage.seconds;
  llvm::json::Array variants;
  for (auto [index, build, variant] : llvm::enumerate(result.builds, model.table.variants)) {
    const VariantWeights::Bytes bytes = weights.of(index);
    llvm::json::Array kernels;
    for (auto [kernel, code] : llvm::zip(build.kernels, build.code))
      kernels.push_back(llvm::json::Object{{"name", KernelOp(kernel).getSymName()},
                                           {"from_cache", code.fromCache},
                                           {"seconds", code.seconds}});
    const fb::PlanT &plan = *variant->plans.front();
    variants.push_back(llvm::json::Object{{"target", build.target.name},
                                          {"code_bytes", build.image.bytes.size()},
                                          {"shared_weight_bytes", bytes.shared},
                                          {"own_weight_bytes", bytes.own},
                                          {"arena_bytes", plan.arena_bytes},
                                          {"arena_lower_bound_bytes", plan.arena_lower_bound},
                                          {"kernels", std::move(kernels)}});
  }
  llvm::json::Array noteArray;
  for (const std::string &note : result.notes)
    noteArray.push_back(note);
  if (!warning.empty())
    noteArray.push_back(warning);
  root["output"] = result.artifact;
  root["output_bytes"] = model.table.file_size;
  root["seconds"] = result.timer.total();
  root["stage_seconds"] = std::move(stages);
  root["variants"] = std::move(variants);
  root["weights"] = quantization.json();
  if (result.calibration)
    root["calibration"] = toJson(*result.calibration);
  if (result.budget)
    root["budget"] = toJson(*result.budget);
  root["notes"] = std::move(noteArray);
  return writeStandardOutput(llvm::formatv("{0:2}\n", llvm::json::Value(std::move(root))).str());
}

} // namespace tern
