#include "compiler/Calibrate/MixedPrecision.h"

#include "compiler/Artifact/ArtifactWriter.h"
#include "compiler/Artifact/WeightSource.h"
#include "compiler/Calibrate/BudgetChoice.h"
#include "compiler/Encoding/HalfFloat.h"
#include "compiler/Import/GGUF/MappedFile.h"
#include "compiler/Transforms/WeightEncoding.h"
#include "targets/TargetInfo.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Format.h"
#include <atomic>
#include <cmath>
#include <thread>

using namespace mlir;
using llvm::createStringError;
using llvm::Expected;

namespace tern {
namespace {

/// What a matrix may become, as words of --quantize; besides what it is in the file.
constexpr const char *candidateWords[] = {"ternary-b3",   "int4:g128", "int4:g64", "int4",
                                          "int4:g32:min", "int8",      "f16",      "keep"};

/// Values of a weight that its errors are measured on, at most about so many.
constexpr uint64_t sampledElements = uint64_t(1) << 19;

/// Tensors begin at multiples of this in the artifact.
constexpr uint64_t tensorAlignment = 64;

struct Candidate {
  std::string word;
  EncodingDesc encoding;
};

struct Matrix {
  ParamOp param;
  WeightOp weight;
  std::vector<FileRows> pieces;
  std::vector<Candidate> candidates;
  std::vector<uint32_t> candidateNumbers; ///< in candidateWords
  std::vector<double> errors;             ///< squared, relative; of each candidate
  uint64_t elements = 0, columns = 0;
};

EncodingDesc encodingOf(WeightOp weight) {
  auto encoding = dyn_cast_if_present<EncodingAttr>(weight.getTensorType().getEncoding());
  return encoding ? encoding.desc() : EncodingDesc{CodeKind::F32};
}

/// One candidate's error on rows of values.
class ErrorMeasure {
public:
  explicit ErrorMeasure(const EncodingDesc &encoding) : encoding(encoding) {}

  void add(ArrayRef<float> values, const float *importance) {
    decoded.resize(values.size());
    if (encoding.isFloat())
      for (auto [value, result] : llvm::zip_equal(values, decoded))
        result = encoding.codes == CodeKind::F16    ? halfToFloat(floatToHalf(value))
                 : encoding.codes == CodeKind::BF16 ? bfloat16ToFloat(floatToBfloat16(value))
                                                    : value;
    else
      encodeAndDecode(values, importance);
    for (size_t i = 0; i < values.size(); ++i) {
      double weight = importance ? importance[i] : 1, difference = double(decoded[i]) - values[i];
      squaredError += weight * difference * difference;
      squaredValues += weight * double(values[i]) * values[i];
    }
  }
  double relative() const { return squaredValues > 0 ? squaredError / squaredValues : 0; }

private:
  void encodeAndDecode(ArrayRef<float> values, const float *importance) {
    unsigned outer = encoding.outerSize(), group = encoding.groupSize;
    codes.resize(outer);
    scales.resize(outer / group);
    for (size_t k = 0; k < values.size(); k += outer) {
      encodeGroups(encoding, GroupFit::Search, values.data() + k, codes.data(), scales.data(),
                   importance ? importance + k : nullptr);
      for (size_t i = 0; i < scales.size(); ++i)
        decodeGroup(encoding, codes.data() + i * group, scales[i], decoded.data() + k + i * group);
    }
  }

  EncodingDesc encoding;
  std::vector<float> decoded;
  std::vector<uint8_t> codes;
  std::vector<GroupScale> scales;
  double squaredError = 0, squaredValues = 0;
};

/// Fills in `errors`. Values that are not finite leave errors that are not.
void measure(Matrix &matrix, ArrayRef<gguf::MappedFile> files) {
  std::vector<ErrorMeasure> measures;
  for (const Candidate &candidate : matrix.candidates)
    measures.emplace_back(candidate.encoding);
  uint64_t step = llvm::divideCeil(matrix.elements, sampledElements), row = 0;
  std::vector<float> values(matrix.columns);
  for (const FileRows &piece : matrix.pieces) {
    const uint8_t *data = files[piece.file].bytes().data() + piece.offset;
    uint64_t rowBytes = piece.format->rowBytes(piece.columns);
    for (uint64_t i = 0; i < piece.rows; ++i)
      if (row++ % step == 0) {
        decodeRow(*piece.format, data + i * rowBytes, piece.columns, values.data(),
                  piece.tensorScale);
        for (auto [candidate, one] : llvm::zip_equal(matrix.candidates, measures))
          if (!holdsExactly(candidate.encoding, *piece.format))
            one.add(values, piece.importance);
      }
  }
  for (const ErrorMeasure &one : measures)
    matrix.errors.push_back(one.relative());
}

class BudgetApplier {
public:
  BudgetApplier(ModuleOp module, const QuantizationPolicy &policy,
                const MixedPrecisionOptions &options)
      : module(module), policy(policy), options(options), symbols(module) {}

