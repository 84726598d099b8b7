// The whole compilation, stage by stage: import, quantize, fuse, plan, kernels, link, pack.
//
// Stages hand on an MLIR module; every `--emit` kind is the state between two of them. Kernels of
// all targets are compiled in one batch so that `-j` workers stay busy.
#include "compiler/Artifact/ArtifactWriter.h"
#include "compiler/Artifact/OutputFile.h"
#include "compiler/Driver/ArtifactBuilder.h"
#include "compiler/Driver/CompileReport.h"
#include "compiler/Driver/Printable.h"
#include "compiler/Driver/StaticLibrary.h"
#include "compiler/Driver/Version.h"
#include "compiler/Import/Import.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace tern;

namespace {

/// A file with all its bytes that has no name yet.
llvm::Expected<std::unique_ptr<OutputFile>> prepareFile(StringRef path, StringRef bytes) {
  auto file = OutputFile::create(path);
  if (!file)
    return file.takeError();
  if (llvm::Error error = (*file)->write(0, llvm::arrayRefFromStringRef(bytes)))
    return std::move(error);
  return file;
}

/// A complete file under its name.
llvm::Error writeFile(StringRef path, StringRef bytes) {
  auto file = prepareFile(path, bytes);
  return file ? (*file)->commit() : file.takeError();
}

class Compilation {
public:
  explicit Compilation(const CompileOptions &options)
      : options(options), progress(options.showProgress) {
    DialectRegistry registry;
    registry.insert<TernDialect, plan::PlanDialect, arith::ArithDialect, math::MathDialect,
                    func::FuncDialect>();
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
  }

  llvm::Error run();

private:
  const CompileOptions &options;
  MLIRContext context;
  ProgressLine progress;
  StageTimer timer;
  ImportedModel imported;
  std::vector<TargetBuild> builds;
  std::optional<ImportanceMatrix> imatrix;
  std::optional<Calibration> calibration;
  const ImportanceMatrix *importance = nullptr;       ///< of one of these
  std::optional<MixedPrecisionChoice> mixedPrecision; ///< with a budget
  std::vector<std::string> notes;
  PassRunner passes{options.input, notes};

  llvm::Error compile();
  llvm::Error import();
  llvm::Error requireOutputsAreNoInputs(ArrayRef<std::string> inputs) const;
  std::string artifactPath() const {
    return options.kind == OutputKind::StaticLibrary ? StaticLibraryPaths(options.output).artifact
                                                     : options.output;
  }
  llvm::Error calibrate();
  llvm::Error quantize();
  llvm::Error prepareTargets();
  llvm::Error compileKernels(EmitKind emit);
  llvm::Error writeText(llvm::function_ref<void(llvm::raw_ostream &)> print);
  llvm::Error writeModule(ModuleOp module);
  llvm::Error writeKernels();
  llvm::Error writeTern();
  llvm::Error packArtifact(ArtifactModel &model);
  llvm::Error writeLibrary(ArtifactModel &model);
  PipelineOptions pipelineOptions(const TargetInfo &target) const {
    PipelineOptions result;
    result.target = target.name;
    result.policy = options.quantize;
    result.maxBatch = options.maxBatch;
    return result;
  }
};

llvm::Error Compilation::import() {
  timer.begin("import");
  StringRef path = options.input;
  if (path.ends_with(".mlir")) {
    if (writesArtifact(options.kind))
      return llvm::createStringError(
          path.str() + ": a module in text form has no weights to pack; name a --emit kind");
    if (options.i2sBlock != 128)
      return llvm::createStringError(path.str() + ": --i2s-block is for GGUF files");
    std::string message;
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
      if (!message.empty())
        return success();
      llvm::raw_string_ostream out(message);
      if (!isa<UnknownLoc>(diagnostic.getLocation()))
        out << diagnostic.getLocation() << ": ";
      out << diagnostic;
      return success();
    });
    imported.module = parseSourceFile<ModuleOp>(path, ParserConfig(&context));
    if (!imported.module)
      return llvm::createStringError(path.str() + ": not a valid module: " + message);
    return requireOutputsAreNoInputs({path.str()});
  }
  if (llvm::sys::fs::is_directory(path))
    return llvm::createStringError(
        path.str() +
        ": reading Hugging Face directories is not built yet; convert the model to GGUF");
  if (path.ends_with(".onnx"))
    return llvm::createStringError(path.str() +
                                   ": reading ONNX is not built yet; convert the model to GGUF");
  if (!options.imatrix.empty()) {
    auto read = ImportanceMatrix::open(options.imatrix);
    if (!read)
      return read.takeError();
    imatrix = std::move(*read);
    importance = &*imatrix;
  }
  ImportOptions importOptions;
  importOptions.i2sBlock = options.i2sBlock;
  importOptions.kv = options.kv;
  importOptions.threads = options.jobs;
  auto model = importGGUF(context, path, importOptions);
  if (!model)
    return model.takeError();
  imported = std::move(*model);
  notes = imported.notes;
  std::vector<std::string> inputs = imported.inputFiles;
  for (const std::string &file : {options.imatrix, options.calibration})
    if (!file.empty())
      inputs.push_back(file);
  return requireOutputsAreNoInputs(inputs);
}

