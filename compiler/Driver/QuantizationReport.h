// What re-encoding has cost: encoding, bits per weight and relative error of each matrix.
#ifndef TERN_COMPILER_DRIVER_QUANTIZATIONREPORT_H
#define TERN_COMPILER_DRIVER_QUANTIZATIONREPORT_H

#include "compiler/Artifact/ArtifactModel.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace tern {

class QuantizationReport {
public:
  /// `model` has been written. Weights that several variants pack count once.
  explicit QuantizationReport(const ArtifactModel &model);

  /// Array of {name, encoding, bits_per_weight, elements, source, reencoded, relative_error}.
  llvm::json::Array json() const;
  /// A line for each weight that was re-encoded, and one for all; nothing if none was.
  void print(llvm::raw_ostream &out) const;
  /// One line if weights that were not ternary became so; else empty.
  std::string ternaryWarning() const;

private:
  struct Weight {
    std::string name, source; ///< source: the file's format
    EncodingDesc encoding;
    uint64_t elements = 0;
    bool reencoded = false;
    EncodingError error;
  };
  std::vector<Weight> weights;
};

} // namespace tern
#endif