  Expected<MixedPrecisionChoice> run() {
    if (llvm::Error error = collect())
      return error;
    if (llvm::Error error = measureAll())
      return error;
    return choose();
  }

private:
  ModuleOp module;
  const QuantizationPolicy &policy;
  const MixedPrecisionOptions &options;
  SymbolTable symbols;
  std::vector<Matrix> matrices;
  std::vector<WeightLayout> layouts; ///< distinct ones of the targets: each packs its own copy
  uint64_t fixedBytes = 0;           ///< of weights that the budget does not decide

  uint64_t packedBytes(const EncodingDesc &encoding, uint64_t rows, uint64_t columns) const {
    uint64_t bytes = 0;
    for (const WeightLayout &layout : layouts)
      bytes += llvm::alignTo(layout.packedBytes(encoding, rows, columns), tensorAlignment);
    return bytes;
  }

  llvm::Error collect() {
    for (const std::string &name : options.targets) {
      auto target = lookupTarget(name);
      if (!target)
        return target.takeError();
      if (llvm::none_of(layouts, [&](const WeightLayout &layout) {
            return layout.id() == target->layout.id();
          }))
        layouts.push_back(target->layout);
    }
    llvm::StringSet<> seen;
    llvm::Error failure = llvm::Error::success();
    module.walk([&](ParamOp param) {
      auto weight = symbols.lookup<WeightOp>(param.getWeight());
      if (failure || !weight || !seen.insert(param.getWeight()).second)
        return;
      if (llvm::Error error = add(param, weight))
        failure = llvm::joinErrors(std::move(failure), std::move(error));
    });
    return failure;
  }

  llvm::Error add(ParamOp param, WeightOp weight) {
    auto source = weightSource(weight);
    if (!source)
      return source.takeError();
    auto *plain = std::get_if<PlainSource>(&*source);
    if (!plain || !isQuantizedMatrix(param)) {
      fixedBytes += llvm::alignTo(packedSize(*source), tensorAlignment);
      return llvm::Error::success();
    }
    Matrix matrix;
    matrix.param = param;
    matrix.weight = weight;
    matrix.pieces = plain->pieces;
    matrix.elements = plain->elements;
    matrix.columns = uint64_t(weight.getTensorType().getShape().back());
    if (std::optional<PolicyDecision> decision = policy.patternFor(weight.getSymName())) {
      fixedBytes += packedBytes(decision->value_or(encodingOf(weight)),
                                matrix.elements / matrix.columns, matrix.columns);
      return llvm::Error::success();
    }
    for (auto [number, word] : llvm::enumerate(candidateWords)) {
      auto encoding = parseEncodingPolicy(word);
      if (!encoding)
        return encoding.takeError();
      EncodingDesc desc = encoding->value_or(encodingOf(weight));
      if (desc.groupSize && matrix.columns % desc.outerSize() != 0)
        continue;
      matrix.candidates.push_back({word, desc});
      matrix.candidateNumbers.push_back(number);
    }
    matrices.push_back(std::move(matrix));
    return llvm::Error::success();
  }

  llvm::Error measureAll() {
    std::vector<gguf::MappedFile> files(options.inputFiles.size());
    for (auto [file, path] : llvm::zip_equal(files, options.inputFiles))
      if (std::string error; !file.open(path, error))
        return createStringError(error);
    bool weighed = false;
    for (Matrix &matrix : matrices) {
      std::vector<FileRows> pieces;
      for (const FileRows &piece : matrix.pieces) {
        ArrayRef<float> columns =
            options.importance ? options.importance->find(piece.weight) : ArrayRef<float>();
        weighed |= !columns.empty();
        auto split = weighRows(piece, columns);
        if (!split)
          return split.takeError();
        llvm::append_range(pieces, *split);
      }
      matrix.pieces = std::move(pieces);
    }
    if (options.importance && !weighed)
      return createStringError("the importance matrix weighs nothing: none of its " +
                               Twine(options.importance->size()) +
                               " entries names a weight that the budget decides");
    std::atomic<size_t> next{0};
    auto work = [&] {
      for (size_t i = next++; i < matrices.size(); i = next++)
        measure(matrices[i], files);
    };
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < options.threads; ++i)
      threads.emplace_back(work);
    work();
    for (std::thread &thread : threads)
      thread.join();
    for (Matrix &matrix : matrices)
      if (llvm::none_of(matrix.errors, [](double error) { return std::isfinite(error); }))
        return createStringError("weight '" + matrix.weight.getSymName() +
                                 "' has values that are not finite");
    return llvm::Error::success();
  }