llvm::Error Compilation::requireOutputsAreNoInputs(ArrayRef<std::string> inputs) const {
  std::vector<std::string> outputs = {artifactPath()};
  if (options.kind == OutputKind::StaticLibrary) {
    StaticLibraryPaths paths(options.output);
    outputs.insert(outputs.end(), {paths.library, paths.header});
  }
  for (const std::string &file : inputs)
    for (const std::string &output : outputs)
      if (output == "-" ? isStandardOutput(file) : llvm::sys::fs::equivalent(file, output))
        return llvm::createStringError((output == "-" ? "standard output" : output) + ": is " +
                                       (file == options.imatrix       ? "the importance matrix"
                                        : file == options.calibration ? "the text of --calibration"
                                                                      : "the model") +
                                       " itself; name another output file");
  return llvm::Error::success();
}

llvm::Error Compilation::calibrate() {
  timer.begin("calibrate");
  auto result = tern::calibrate(imported, options, artifactPath(), progress, notes);
  if (!result)
    return result.takeError();
  calibration = std::move(*result);
  importance = &calibration->importance;
  return llvm::Error::success();
}

llvm::Error Compilation::quantize() {
  timer.begin("quantize");
  auto policy = QuantizationPolicy::parse(options.quantize);
  if (!policy)
    return policy.takeError();
  PipelineOptions pipeline;
  pipeline.policy = options.quantize;
  if (policy->budget() && !imported.inputFiles.empty()) {
    if (llvm::Error error = passes.run(*imported.module, [](OpPassManager &manager) {
          manager.addPass(createTernSimplify());
        }))
      return error;
    MixedPrecisionOptions mixed;
    mixed.targets = options.targets;
    mixed.inputFiles = imported.inputFiles;
    mixed.importance = importance;
    mixed.threads = options.jobs;
    auto choice = applyBudget(*imported.module, *policy, mixed);
    if (!choice)
      return llvm::createStringError(options.input + ": " + llvm::toString(choice.takeError()));
    mixedPrecision = std::move(*choice);
    pipeline.policy = policy->patterns();
  }
  return passes.run(*imported.module,
                    [&](OpPassManager &manager) { buildQuantizePipeline(manager, pipeline); });
}

llvm::Error Compilation::prepareTargets() {
  for (const std::string &name : options.targets) {
    auto target = lookupTarget(name);
    if (!target)
      return target.takeError();
    if (llvm::any_of(builds, [&](TargetBuild &build) { return build.target.name == target->name; }))
      return llvm::createStringError("target " + target->name + " is named twice");
    TargetBuild build;
    build.target = std::move(*target);
    build.module = cast<ModuleOp>(imported.module.get()->clone());
    builds.push_back(std::move(build));
  }
  timer.begin("fuse");
  for (TargetBuild &build : builds)
    if (llvm::Error error = build.fuse(passes, pipelineOptions(build.target)))
      return error;
  return llvm::Error::success();
}

