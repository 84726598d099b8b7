// Everything a .tern file will hold, before weights are packed.
//
// `table` is the schema's own object form (tern_generated.h, fb::ArtifactT), so there is no second
// description of the format. The writer fills in what only it knows: each tensor's offset and size,
// each unit's segment and digest, each variant's code segment and digest, and the file size.
// Weights stay in the input files; a TensorSource says where and how.
#ifndef TERN_COMPILER_ARTIFACT_ARTIFACTMODEL_H
#define TERN_COMPILER_ARTIFACT_ARTIFACTMODEL_H

#include "compiler/Encoding/PackWeights.h"
#include "tern_generated.h"
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace tern {

/// Rows of a weight in an input file.
struct FileRows {
  uint32_t file = 0; ///< index into ArtifactModel::inputFiles
  uint64_t offset = 0;
  const BlockFormat *format = nullptr;
  uint64_t rows = 0;
  uint64_t columns = 0;
  std::string weight = {};           ///< name in the graph
  const float *importance = nullptr; ///< as SourceRows; not owned
  float tensorScale = 0;             ///< as SourceRows
};

/// A matrix in a target's layout, possibly made of several (`#tern.parts`). Layout id: layout.id().
struct MatrixSource {
  WeightLayout layout;
  EncodingDesc encoding;
  uint64_t rows = 0, k = 0;
  /// Per part, sources whose rows follow each other.
  std::vector<std::vector<FileRows>> parts;
};

/// Float values in row-major order, converted to f32; several sources follow each other. A vector
/// (rank 1) is padded with zeros to a multiple of 32 elements. Layout id: "rows".
struct PlainSource {
  std::vector<FileRows> pieces;
  uint64_t elements = 0; ///< without padding
  bool padded = false;
};

/// A table the compiler computes, as `#tern.rope_table` describes: f32 [rows][frequencies][2].
struct RopeTableSource {
  uint64_t positions = 0;
  double magnitude = 1;
  std::vector<double> frequencies;
};

using TensorSource = std::variant<MatrixSource, PlainSource, RopeTableSource>;

struct ArtifactModel {
  /// Tensors name their unit; every unit holds at least one tensor. Metadata may come in any order.
  fb::ArtifactT table;
  std::vector<TensorSource> sources;      ///< one per table.tensors
  std::vector<std::vector<uint8_t>> code; ///< one image per table.variants
  std::vector<std::string> inputFiles;
  /// Filled in by the writer, one list per source: for a matrix the error of each of its pieces, in
  /// the order of its parts, else empty.
  std::vector<std::vector<EncodingError>> errors;
};

} // namespace tern
#endif