  Expected<MixedPrecisionChoice> choose() {
    const QuantizationBudget &budget = *policy.budget();
    uint64_t elements = 0;
    std::vector<std::vector<BudgetOption>> items;
    for (const Matrix &matrix : matrices) {
      items.emplace_back();
      elements += matrix.elements;
      for (auto [i, candidate] : llvm::enumerate(matrix.candidates)) {
        if (!std::isfinite(matrix.errors[i]))
          continue; // beyond the range of its scales
        double bytes = budget.bytes
                           ? double(packedBytes(candidate.encoding,
                                                matrix.elements / matrix.columns, matrix.columns))
                           : candidate.encoding.bitsPerWeight() * double(matrix.elements) / 8;
        items.back().push_back({bytes, matrix.errors[i], matrix.candidateNumbers[i]});
      }
    }
    if (matrices.empty())
      return createStringError("the patterns of --quantize decide every matrix and leave nothing "
                               "to its budget");
    double limit = budget.bytes ? double(budget.bytes) - double(fixedBytes)
                                : budget.bits * double(elements) / 8;
    std::optional<BudgetResult> result = chooseWithin(items, limit);
    if (!result)
      return unreachable(budget, leastCost(items), elements);
    return apply(items, *result, elements, budget);
  }

  llvm::Error unreachable(const QuantizationBudget &budget, double least, uint64_t elements) const {
    std::string text;
    llvm::raw_string_ostream out(text);
    if (budget.bytes)
      out << "a budget of " << budget.bytes
          << " bytes is out of reach: the smallest encodings take "
          << uint64_t(std::ceil(least)) + fixedBytes << " bytes, of which " << fixedBytes
          << " are weights that the budget does not decide";
    else
      out << "a budget of " << llvm::format("%g", budget.bits)
          << " bits per weight is out of reach: the smallest encodings take "
          << llvm::format("%.4f", std::ceil(least * 8e4 / double(elements)) / 1e4);
    return createStringError(text);
  }

  MixedPrecisionChoice apply(ArrayRef<std::vector<BudgetOption>> items, const BudgetResult &result,
                             uint64_t elements, const QuantizationBudget &budget) {
    MixedPrecisionChoice choice;
    double bits = 0;
    for (auto [matrix, item, index] : llvm::zip_equal(matrices, items, result.chosen)) {
      auto number = llvm::find(matrix.candidateNumbers, item[index].candidate);
      const Candidate &candidate = matrix.candidates[number - matrix.candidateNumbers.begin()];
      bits += candidate.encoding.bitsPerWeight() * double(matrix.elements);
      choice.weights.push_back({matrix.weight.getSymName().str(), candidate.word,
                                candidate.encoding.bitsPerWeight(), std::sqrt(item[index].error)});
      if (candidate.word != "keep")
        setEncoding(matrix.param, matrix.weight, candidate.encoding);
    }
    choice.bytes = uint64_t(std::ceil(result.cost)) + (budget.bytes ? fixedBytes : 0);
    choice.bitsPerWeight = bits / double(elements);
    choice.limitIsBytes = budget.bytes != 0;
    choice.limit = budget.bytes ? double(budget.bytes) : budget.bits;
    choice.error = result.error;
    return choice;
  }
};

} // namespace

Expected<MixedPrecisionChoice> applyBudget(ModuleOp module, const QuantizationPolicy &policy,
                                           const MixedPrecisionOptions &options) {
  return BudgetApplier(module, policy, options).run();
}

void print(const MixedPrecisionChoice &choice, llvm::raw_ostream &out) {
  size_t width = 6;
  for (const MixedPrecisionChoice::Weight &weight : choice.weights)
    width = std::max(width, weight.name.size());
  out << llvm::left_justify("weight", width) << "  choice          bits   error\n";
  for (const MixedPrecisionChoice::Weight &weight : choice.weights)
    out << llvm::left_justify(weight.name, width) << "  " << llvm::left_justify(weight.policy, 13)
        << llvm::format("%7.2f %7.4f\n", weight.bitsPerWeight, weight.relativeError);
  out << "budget: " << llvm::format("%.3f", choice.bitsPerWeight) << " bits per weight, ";
  if (choice.limitIsBytes)
    out << choice.bytes << " of " << uint64_t(choice.limit) << " bytes for all weights";
  else
    out << "of at most " << llvm::format("%g", choice.limit);
  out << ", sum of squared relative errors " << llvm::format("%.6g", choice.error) << '\n';
}

llvm::json::Value toJson(const MixedPrecisionChoice &choice) {
  llvm::json::Array weights;
  for (const MixedPrecisionChoice::Weight &weight : choice.weights)
    weights.push_back(llvm::json::Object{{"name", weight.name},
                                         {"policy", weight.policy},
                                         {"bits_per_weight", weight.bitsPerWeight},
                                         {"measured_error", weight.relativeError}});
  return llvm::json::Object{{choice.limitIsBytes ? "limit_bytes" : "limit_bits", choice.limit},
                            {"bytes", choice.bytes},
                            {"bits_per_weight", choice.bitsPerWeight},
                            {"error", choice.error},
                            {"weights", std::move(weights)}};
}

} // namespace tern