llvm::Error Compilation::compileKernels(EmitKind emit) {
  timer.begin("kernels");
  progress.begin("compiling kernels", "kernels");
  KernelCompileOptions compileOptions;
  compileOptions.jobs = options.jobs;
  compileOptions.cacheLimitBytes = options.kernelCacheBytes;
  compileOptions.emit = emit;
  compileOptions.progress = [&](StringRef, size_t done, size_t count) {
    progress.update(done, count);
  };
  compileOptions.warn = [&](const std::string &warning) { notes.push_back(warning); };
  for (TargetBuild &build : builds)
    if (llvm::Error error = build.compileKernels(compileOptions))
      return error;
  progress.clear();
  if (emit != EmitKind::Object)
    return llvm::Error::success();
  timer.begin("link");
  for (TargetBuild &build : builds)
    if (llvm::Error error = build.link())
      return error;
  return llvm::Error::success();
}

/// Writes a text or object file; "-" is standard output.
llvm::Error Compilation::writeText(llvm::function_ref<void(llvm::raw_ostream &)> print) {
  std::string text;
  llvm::raw_string_ostream out(text);
  print(out);
  if (options.output == "-")
    return writeStandardOutput(text);
  return writeFile(options.output, text);
}

llvm::Error Compilation::writeModule(ModuleOp module) {
  return writeText([&](llvm::raw_ostream &out) { out << module << '\n'; });
}

llvm::Error Compilation::writeKernels() {
  TargetBuild &build = builds.front();
  return writeText([&](llvm::raw_ostream &out) {
    if (options.kind == OutputKind::Object) {
      out << build.image.bytes;
      return;
    }
    StringRef comment = options.kind == OutputKind::Assembly ? "#"
                        : options.kind == OutputKind::LLVM   ? ";"
                                                             : "//";
    for (auto [kernel, code] : llvm::zip(build.kernels, build.code))
      out << comment << " kernel " << kernel.getSymName() << " for " << build.target.name << '\n'
          << code.code << '\n';
  });
}

llvm::Error Compilation::packArtifact(ArtifactModel &model) {
  auto showPacked = [&](uint64_t done, uint64_t total) { progress.update(done, total); };
  WriteOptions writeOptions;
  writeOptions.threads = options.jobs;
  writeOptions.progress = showPacked;
  return writeArtifact(model, artifactPath(), writeOptions);
}

/// No file gets its name before all three can be written; the header names a digest that packing
/// finds.
llvm::Error Compilation::writeLibrary(ArtifactModel &model) {
  StaticLibraryPaths paths(options.output);
  auto library = linkLibrary(builds.front().linkInputs(), paths.prefix);
  if (!library)
    return library.takeError();
  auto archive = prepareFile(paths.library, library->archive);
  if (!archive)
    return archive.takeError();
  auto header = OutputFile::create(paths.header);
  if (!header)
    return header.takeError();
  if (llvm::Error error = packArtifact(model))
    return error;
  if (llvm::Error error = (*archive)->commit())
    return error;
  std::string text =
      linkedCodeHeader(paths, *model.table.variants.front(), *library, TERN_PRODUCER);
  if (llvm::Error error = (*header)->write(0, llvm::arrayRefFromStringRef(text)))
    return error;
  return (*header)->commit();
}

