// importGGUF: file -> configuration, tensors and architecture -> module.
#include "compiler/Import/Architectures/Architecture.h"
#include "compiler/Import/GGUF/GGUFConfig.h"
#include "compiler/Import/GGUF/GGUFTensors.h"
#include "compiler/Import/GGUF/GGUFTokenizer.h"
#include "compiler/Import/Import.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"

using namespace mlir;
using llvm::createStringError;
using llvm::Error;
using llvm::Expected;

namespace tern {

namespace {

std::string headerDigest(const gguf::File &file) {
  llvm::SHA256 hash;
  for (const gguf::File::Part &part : file.parts())
    hash.update(llvm::ArrayRef(part.bytes.data(), part.headerBytes));
  return llvm::toHex(hash.final(), /*LowerCase=*/true);
}

Expected<std::string> requiredString(const gguf::File &file, const char *key) {
  const gguf::Value *value = file.find(key);
  if (!value)
    return createStringError(file.parts()[0].path + ": metadata key '" + key + "' is missing");
  std::optional<std::string_view> text = value->asString();
  if (!text)
    return createStringError(file.parts()[0].path + ": metadata key '" + key + "' is of type " +
                             value->typeName() + ", expected a string");
  return std::string(*text);
}

// general.* strings that a reader of the artifact may want, under their names without the prefix.
DictionaryAttr artifactMetadata(Builder &builder, const gguf::File &file,
                                const ModelConfig &config) {
  llvm::SmallVector<NamedAttribute> entries;
  auto add = [&](StringRef key, StringRef text) {
    entries.push_back(builder.getNamedAttr(key, builder.getStringAttr(text)));
  };
  for (const char *key :
       {"architecture", "name", "basename", "size_label", "finetune", "author", "organization",
        "description", "version", "license", "license.link", "url", "source.url"}) {
    const gguf::Value *value = file.find("general." + std::string(key));
    if (auto text = value ? value->asString() : std::nullopt)
      add(key, *text);
  }
  uint64_t parameters = 0;
  for (const gguf::Tensor &tensor : file.tensors())
    parameters += tensor.elements;
  add("parameters", std::to_string(parameters));
  add("layers", std::to_string(config.layers));
  add("hidden_size", std::to_string(config.hidden));
  add("source.format", "gguf v" + std::to_string(file.version()));
  return builder.getDictionaryAttr(entries);
}

Error setModuleAttributes(ModuleOp module, const gguf::File &file, const ModelConfig &config) {
  Builder builder(module.getContext());
  module->setAttr("tern.metadata", artifactMetadata(builder, file, config));
  module->setAttr("tern.context_length", builder.getI64IntegerAttr(int64_t(config.contextLength)));
  module->setAttr("tern.vocabulary_size", builder.getI64IntegerAttr(int64_t(config.vocabulary)));
  constexpr const char *key = "tern.activation_quantization";
  if (!file.find(key))
    return Error::success();
  Expected<std::string> scheme = requiredString(file, key);
  if (!scheme)
    return scheme.takeError();
  if (*scheme != "int8-per-token")
    return createStringError(file.parts()[0].path + ": metadata key '" + key + "' is " +
                             gguf::quotedText(*scheme) + ", expected 'int8-per-token'");
  module->setAttr(key, builder.getStringAttr(*scheme));
  return Error::success();
}

// What the checks before let through and the graph's own rules refuse, as one error.
Error verifyModule(ModuleOp module, StringRef path) {
  std::string message;
  ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &diagnostic) {
    if (message.empty())
      message = diagnostic.str();
  });
  if (succeeded(verify(module)))
    return Error::success();
  return createStringError(path + ": its sizes do not make a valid graph: " + message);
}

} // namespace

Expected<ImportedModel> importGGUF(MLIRContext &context, StringRef path,
                                   const ImportOptions &options) {
  context.loadDialect<TernDialect, func::FuncDialect, arith::ArithDialect, math::MathDialect>();
  std::string message;
  std::unique_ptr<gguf::File> file = gguf::File::open(path.str(), message);
  if (!file)
    return createStringError(message);
  Expected<std::string> name = requiredString(*file, "general.architecture");
  if (!name)
    return name.takeError();
  const Architecture *architecture = findArchitecture(*name);
  if (!architecture)
    return createStringError(path + ": architecture " + gguf::quotedText(*name) +
                             " is not supported; known are " + knownArchitectures());
  Expected<ModelConfig> config = readGGUFConfig(*file, *architecture);
  if (!config)
    return config.takeError();
  config->kv = options.kv;
  Expected<std::unique_ptr<GGUFTensors>> tensors = GGUFTensors::create(context, *file, options);
  if (!tensors)
    return tensors.takeError();

  ImportedModel result;
  result.module = ModuleOp::create(UnknownLoc::get(&context));
  GraphBuilder graph(*result.module, *config, **tensors);
  architecture->build(graph);
  if (Error error = graph.takeError())
    return error;
  // Read with the configuration.
  (*tensors)->markUsed("rope_freqs.weight");
  if (config->ropeScaling.kind == RopeScaling::Kind::Long)
    for (const char *name : {"rope_factors_long.weight", "rope_factors_short.weight"})
      (*tensors)->markUsed(name);
  if (Error error = (*tensors)->checkAllUsed(*name))
    return error;
  if (Error error = setModuleAttributes(*result.module, *file, *config))
    return error;
  if (Error error = verifyModule(*result.module, path))
    return error;
  for (const gguf::File::Part &part : file->parts())
    result.inputFiles.push_back(part.path);
  result.tokenizer = readGGUFTokenizer(*file, result.tokenizerNote);
  result.sourceDigest = headerDigest(*file);
  result.notes = std::move(config->notes);
  return result;
}

} // namespace tern
