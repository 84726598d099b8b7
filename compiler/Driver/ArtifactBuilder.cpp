// Fills the schema's object form from the plan dialect, the kernels and the weights.
#include "compiler/Driver/ArtifactBuilder.h"

#include "compiler/Artifact/WeightSource.h"
#include "compiler/Encoding/ScaleSearch.h"
#include "compiler/Kernels/KernelCost.h"
#include "compiler/Kernels/KernelSignature.h"
#include "compiler/Text/TokenizerBuilder.h"
#include "compiler/Transforms/WeightUnits.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace tern;

namespace {

fb::Extent extentOf(const Extent &extent) {
  return fb::Extent(extent.constant, extent.perToken, extent.perWanted);
}

fb::Extent extentOf(plan::ExtentAttr extent) {
  return fb::Extent(extent.getConstant(), extent.getPerToken(), extent.getPerWanted());
}

fb::MemorySpace spaceOf(StringRef name) {
  return llvm::StringSwitch<fb::MemorySpace>(name)
      .Case("arena", fb::MemorySpace::arena)
      .Case("tensor", fb::MemorySpace::tensor)
      .Case("input", fb::MemorySpace::input)
      .Case("output", fb::MemorySpace::output)
      .Case("kv_key", fb::MemorySpace::kv_key)
      .Case("kv_value", fb::MemorySpace::kv_value)
      .Case("block_table", fb::MemorySpace::block_table);
}

fb::MemorySpace spaceOf(Space space) {
  switch (space) {
  case Space::Arena:
    return fb::MemorySpace::arena;
  case Space::Tensor:
    return fb::MemorySpace::tensor;
  case Space::Input:
    return fb::MemorySpace::input;
  case Space::Output:
    return fb::MemorySpace::output;
  case Space::KvKey:
    return fb::MemorySpace::kv_key;
  case Space::KvValue:
    return fb::MemorySpace::kv_value;
  case Space::BlockTable:
    return fb::MemorySpace::block_table;
  }
  llvm_unreachable("every space is in the schema");
}

fb::InputKind inputKindOf(Input input) {
  switch (input) {
  case Input::Positions:
    return fb::InputKind::positions;
  case Input::Slots:
    return fb::InputKind::slots;
  case Input::WantedRows:
    return fb::InputKind::wanted_rows;
  }
  llvm_unreachable("every input is in the schema");
}

fb::AccessKind accessOf(Access access) {
  return access == Access::Read    ? fb::AccessKind::read
         : access == Access::Write ? fb::AccessKind::write
                                   : fb::AccessKind::read_write;
}

std::unique_ptr<fb::ValueT> value(StringRef name, fb::ElementType type, StringRef symbol,
                                  uint64_t bound, uint64_t columns) {
  auto result = std::make_unique<fb::ValueT>();
  result->name = name.str();
  result->type = type;
  auto rows = std::make_unique<fb::DimensionT>();
  rows->symbol = symbol.str();
  rows->bound = bound;
  result->shape.push_back(std::move(rows));
  if (columns) {
    auto dimension = std::make_unique<fb::DimensionT>();
    dimension->constant = columns;
    result->shape.push_back(std::move(dimension));
  }
  return result;
}

std::unique_ptr<fb::FunctionT> forwardFunction(uint64_t maxBatch, uint64_t maxWanted,
                                               uint64_t vocabulary, uint64_t hidden) {
  auto function = std::make_unique<fb::FunctionT>();
  function->name = "forward";
  for (StringRef input : {"tokens", "positions", "slots"})
    function->inputs.push_back(value(input, fb::ElementType::i32, "T", maxBatch, 0));
  function->inputs.push_back(value("wanted_rows", fb::ElementType::i32, "R", maxWanted, 0));
  function->outputs.push_back(value("logits", fb::ElementType::f32, "R", maxWanted, vocabulary));
  function->outputs.push_back(value("hidden", fb::ElementType::f32, "R", maxWanted, hidden));
  return function;
}

int64_t integerAttribute(ModuleOp module, StringRef name) {
  auto attribute = module->getAttrOfType<IntegerAttr>(name);
  return attribute ? attribute.getInt() : 0;
}

} // namespace

