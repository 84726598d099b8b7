// The float model has weights of f32, f16 and bf16 as they are and all others as f16. Its artifact
// has no variant but that of this machine, and no name from the moment it is mapped.
#include "compiler/Driver/Calibration.h"

#include "compiler/Artifact/ArtifactWriter.h"
#include "compiler/Artifact/OutputFile.h"
#include "compiler/Artifact/WeightSource.h"
#include "compiler/Calibrate/ActivationStatistics.h"
#include "compiler/Driver/ArtifactBuilder.h"
#include "compiler/Driver/TargetBuild.h"
#include "compiler/Encoding/ScaleSearch.h"
#include "compiler/Transforms/QuantizationPolicy.h"
#include "compiler/Transforms/WeightEncoding.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/ConvertUTF.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/Signals.h"
#include <unistd.h>

using namespace mlir;
using llvm::createStringError;
using llvm::Expected;

namespace tern {
namespace {

constexpr int64_t batch = 64; ///< rows of a call; all may be wanted

/// A file name beside another that is taken until the end of a scope.
class TemporaryName {
public:
  static Expected<TemporaryName> beside(StringRef path) {
    TemporaryName result;
    int descriptor;
    if (std::error_code error =
            createTemporaryBeside((path + ".float").str(), result.name, descriptor))
      return createStringError(path +
                               ": cannot create a file in its directory: " + error.message());
    close(descriptor);
    return std::move(result);
  }
  TemporaryName(TemporaryName &&other) noexcept { name.swap(other.name); }
  ~TemporaryName() {
    if (name.empty())
      return;
    (void)llvm::sys::fs::remove(name);
    llvm::sys::DontRemoveFileOnSignal(name);
  }
  const std::string &str() const { return name; }

private:
  TemporaryName() = default;
  std::string name;
};

Expected<std::unique_ptr<llvm::MemoryBuffer>> readText(const std::string &path) {
  llvm::sys::fs::file_status status;
  if (!llvm::sys::fs::status(path, status) && !llvm::sys::fs::is_regular_file(status))
    return createStringError(path + ": not a regular file; --calibration takes a text file");
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return createStringError(
        path + ": cannot read the text of --calibration: " + file.getError().message());
  StringRef text = (*file)->getBuffer();
  if (text.trim().empty())
    return createStringError(path + ": the text of --calibration is empty; give a UTF-8 text like "
                                    "those the model is for");
  const auto *begin = text.bytes_begin(), *at = begin;
  if (!llvm::isLegalUTF8String(&at, text.bytes_end()))
    return createStringError(path + ": byte " + Twine(uint64_t(at - begin)) +
                             " is not UTF-8; --calibration takes a plain UTF-8 text");
  return std::move(*file);
}

class FloatModelRun {
public:
  FloatModelRun(const ImportedModel &model, const CompileOptions &options, ProgressLine &progress)
      : model(model), options(options), progress(progress) {}

  /// Fails if the policy encodes nothing anew that is searched for. What a budget chooses is not
  /// known yet.
  llvm::Error checkUse();
  llvm::Error compile();
  llvm::Error write(StringRef output, const std::string &path);
  Expected<ActivationStatistics> run(const std::string &path, StringRef text);

private:
  const ImportedModel &model;
  const CompileOptions &options;
  ProgressLine &progress;
  /// Of the passes: the compilation of the model itself runs the same ones and tells.
  std::vector<std::string> repeatedNotes;
  PassRunner passes{options.input, repeatedNotes};
  TargetBuild build;

