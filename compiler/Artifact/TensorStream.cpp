// Producing tensors: packed matrices tile by tile, plain values block by block, rope tables row by
// row.
#include "compiler/Artifact/TensorStream.h"

#include "compiler/Artifact/ArtifactWriter.h"
#include "compiler/Artifact/RopeTable.h"
#include "compiler/Encoding/PackWeights.h"
#include <algorithm>
#include <cmath>
#include <cstring>

using namespace llvm;

namespace tern {

namespace {

// A vector's length in the artifact is a multiple of this many floats
// (compiler/Kernels/KernelSignature.h).
constexpr uint64_t vectorPadding = 32;

template <typename... Case> struct Overloaded : Case... {
  using Case::operator()...;
};

PackedMatrix packedMatrix(const MatrixSource &source, ArrayRef<gguf::MappedFile> inputs) {
  PackedMatrix matrix{source.layout, source.encoding, source.rows, source.k, {}};
  for (const std::vector<FileRows> &part : source.parts) {
    auto &rows = matrix.parts.emplace_back();
    for (const FileRows &piece : part) {
      const uint8_t *data =
          inputs.empty() ? nullptr : inputs[piece.file].bytes().data() + piece.offset;
      rows.push_back({piece.format, data, piece.rows, piece.importance, piece.tensorScale});
    }
  }
  return matrix;
}

uint64_t plainElements(const PlainSource &source) {
  return source.padded ? (source.elements + vectorPadding - 1) / vectorPadding * vectorPadding
                       : source.elements;
}

// Pages from `begin` to `end` have been used. Both are rounded down: what remains of the last page
// goes with the next range.
void releaseRows(const FileRows &rows, ArrayRef<gguf::MappedFile> inputs, uint64_t begin,
                 uint64_t end) {
  constexpr uint64_t page = 4096; // rounding to a smaller page than the system's is harmless
  uint64_t from = (rows.offset + begin) / page * page, to = (rows.offset + end) / page * page;
  if (from < to)
    inputs[rows.file].release(from, to - from);
}

void releaseTiles(const MatrixSource &source, ArrayRef<gguf::MappedFile> inputs, uint64_t firstRow,
                  uint64_t endRow) {
  for (const std::vector<FileRows> &part : source.parts) {
    uint64_t begin = 0;
    for (const FileRows &piece : part) {
      uint64_t from = std::clamp(firstRow, begin, begin + piece.rows) - begin;
      uint64_t to = std::clamp(endRow, begin, begin + piece.rows) - begin;
      uint64_t rowBytes = piece.format->rowBytes(source.k);
      releaseRows(piece, inputs, from * rowBytes, to * rowBytes);
      begin += piece.rows;
    }
  }
}

// A value that is not finite shows in the sums of its piece.
Error checkEncoded(const FileRows &piece, const EncodingError &error,
                   const EncodingDesc &encoding) {
  if (std::isfinite(error.squaredError) && std::isfinite(error.squaredValues))
    return Error::success();
  const char *what = std::isfinite(error.squaredValues)
                         ? " has values beyond the range of "
                         : " has values that are not finite; they have no form in ";
  return createStringError("weight '" + piece.weight + "'" + what + encoding.str());
}

Error produceMatrix(const MatrixSource &source, ArrayRef<gguf::MappedFile> inputs,
                    uint64_t pieceBytes, ProvideBytes provide, std::vector<EncodingError> &errors) {
  PackedMatrix matrix = packedMatrix(source, inputs);
  for (const auto &part : source.parts)
    errors.resize(errors.size() + part.size());
  uint64_t step = std::max<uint64_t>(1, pieceBytes / matrix.tileBytes());
  for (uint64_t tile = 0; tile < matrix.tiles(); tile += step) {
    uint64_t end = std::min(tile + step, matrix.tiles());
    Expected<uint8_t *> out = provide((end - tile) * matrix.tileBytes());
    if (!out)
      return out.takeError();
    packTiles(matrix, tile, end, *out, errors);
    releaseTiles(source, inputs, tile * matrix.layout.tileRows, end * matrix.layout.tileRows);
  }
  size_t index = 0;
  for (const std::vector<FileRows> &part : source.parts)
    for (const FileRows &piece : part)
      if (Error error = checkEncoded(piece, errors[index++], source.encoding))
        return error;
  return Error::success();
}

Error producePlain(const PlainSource &source, ArrayRef<gguf::MappedFile> inputs,
                   uint64_t pieceBytes, ProvideBytes provide) {
  uint64_t step = std::max<uint64_t>(maxBlockElements, pieceBytes / sizeof(float) /
                                                           maxBlockElements * maxBlockElements);
  for (const FileRows &piece : source.pieces) {
    const uint8_t *data = inputs[piece.file].bytes().data() + piece.offset;
    uint64_t elements = piece.rows * piece.columns;
    for (uint64_t begin = 0; begin < elements; begin += step) {
      uint64_t length = std::min(step, elements - begin);
      Expected<uint8_t *> out = provide(length * sizeof(float));
      if (!out)
        return out.takeError();
      decodeRow(*piece.format, data + piece.format->rowBytes(begin), length,
                reinterpret_cast<float *>(*out), piece.tensorScale);
      releaseRows(piece, inputs, piece.format->rowBytes(begin),
                  piece.format->rowBytes(begin + length));
    }
  }
  uint64_t padding = (plainElements(source) - source.elements) * sizeof(float);
  if (padding == 0)
    return Error::success();
  Expected<uint8_t *> out = provide(padding);
  if (!out)
    return out.takeError();
  memset(*out, 0, padding);
  return Error::success();
}

Error produceRopeTable(const RopeTableSource &source, ProvideBytes provide) {
  uint64_t rowFloats = 2 * source.frequencies.size();
  for (uint64_t row = 0; row < ropeTableRows(source); ++row) {
    Expected<uint8_t *> out = provide(rowFloats * sizeof(float));
    if (!out)
      return out.takeError();
    ropeTableRow(source, row, reinterpret_cast<float *>(*out));
  }
  return Error::success();
}

Error checkRows(const FileRows &rows, ArrayRef<gguf::MappedFile> inputs) {
  if (!rows.format)
    return createStringError("a piece without a format");
  if (rows.columns % rows.format->blockElements != 0)
    return createStringError("rows of " + Twine(rows.columns) + " elements do not fill " +
                             rows.format->name + " blocks");
  if (rows.file >= inputs.size())
    return createStringError("input file " + Twine(rows.file) + " of " + Twine(inputs.size()));
  uint64_t bytes, size = inputs[rows.file].bytes().size();
  if (__builtin_mul_overflow(rows.rows, rows.format->rowBytes(rows.columns), &bytes) ||
      rows.offset > size || bytes > size - rows.offset)
    return createStringError("its rows at offset " + Twine(rows.offset) + " lie outside the " +
                             Twine(size) + " bytes of input file " + Twine(rows.file) +
                             "; the file changed while it was compiled");
  return Error::success();
}

Error checkMatrix(const MatrixSource &source, ArrayRef<gguf::MappedFile> inputs) {
  for (const std::vector<FileRows> &part : source.parts)
    for (const FileRows &piece : part) {
      if (piece.columns != source.k)
        return createStringError("a piece with rows of " + Twine(piece.columns) +
                                 " elements, expected " + Twine(source.k));
      if (Error error = checkRows(piece, inputs))
        return error;
    }
  return checkPackedMatrix(packedMatrix(source, inputs));
}

Error checkPlain(const PlainSource &source, ArrayRef<gguf::MappedFile> inputs) {
  uint64_t elements = 0;
  for (const FileRows &piece : source.pieces) {
    if (Error error = checkRows(piece, inputs))
      return error;
    elements += piece.rows * piece.columns;
  }
  if (elements != source.elements || elements == 0)
    return createStringError("its pieces have " + Twine(elements) + " elements, expected " +
                             Twine(source.elements));
  return Error::success();
}

} // namespace

uint64_t packedSize(const TensorSource &source) {
  return std::visit(Overloaded{
                        [](const MatrixSource &s) { return packedMatrix(s, {}).bytes(); },
                        [](const PlainSource &s) { return plainElements(s) * sizeof(float); },
                        [](const RopeTableSource &s) {
                          return ropeTableRows(s) * 2 * s.frequencies.size() * sizeof(float);
                        },
                    },
                    source);
}

Error checkSource(StringRef name, const TensorSource &source, ArrayRef<gguf::MappedFile> inputs) {
  Error error = std::visit(Overloaded{
                               [&](const MatrixSource &s) { return checkMatrix(s, inputs); },
                               [&](const PlainSource &s) { return checkPlain(s, inputs); },
                               [&](const RopeTableSource &s) {
                                 return s.frequencies.empty() ? createStringError("no frequencies")
                                                              : Error::success();
                               },
                           },
                           source);
  if (error)
    return createStringError("weight '" + name + "': " + toString(std::move(error)));
  return Error::success();
}

Error produceTensor(const TensorSource &source, ArrayRef<gguf::MappedFile> inputs,
                    uint64_t pieceBytes, ProvideBytes provide, std::vector<EncodingError> &errors) {
  return std::visit(
      Overloaded{
          [&](const MatrixSource &s) {
            return produceMatrix(s, inputs, pieceBytes, provide, errors);
          },
          [&](const PlainSource &s) { return producePlain(s, inputs, pieceBytes, provide); },
          [&](const RopeTableSource &s) { return produceRopeTable(s, provide); },
      },
      source);
}

} // namespace tern