llvm::Error Compilation::writeTern() {
  timer.begin("plan");
  for (TargetBuild &build : builds)
    if (llvm::Error error = build.plan(passes, pipelineOptions(build.target)))
      return error;

  ArtifactBuilder builder(*imported.module, options.maxBatch, PipelineOptions().maxWanted);
  if (importance)
    builder.setImportance(importance);
  builder.addMetadata("tern.producer", TERN_PRODUCER);
  builder.addMetadata("tern.options", "--quantize=" + options.quantize +
                                          " --kv=" + spelling(options.kv).str() +
                                          " --max-batch=" + std::to_string(options.maxBatch) +
                                          (options.i2sBlock == 128 ? "" : " --i2s-block=64") +
                                          (imatrix       ? " --imatrix"
                                           : calibration ? " --calibration"
                                                         : ""));
  if (calibration) {
    builder.addMetadata("tern.calibration_digest", calibration->textDigest);
    builder.addMetadata("tern.calibration_tokens", std::to_string(calibration->tokens));
  }
  builder.addMetadata("tern.source_digest", imported.sourceDigest);
  if (imported.tokenizer)
    if (llvm::Error error = builder.addTokenizer(*imported.tokenizer, [&](StringRef warning) {
          notes.push_back("tokenizer: " + warning.str());
        }))
      imported.tokenizerNote = llvm::toString(std::move(error));
  if (!imported.tokenizerNote.empty()) {
    notes.push_back("no tokenizer in the artifact, only token ids will work: " +
                    imported.tokenizerNote);
    builder.addMetadata("tern.tokenizer_note", imported.tokenizerNote);
  }
  for (TargetBuild &build : builds)
    if (llvm::Error error =
            builder.addVariant(*build.module, build.target, build.kernels, build.image))
      return error;

  if (importance && !mixedPrecision && builder.weighedMatrices() == 0)
    return llvm::createStringError((imatrix ? options.imatrix : options.calibration) +
                                   ": weighs nothing: of its " + Twine(importance->size()) +
                                   " entries none names a weight that --quantize=" +
                                   options.quantize + " encodes anew as integers");

  timer.begin("pack");
  progress.begin("packing weights", "MB", 1e6);
  ArtifactModel model = builder.take(imported.inputFiles);
  if (llvm::Error error =
          options.kind == OutputKind::StaticLibrary ? writeLibrary(model) : packArtifact(model))
    return error;
  progress.clear();
  timer.end();
  CompileResult result{options, artifactPath(), model, builds, timer, notes};
  result.budget = mixedPrecision ? &*mixedPrecision : nullptr;
  result.calibration = calibration ? &*calibration : nullptr;
  return report(result);
}

llvm::Error Compilation::run() {
  llvm::Error result = compile();
  progress.clear();
  for (const std::string &note : notes)
    llvm::errs() << "ternc: " << printable(options.input + ": note: " + note) << '\n';
  return result;
}

llvm::Error Compilation::compile() {
  if (llvm::Error error = import())
    return error;
  if (options.kind == OutputKind::TernIR)
    return writeModule(*imported.module);
  if (!options.calibration.empty())
    if (llvm::Error error = calibrate())
      return error;
  if (llvm::Error error = quantize())
    return error;
  if (options.kind == OutputKind::QuantizedIR)
    return writeModule(*imported.module);
  if (llvm::Error error = prepareTargets())
    return error;

  switch (options.kind) {
  case OutputKind::FusedIR:
    return writeModule(*builds.front().module);
  case OutputKind::PlanIR:
    if (llvm::Error error = builds.front().plan(passes, pipelineOptions(builds.front().target)))
      return error;
    return writeModule(*builds.front().module);
  case OutputKind::Stmt:
  case OutputKind::LLVM:
  case OutputKind::Assembly:
  case OutputKind::Object: {
    EmitKind emit = options.kind == OutputKind::Stmt       ? EmitKind::Stmt
                    : options.kind == OutputKind::LLVM     ? EmitKind::LLVM
                    : options.kind == OutputKind::Assembly ? EmitKind::Assembly
                                                           : EmitKind::Object;
    if (llvm::Error error = compileKernels(emit))
      return error;
    return writeKernels();
  }
  default:
    if (llvm::Error error = compileKernels(EmitKind::Object))
      return error;
    return writeTern();
  }
}

} // namespace

int tern::compile(const CompileOptions &options) {
  llvm::Error error = Compilation(options).run();
  if (!error)
    return 0;
  std::string message = llvm::toString(std::move(error));
  // One line whatever a library says.
  llvm::SmallVector<StringRef> lines;
  StringRef(message).split(lines, '\n', -1, /*KeepEmpty=*/false);
  llvm::errs() << "ternc: " << printable(llvm::join(lines, " | ")) << '\n';
  return 1;
}