ArtifactBuilder::ArtifactBuilder(ModuleOp imported, int64_t maxBatch, int64_t maxWanted) {
  fb::ArtifactT &table = model.table;
  table.max_batch = static_cast<uint32_t>(maxBatch);
  table.max_wanted = static_cast<uint32_t>(maxWanted);
  table.vocabulary_size = static_cast<uint32_t>(integerAttribute(imported, "tern.vocabulary_size"));
  table.context_length = static_cast<uint32_t>(integerAttribute(imported, "tern.context_length"));
  table.kv_block_positions = KvType::blockPositions;
  table.block_table_by_cache = true;
  table.schema_version = table.minimum_reader = 2;
  func::FuncOp forward = *imported.getOps<func::FuncOp>().begin();
  auto hidden = cast<RankedTensorType>(forward.getFunctionType().getResult(1));
  table.functions.push_back(
      forwardFunction(maxBatch, maxWanted, table.vocabulary_size, uint64_t(hidden.getDimSize(1))));
  if (auto metadata = imported->getAttrOfType<DictionaryAttr>("tern.metadata"))
    for (NamedAttribute entry : metadata)
      if (auto text = dyn_cast<StringAttr>(entry.getValue()))
        addMetadata(entry.getName(), text);
  for (auto cache : imported.getOps<KvCacheOp>()) {
    auto type = cast<KvType>(cache.getType());
    auto record = std::make_unique<fb::KvCacheT>();
    record->name = cache.getSymName().str();
    record->kv_heads = type.getHeads();
    record->head_size = type.getHeadSize();
    record->value_size = type.getValueSize();
    record->type = type.hasScales()            ? fb::ElementType::i8
                   : type.getElement().isF16() ? fb::ElementType::f16
                                               : fb::ElementType::f32;
    record->window = type.getWindow();
    record->key_block_bytes = type.keyBlockBytes();
    record->value_block_bytes = type.valueBlockBytes();
    kvCaches[cache.getSymName()] = table.kv_caches.size();
    table.kv_caches.push_back(std::move(record));
  }
}

void ArtifactBuilder::addMetadata(StringRef key, StringRef text) {
  auto entry = std::make_unique<fb::MetadataEntryT>();
  entry->key = key.str();
  entry->value = text.str();
  model.table.metadata.push_back(std::move(entry));
}

llvm::Error ArtifactBuilder::addTokenizer(const TokenizerSpec &tokenizer,
                                          llvm::function_ref<void(StringRef)> warn) {
  flatbuffers::FlatBufferBuilder buffer;
  auto built = buildTokenizer(tokenizer, buffer, warn);
  if (!built)
    return built.takeError();
  buffer.Finish(*built);
  model.table.tokenizer.reset(
      flatbuffers::GetRoot<fb::Tokenizer>(buffer.GetBufferPointer())->UnPack());
  return llvm::Error::success();
}

llvm::Expected<uint32_t> ArtifactBuilder::tensorIndex(WeightOp weight) {
  std::unique_ptr<fb::TensorT> record = tensorRecord(weight);
  std::string key = record->name + '\0' + record->encoding + '\0' + record->layout;
  auto [entry, isNew] = tensors.try_emplace(key, model.table.tensors.size());
  if (!isNew)
    return entry->second;
  auto source = weightSource(weight);
  if (!source)
    return source.takeError();
  if (auto *matrix = std::get_if<MatrixSource>(&*source); matrix && importance)
    if (llvm::Error error = weigh(*matrix))
      return error;
  std::string unitName = unitOf(weight.getSymName());
  auto [unit, isNewUnit] = units.try_emplace(unitName, model.table.units.size());
  if (isNewUnit) {
    auto unitRecord = std::make_unique<fb::WeightUnitT>();
    unitRecord->name = unitName;
    model.table.units.push_back(std::move(unitRecord));
  }
  record->unit = unit->second;
  model.table.tensors.push_back(std::move(record));
  model.sources.push_back(std::move(*source));
  return entry->second;
}

llvm::Error ArtifactBuilder::weigh(MatrixSource &matrix) {
  if (!isSearched(matrix.encoding))
    return llvm::Error::success();
  for (std::vector<FileRows> &part : matrix.parts) {
    std::vector<FileRows> weighedPart;
    for (FileRows &piece : part) {
      ArrayRef<float> columns = importance->find(piece.weight);
      if (columns.empty() || holdsExactly(matrix.encoding, *piece.format)) {
        weighedPart.push_back(piece);
        continue;
      }
      auto pieces = weighRows(piece, columns);
      if (!pieces)
        return pieces.takeError();
      llvm::append_range(weighedPart, *pieces);
      ++weighed;
    }
    part = std::move(weighedPart);
  }
  return llvm::Error::success();
}

