// Resolving `tern.weight` sources.
#include "compiler/Artifact/WeightSource.h"

using namespace mlir;
using llvm::createStringError;
using llvm::Expected;

namespace tern {

namespace {

using Pieces = std::vector<FileRows>;

Expected<FileRows> fileRows(WeightOp weight, FileAttr file) {
  RankedTensorType type = weight.getTensorType();
  FileRows rows;
  rows.weight = weight.getSymName().str();
  rows.file = file.getIndex();
  rows.offset = file.getOffset();
  rows.format = findBlockFormat(file.getFormat());
  if (!rows.format)
    return createStringError("weight '" + weight.getSymName() + "': unknown format '" +
                             file.getFormat() + "'; known are " + knownBlockFormats());
  if (file.getScale())
    rows.tensorScale = file.getScale().getValue().convertToFloat();
  rows.columns = type.getRank() == 0 ? 1 : uint64_t(type.getShape().back());
  rows.rows = uint64_t(type.getNumElements()) / std::max<uint64_t>(1, rows.columns);
  if (rows.columns % rows.format->blockElements != 0 ||
      rows.rows * rows.format->rowBytes(rows.columns) != file.getSize())
    return createStringError("weight '" + weight.getSymName() + "': " + Twine(file.getSize()) +
                             " bytes of " + file.getFormat() + " do not hold its shape");
  return rows;
}

// The pieces of each part: one part for a file or a concatenation, several for a stack.
Expected<std::vector<Pieces>> collect(WeightOp weight) {
  if (auto file = dyn_cast<FileAttr>(weight.getSource())) {
    Expected<FileRows> rows = fileRows(weight, file);
    if (!rows)
      return rows.takeError();
    return std::vector<Pieces>{Pieces{*rows}};
  }
  auto parts = dyn_cast<PartsAttr>(weight.getSource());
  if (!parts)
    return createStringError("weight '" + weight.getSymName() + "' has no source in a file");
  std::vector<Pieces> result(parts.getStacked() ? 0 : 1);
  for (FlatSymbolRefAttr symbol : parts.getWeights()) {
    auto part = SymbolTable::lookupNearestSymbolFrom<WeightOp>(weight, symbol);
    if (!part)
      return createStringError("weight '" + weight.getSymName() + "': its part '" +
                               symbol.getValue() + "' does not exist");
    Expected<std::vector<Pieces>> pieces = collect(part);
    if (!pieces)
      return pieces.takeError();
    if (pieces->size() != 1)
      return createStringError("weight '" + weight.getSymName() + "': its part '" +
                               symbol.getValue() + "' is itself a stack");
    if (parts.getStacked())
      result.push_back(std::move(pieces->front()));
    else
      llvm::append_range(result.front(), pieces->front());
  }
  return result;
}

EncodingAttr encodingOf(WeightOp weight) {
  return dyn_cast_if_present<EncodingAttr>(weight.getTensorType().getEncoding());
}

Expected<TensorSource> matrixSource(WeightOp weight, EncodingAttr encoding,
                                    std::vector<Pieces> parts) {
  RankedTensorType type = weight.getTensorType();
  std::optional<WeightLayout> layout = parseWeightLayout(encoding.getLayout().getValue());
  if (!layout || type.getRank() < 2)
    return createStringError("weight '" + weight.getSymName() + "': layout '" +
                             encoding.getLayout().getValue() + "' does not fit its type");
  MatrixSource source{*layout, encoding.desc(), 0, 0, std::move(parts)};
  source.k = uint64_t(type.getShape().back());
  source.rows = uint64_t(type.getShape()[type.getRank() - 2]);
  uint64_t leading = uint64_t(type.getNumElements()) / (source.rows * source.k);
  if (leading != source.parts.size())
    return createStringError("weight '" + weight.getSymName() + "' has " + Twine(leading) +
                             " matrices, but sources for " + Twine(source.parts.size()));
  return source;
}

} // namespace

Expected<TensorSource> weightSource(WeightOp weight) {
  RankedTensorType type = weight.getTensorType();
  if (auto table = dyn_cast<RopeTableAttr>(weight.getSource()))
    return RopeTableSource{table.getPositions(), table.getMagnitude().getValueAsDouble(),
                           table.getFrequencies().asArrayRef().vec()};
  Expected<std::vector<Pieces>> parts = collect(weight);
  if (!parts)
    return parts.takeError();
  EncodingAttr encoding = encodingOf(weight);
  if (encoding && encoding.getLayout())
    return matrixSource(weight, encoding, std::move(*parts));
  PlainSource source;
  for (Pieces &pieces : *parts)
    llvm::append_range(source.pieces, pieces);
  source.elements = uint64_t(type.getNumElements());
  source.padded = type.getRank() == 1;
  return source;
}

Expected<std::vector<FileRows>> weighRows(const FileRows &rows, ArrayRef<float> columns) {
  if (columns.empty())
    return std::vector<FileRows>{rows};
  size_t experts = columns.size() / rows.columns;
  bool ofExperts = StringRef(rows.weight).contains("_exps.");
  if (columns.size() % rows.columns != 0 || experts < 1 || (experts > 1 && !ofExperts) ||
      rows.rows % experts != 0)
    return createStringError("the importance matrix has " + Twine(columns.size()) +
                             " columns for weight '" + rows.weight + "' with rows of " +
                             Twine(rows.columns) + ": it belongs to another model");
  std::vector<FileRows> result(experts, rows);
  for (auto [expert, piece] : llvm::enumerate(result)) {
    piece.rows = rows.rows / experts;
    piece.offset = rows.offset + expert * piece.rows * rows.format->rowBytes(rows.columns);
    piece.importance = columns.data() + expert * rows.columns;
  }
  return result;
}

std::unique_ptr<fb::TensorT> tensorRecord(WeightOp weight) {
  auto record = std::make_unique<fb::TensorT>();
  record->name = weight.getSymName().str();
  for (int64_t dimension : weight.getTensorType().getShape())
    record->shape.push_back(uint64_t(dimension));
  EncodingAttr encoding = encodingOf(weight);
  bool packed = encoding && encoding.getLayout();
  record->encoding = packed ? encoding.desc().str() : "f32";
  record->layout = packed ? encoding.getLayout().getValue().str() : "rows";
  return record;
}

} // namespace tern
