#include "compiler/Driver/QuantizationReport.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Format.h"
#include <algorithm>
#include <cmath>

using namespace llvm;

namespace tern {

QuantizationReport::QuantizationReport(const ArtifactModel &model) {
  StringMap<std::pair<const MatrixSource *, size_t>> seen; // and where it stands in `weights`
  for (auto [source, errors] : zip_equal(model.sources, model.errors)) {
    auto *matrix = std::get_if<MatrixSource>(&source);
    if (!matrix)
      continue;
    size_t index = 0;
    for (const std::vector<FileRows> &part : matrix->parts)
      for (const FileRows &piece : part) {
        const EncodingError &error = errors[index++];
        bool reencoded = !holdsExactly(matrix->encoding, *piece.format) || error.squaredError != 0;
        auto [entry, isNew] = seen.try_emplace(piece.weight, matrix, weights.size());
        if (!isNew) {
          auto [first, at] = entry->second;
          if (first != matrix) // in another target's layout
            continue;
          weights[at].elements += piece.rows * piece.columns; // another expert
          weights[at].reencoded |= reencoded;
          weights[at].error += error;
          continue;
        }
        weights.push_back({piece.weight, piece.format->name.str(), matrix->encoding,
                           piece.rows * piece.columns, reencoded, error});
      }
  }
}

json::Array QuantizationReport::json() const {
  json::Array result;
  for (const Weight &weight : weights)
    result.push_back(json::Object{{"name", weight.name},
                                  {"encoding", weight.encoding.str()},
                                  {"bits_per_weight", weight.encoding.bitsPerWeight()},
                                  {"elements", weight.elements},
                                  {"source", weight.source},
                                  {"reencoded", weight.reencoded},
                                  {"relative_error", weight.error.relative()}});
  return result;
}

void QuantizationReport::print(raw_ostream &out) const {
  size_t width = 6;
  for (const Weight &weight : weights)
    if (weight.reencoded)
      width = std::max(width, weight.name.size());
  double bits = 0;
  uint64_t elements = 0, count = 0;
  EncodingError all;
  for (const Weight &weight : weights) {
    if (!weight.reencoded)
      continue;
    if (count++ == 0)
      out << left_justify("weight", width) << "  from    to                    bits   error\n";
    out << left_justify(weight.name, width) << "  " << left_justify(weight.source, 6) << "  "
        << left_justify(weight.encoding.str(), 20)
        << format("%6.2f %7.4f\n", weight.encoding.bitsPerWeight(), weight.error.relative());
    bits += weight.encoding.bitsPerWeight() * double(weight.elements);
    elements += weight.elements;
    all += weight.error;
  }
  if (count)
    out << count << " weights re-encoded: " << format("%.2f", bits / double(elements))
        << " bits per weight, relative error " << format("%.4f", all.relative()) << '\n';
}

std::string QuantizationReport::ternaryWarning() const {
  // What training leaves of an exactly ternary group is the rounding of its scale.
  constexpr double roundingOfScales = 0.01;
  EncodingError all;
  size_t count = 0;
  for (const Weight &weight : weights) {
    bool ternary = weight.encoding.isTernary() || weight.encoding.codes == CodeKind::Quaternary;
    if (!ternary || weight.error.relative() <= roundingOfScales)
      continue;
    ++count;
    all += weight.error;
  }
  if (count == 0)
    return {};
  std::string text;
  raw_string_ostream(text) << count << " weights that are not ternary in the file were rounded to "
                           << "it, with a relative error of " << format("%.2f", all.relative())
                           << ": unless the model was trained ternary, expect nonsense from it; "
                           << "int4 keeps a model's quality";
  return text;
}

} // namespace tern