  PipelineOptions pipelineOptions() const { return {build.target.name, "keep", batch, batch}; }
};

llvm::Error FloatModelRun::checkUse() {
  auto policy = QuantizationPolicy::parse(options.quantize);
  if (!policy)
    return policy.takeError();
  if (policy->budget())
    return llvm::Error::success();
  PipelineOptions pipeline;
  pipeline.policy = options.quantize;
  OwningOpRef<ModuleOp> quantized(cast<ModuleOp>(model.module.get()->clone()));
  if (llvm::Error error = passes.run(
          *quantized, [&](OpPassManager &manager) { buildQuantizePipeline(manager, pipeline); }))
    return error;
  SymbolTable symbols(*quantized), before(*model.module);
  bool used = false;
  quantized->walk([&](ParamOp param) {
    auto weight = symbols.lookup<WeightOp>(param.getWeight());
    auto encoding = dyn_cast_if_present<EncodingAttr>(weight.getTensorType().getEncoding());
    auto imported = before.lookup<WeightOp>(param.getWeight());
    used |= isQuantizedMatrix(param) && encoding && isSearched(encoding.desc()) &&
            !(imported && imported.getTensorType() == weight.getTensorType());
  });
  if (used)
    return llvm::Error::success();
  return createStringError(options.calibration + ": weighs nothing: --quantize=" +
                           options.quantize + " encodes no weight anew as integers");
}

llvm::Error FloatModelRun::compile() {
  auto host = lookupTarget("host");
  if (!host)
    return createStringError("--calibration runs the model on this machine: " +
                             llvm::toString(host.takeError()));
  build.target = std::move(*host);
  build.module = cast<ModuleOp>(model.module.get()->clone());
  if (llvm::Error error = passes.run(
          *build.module, [](OpPassManager &manager) { manager.addPass(createTernSimplify()); }))
    return error;
  SymbolTable symbols(*build.module);
  build.module->walk([&](ParamOp param) {
    auto weight = symbols.lookup<WeightOp>(param.getWeight());
    auto encoding = dyn_cast_if_present<EncodingAttr>(weight.getTensorType().getEncoding());
    if (isQuantizedMatrix(param) && encoding && !encoding.desc().isFloat())
      setEncoding(param, weight, EncodingDesc{CodeKind::F16});
  });
  if (llvm::Error error = passes.run(*build.module, [&](OpPassManager &manager) {
        buildQuantizePipeline(manager, pipelineOptions());
      }))
    return error;
  if (llvm::Error error = build.fuse(passes, pipelineOptions()))
    return error;
  progress.begin("calibration: compiling kernels", "kernels");
  KernelCompileOptions kernelOptions;
  kernelOptions.jobs = options.jobs;
  kernelOptions.cacheLimitBytes = options.kernelCacheBytes;
  kernelOptions.progress = [&](StringRef, size_t done, size_t count) {
    progress.update(done, count);
  };
  if (llvm::Error error = build.compileKernels(kernelOptions))
    return error;
  progress.clear();
  if (llvm::Error error = build.link())
    return error;
  return build.plan(passes, pipelineOptions());
}

llvm::Error FloatModelRun::write(StringRef output, const std::string &path) {
  ArtifactBuilder builder(*model.module, batch, batch);
  if (llvm::Error error = builder.addTokenizer(*model.tokenizer, [](StringRef) {}))
    return createStringError(options.input + ": --calibration needs the model's tokenizer: " +
                             llvm::toString(std::move(error)) +
                             "; gather the figures with llama-imatrix and give them with "
                             "--imatrix");
  if (llvm::Error error =
          builder.addVariant(*build.module, build.target, build.kernels, build.image))
    return error;
  ArtifactModel artifact = builder.take(model.inputFiles);
  uint64_t bytes = 0;
  for (const TensorSource &source : artifact.sources)
    bytes += packedSize(source);
  auto space = llvm::sys::fs::disk_space(path);
  if (space && space->available < bytes)
    return createStringError(
        output + ": --calibration writes the float model beside it for a while, which takes " +
        Twine(bytes / 1000000) + " MB of which " + Twine(space->available / 1000000) +
        " MB are free; make room, or name an output on a larger disk");
  progress.begin("calibration: packing float weights", "MB", 1e6);
  auto showPacked = [&](uint64_t done, uint64_t total) { progress.update(done, total); };
  WriteOptions writeOptions;
  writeOptions.threads = options.jobs;
  writeOptions.progress = showPacked;
  if (llvm::Error error = writeArtifact(artifact, path, writeOptions))
    return createStringError(output +
                             ": --calibration writes the float model beside it for a "
                             "while: " +
                             llvm::toString(std::move(error)));
  progress.clear();
  return llvm::Error::success();
}

Expected<ActivationStatistics> FloatModelRun::run(const std::string &path, StringRef text) {
  auto inputs = findLinearInputs(*build.module, build.target);
  if (!inputs)
    return createStringError(options.input + ": " + llvm::toString(inputs.takeError()));
  progress.begin("calibration: running the text", "tokens");
  auto statistics = gatherActivationStatistics(
      path, *inputs, {options.calibration, text}, options.jobs,
      [&](uint64_t done, uint64_t total) { progress.update(done, total); });
  progress.clear();
  return statistics;
}

/// How many experts no row of the text used, as a note; empty if there are none.
std::string noteOfUnseenExperts(const ActivationStatistics &statistics) {
  size_t unseen = 0, matrices = 0;
  for (const auto &[name, squares] : statistics.weights)
    if (squares.rows.size() > 1) {
      unseen += squares.unseenExperts();
      matrices += squares.rows.size();
    }
  if (unseen == 0)
    return {};
  return "calibration: of " + std::to_string(matrices) + " experts' matrices " +
         std::to_string(unseen) + " met no row of the text; all their columns count alike";
}

} // namespace

Expected<Calibration> calibrate(const ImportedModel &model, const CompileOptions &options,
                                StringRef output, ProgressLine &progress,
                                std::vector<std::string> &notes) {
  auto text = readText(options.calibration);
  if (!text)
    return text.takeError();
  if (!model.tokenizer)
    return createStringError(options.input +
                             ": --calibration needs the model's tokenizer: " + model.tokenizerNote +
                             "; gather the figures with llama-imatrix and give them with "
                             "--imatrix");
  FloatModelRun run(model, options, progress);
  if (llvm::Error error = run.checkUse())
    return std::move(error);
  auto temporary = TemporaryName::beside(output);
  if (!temporary)
    return temporary.takeError();
  if (llvm::Error error = run.compile())
    return std::move(error);
  if (llvm::Error error = run.write(output, temporary->str()))
    return std::move(error);
  auto statistics = run.run(temporary->str(), (*text)->getBuffer());
  if (!statistics)
    return statistics.takeError();

  Calibration result{ImportanceMatrix(options.calibration)};
  for (const auto &[name, squares] : statistics->weights)
    if (llvm::Error error = result.importance.add(name, squares.means()))
      return std::move(error);
  result.textDigest = llvm::toHex(
      llvm::SHA256::hash(llvm::arrayRefFromStringRef((*text)->getBuffer())), /*LowerCase=*/true);
  result.tokens = statistics->tokens;
  result.chunks = statistics->chunks;
  result.chunk = statistics->chunk;
  if (std::string note = noteOfUnseenExperts(*statistics); !note.empty())
    notes.push_back(note);
  return result;
}

void print(const Calibration &calibration, llvm::raw_ostream &out) {
  out << "calibration: " << calibration.tokens << " tokens in " << calibration.chunks
      << (calibration.chunks == 1 ? " chunk of " : " chunks of ") << calibration.chunk
      << ", figures of " << calibration.importance.size() << " weights\n";
}

llvm::json::Value toJson(const Calibration &calibration) {
  return llvm::json::Object{{"text_sha256", calibration.textDigest},
                            {"tokens", calibration.tokens},
                            {"chunks", calibration.chunks},
                            {"chunk_tokens", calibration.chunk},
                            {"weights", calibration.importance.size()}};
}

} // namespace tern