llvm::Error ArtifactBuilder::addPlan(ModuleOp module, plan::ProgramOp program,
                                     fb::VariantT &variant) {
  auto result = std::make_unique<fb::PlanT>();
  result->arena_bytes = program.getArenaBytes().value_or(0);
  result->arena_lower_bound = program.getArenaLowerBound().value_or(0);
  SymbolTable symbols(module);
  llvm::StringMap<uint32_t> kernelIndex;
  for (auto [index, kernel] : llvm::enumerate(variant.kernels))
    kernelIndex[kernel->name] = index;
  DenseMap<Value, uint32_t> bufferIndex;

  auto addCommand = [&](auto &&command) {
    auto record = std::make_unique<fb::CommandT>();
    record->op.Set(std::forward<decltype(command)>(command));
    result->commands.push_back(std::move(record));
  };
  for (Operation &op : program.getBody().front()) {
    if (auto buffer = dyn_cast<plan::BufferOp>(op)) {
      auto record = std::make_unique<fb::BufferT>();
      record->name = buffer.getName().str();
      record->space = spaceOf(buffer.getSpace());
      record->offset = buffer.getOffset().value_or(0);
      record->index = static_cast<uint32_t>(buffer.getIndex().value_or(0));
      record->extent = std::make_unique<fb::Extent>(extentOf(buffer.getExtent()));
      if (buffer.getSpace() == "tensor") {
        auto index = tensorIndex(symbols.lookup<WeightOp>(*buffer.getSymbol()));
        if (!index)
          return index.takeError();
        record->index = *index;
      } else if (buffer.getSymbol()) {
        record->index = kvCaches.lookup(*buffer.getSymbol());
      }
      bufferIndex[buffer] = result->buffers.size();
      result->buffers.push_back(std::move(record));
    } else if (auto call = dyn_cast<plan::CallOp>(op)) {
      fb::CallCommandT command;
      command.kernel = kernelIndex.lookup(call.getKernel());
      if (size_t taken = variant.kernels[command.kernel]->arguments.size();
          taken != call.getBuffers().size())
        return llvm::createStringError("kernel '" + call.getKernel().str() + "' takes " +
                                       llvm::Twine(taken) + " buffers, a call has " +
                                       llvm::Twine(call.getBuffers().size()));
      for (auto [argument, operand] :
           llvm::zip_equal(variant.kernels[command.kernel]->arguments, call.getBuffers())) {
        command.buffers.push_back(bufferIndex.lookup(operand));
        const fb::BufferT &buffer = *result->buffers[command.buffers.back()];
        if (argument->input &&
            (buffer.space != fb::MemorySpace::input || buffer.index != uint32_t(*argument->input)))
          return llvm::createStringError("kernel '" + call.getKernel().str() + "' takes buffer '" +
                                         buffer.name + "' for its " +
                                         fb::EnumNameInputKind(*argument->input));
      }
      addCommand(std::move(command));
    } else if (auto copy = dyn_cast<plan::CopyOp>(op)) {
      fb::CopyCommandT command;
      command.source = bufferIndex.lookup(copy.getSource());
      command.destination = bufferIndex.lookup(copy.getDestination());
      command.bytes = std::make_unique<fb::Extent>(extentOf(copy.getBytes()));
      addCommand(std::move(command));
    } else if (auto fetch = dyn_cast<plan::FetchOp>(op)) {
      fb::FetchCommandT command;
      command.unit = units.lookup(fetch.getUnit());
      addCommand(command);
    } else if (auto release = dyn_cast<plan::ReleaseOp>(op)) {
      fb::ReleaseCommandT command;
      command.unit = units.lookup(release.getUnit());
      addCommand(command);
    } else {
      return llvm::createStringError("plan command '" + op.getName().getStringRef().str() +
                                     "' has no form in the artifact yet");
    }
  }
  variant.plans.push_back(std::move(result));
  return llvm::Error::success();
}

llvm::Error ArtifactBuilder::addVariant(ModuleOp module, const TargetInfo &target,
                                        ArrayRef<KernelOp> kernels, const LinkedImage &image) {
  auto variant = std::make_unique<fb::VariantT>();
  variant->target = target.name;
  variant->features = target.features;
  for (auto [kernel, entry] : llvm::zip(kernels, image.entries)) {
    KernelSignature signature = describeKernel(kernel, target);
    auto record = std::make_unique<fb::KernelT>();
    record->name = signature.name;
    record->entry = entry;
    record->tasks = std::make_unique<fb::Extent>(extentOf(signature.tasks));
    record->scratch_bytes = signature.scratchBytes;
    record->partial_bytes = signature.partialBytes;
    if (signature.partialBytes != 0)
      record->window = signature.window;
    record->flops = std::make_unique<fb::Extent>(extentOf(signature.flops));
    KernelCost cost = describeCost(kernel);
    record->description = cost.description;
    record->weight_bytes = std::make_unique<fb::Extent>(extentOf(cost.weightBytes));
    record->position_bytes = cost.positionBytes;
    record->position_flops = cost.positionFlops;
    for (const KernelArgument &argument : signature.arguments) {
      auto argumentRecord = std::make_unique<fb::KernelArgumentT>();
      argumentRecord->name = argument.name;
      argumentRecord->access = accessOf(argument.access);
      argumentRecord->space_hint = spaceOf(argument.component.space);
      argumentRecord->extent = std::make_unique<fb::Extent>(extentOf(argument.component.bytes));
      if (argument.input)
        argumentRecord->input = inputKindOf(*argument.input);
      record->arguments.push_back(std::move(argumentRecord));
    }
    variant->kernels.push_back(std::move(record));
  }
  for (auto program : module.getOps<plan::ProgramOp>())
    if (llvm::Error error = addPlan(module, program, *variant))
      return error;
  model.table.variants.push_back(std::move(variant));
  model.code.emplace_back(image.bytes.begin(), image.bytes.end());
  return llvm::Error::success();
}

ArtifactModel ArtifactBuilder::take(std::vector<std::string> inputFiles) {
  model.inputFiles = std::move(inputFiles);
  return std::move(model);
}
