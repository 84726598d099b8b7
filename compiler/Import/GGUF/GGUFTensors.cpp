// Tensor table of a GGUF file, and the scan of 2-bit tensors for code 3.
#include "compiler/Import/GGUF/GGUFTensors.h"

#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Encoding/BlockFormat.h"
#include "compiler/Encoding/PackWeights.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/Support/Endian.h"
#include <atomic>
#include <cmath>
#include <thread>

using namespace llvm;

namespace tern {

namespace {

// Large enough that taking a piece costs nothing, small enough to spread one tensor over threads.
constexpr uint64_t scanBlocks = 65536;

struct ScanPiece {
  size_t tensor; ///< index into the list that is scanned
  const BlockFormat *format;
  uint64_t begin, blocks;
};

// For each tensor whether it holds code 3.
std::vector<std::atomic<bool>> scanForCode3(const gguf::File &file,
                                            ArrayRef<const gguf::Tensor *> list, unsigned threads) {
  std::vector<ScanPiece> pieces;
  for (size_t i = 0; i < list.size(); ++i) {
    const BlockFormat *format = findBlockFormatByGGUFType(list[i]->typeNumber);
    uint64_t blocks = (list[i]->size - format->tensorScaleBytes) / format->blockBytes;
    for (uint64_t begin = 0; begin < blocks; begin += scanBlocks)
      pieces.push_back({i, format, begin, std::min(scanBlocks, blocks - begin)});
  }
  std::vector<std::atomic<bool>> found(list.size());
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < pieces.size();) {
      const ScanPiece &piece = pieces[i];
      const gguf::Tensor &tensor = *list[piece.tensor];
      uint64_t offset = piece.begin * piece.format->blockBytes;
      if (!found[piece.tensor] &&
          holdsCode3(*piece.format, file.bytesOf(tensor).data() + offset, piece.blocks))
        found[piece.tensor] = true;
      file.release(tensor, offset, piece.blocks * piece.format->blockBytes);
    }
  };
  std::vector<std::thread> workers;
  for (unsigned i = 1; i < std::min<size_t>(threads, pieces.size()); ++i)
    workers.emplace_back(work);
  work();
  for (std::thread &worker : workers)
    worker.join();
  return found;
}

const BlockFormat *formatOf(const gguf::Tensor &tensor, const ImportOptions &options) {
  const BlockFormat *format = findBlockFormatByGGUFType(tensor.typeNumber);
  return format && format->name == "i2_s" && options.i2sBlock == 64 ? findBlockFormat("i2_s_64")
                                                                    : format;
}

// Left in some files by old converters; llama.cpp ignores them too.
bool isObsolete(StringRef name) {
  return name.ends_with(".attn_rot_embd") || name.ends_with(".rotary_emb.inv_freq");
}

} // namespace

Expected<std::unique_ptr<GGUFTensors>> GGUFTensors::create(mlir::MLIRContext &context,
                                                           const gguf::File &file,
                                                           const ImportOptions &options) {
  std::unique_ptr<GGUFTensors> result(new GGUFTensors(file));
  SmallVector<const gguf::Tensor *> twoBit;
  bool hasI2S = false;
  for (const gguf::Tensor &tensor : file.tensors()) {
    const BlockFormat *format = formatOf(tensor, options);
    if (!format)
      return createStringError(
          file.parts()[tensor.part].path + ": tensor " + gguf::quotedText(tensor.name) +
          " has type " + (tensor.type ? tensor.type->name : std::to_string(tensor.typeNumber)) +
          ", which is not supported; known types are " + knownBlockFormats());
    SourceTensor &entry = result->tensors[tensor.name];
    entry.shape.assign(tensor.shape.begin(), tensor.shape.end());
    entry.encoding = format->encoding;
    uint64_t blockBytes = tensor.size - format->tensorScaleBytes;
    mlir::FloatAttr scale;
    if (format->tensorScaleBytes) {
      hasI2S = true;
      float value = support::endian::read<float>(file.bytesOf(tensor).data() + blockBytes,
                                                 llvm::endianness::little);
      if (!std::isfinite(value))
        return createStringError(file.parts()[tensor.part].path + ": tensor " +
                                 gguf::quotedText(tensor.name) + " has a scale that is not finite");
      scale = mlir::FloatAttr::get(mlir::Float32Type::get(&context), value);
    }
    entry.source =
        FileAttr::get(&context, tensor.part, tensor.offset, blockBytes, format->name, scale);
    if (format->encoding.codes == CodeKind::Ternary)
      twoBit.push_back(&tensor);
  }
  if (options.i2sBlock != 128 && !hasI2S)
    return createStringError(file.parts()[0].path + ": --i2s-block is for I2_S tensors, and the " +
                             "file has none");
  std::vector<std::atomic<bool>> code3 = scanForCode3(file, twoBit, options.threads);
  for (size_t i = 0; i < twoBit.size(); ++i)
    if (code3[i])
      result->tensors[twoBit[i]->name].encoding.codes = CodeKind::Quaternary;
  return result;
}

const SourceTensor *GGUFTensors::find(StringRef name) {
  auto found = tensors.find(name);
  if (found == tensors.end())
    return nullptr;
  used[name] = true;
  return &found->second;
}

Error GGUFTensors::checkAllUsed(StringRef architecture) const {
  std::string names;
  unsigned count = 0;
  for (const gguf::Tensor &tensor : file.tensors())
    if (!used.contains(tensor.name) && !isObsolete(tensor.name) && ++count <= 3)
      names += (names.empty() ? "" : ", ") + gguf::quotedText(tensor.name);
  if (count == 0)
    return Error::success();
  return createStringError(file.parts()[0].path + ": " + Twine(count) +
                           " tensors are no part of architecture '" + architecture +
                           "' as known here: " + names + (count > 3 ? ", ..." : "") +
                           "; leaving them out would change the model");
}

} // namespace tern
