// A model's hyperparameters and tensors, whatever file format they come from.
//
// Importers fill these; architectures read nothing else. Tensor names are GGUF's: other formats map
// theirs to them.
#ifndef TERN_COMPILER_IMPORT_ARCHITECTURES_MODELCONFIG_H
#define TERN_COMPILER_IMPORT_ARCHITECTURES_MODELCONFIG_H

#include "compiler/Encoding/Encoding.h"
#include "compiler/Import/KvElement.h"
#include "mlir/IR/Attributes.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tern {

struct RopeScaling {
  /// Long: the model's own factors for each frequency (ModelConfig::ropeFactors).
  enum class Kind : uint8_t { None, Linear, Yarn, Long } kind = Kind::None;
  double factor = 1;
  // YaRN (Peng et al., 2023).
  double originalContext = 0;
  double attentionFactor = 1;
  double extrapolation = 1;
  double betaFast = 32, betaSlow = 1;
};

/// The longest context a model is compiled for: what its rope table covers.
inline constexpr uint64_t largestContext = uint64_t(1) << 20;

/// Elementwise functions between the matrices of a feed-forward block.
enum class Activation : uint8_t { Silu, GeluTanh, Gelu, SquaredRelu };
enum class NormKind : uint8_t { Rms, Layer };
/// Which elements of a head rotate together: 2i and 2i + 1, or i and i + dimensions / 2.
enum class RopePairs : uint8_t { Adjacent, Halves };

/// A mixture of experts in place of feed-forward blocks; count 0: none.
struct ExpertConfig {
  uint64_t count = 0, used = 0;
  uint64_t feedForward = 0, sharedFeedForward = 0; ///< 0: the layer's own
  /// Whether the chosen experts' probabilities are divided by their sum, where the file says so.
  std::optional<bool> normalize;
  double scale = 1; ///< of the probabilities
};

/// Filled by an importer. Fields of hyperparameters that most families lack have neutral defaults.
struct ModelConfig {
  std::string source; ///< the file, for messages
  /// Where the compiled model is less than the file's: one line each, for the user.
  std::vector<std::string> notes;
  uint64_t contextLength = 0, hidden = 0, layers = 0, vocabulary = 0;
  /// One entry per layer.
  std::vector<uint64_t> heads, kvHeads, feedForward;
  uint64_t keySize = 0, valueSize = 0;
  ExpertConfig experts;
  NormKind norm = NormKind::Rms;
  double epsilon = 0;
  std::optional<double> attentionScale;          ///< of scores, where the file gives it
  double attentionSoftCap = 0, finalSoftCap = 0; ///< 0: none
  double embeddingScale = 1, residualScale = 1;
  double logitDivisor = 1;
  std::optional<Activation> activation; ///< where the file gives it

  /// Positions a sliding layer attends to, its own included; 0: no layer slides.
  uint64_t window = 0;
  /// The layers that slide, as the file says; empty: the family's own pattern.
  std::vector<bool> slidingLayers;

  uint64_t ropeDimensions = 0;
  double ropeBase = 10000;
  std::optional<double> slidingRopeBase; ///< of sliding layers, where the file gives them their own
  RopePairs ropePairs = RopePairs::Halves;
  bool usesRope = true;
  RopeScaling ropeScaling;
  /// Divisors of the frequencies (Llama 3, LongRoPE); empty or ropeDimensions / 2 of them.
  std::vector<double> ropeFactors;

  KvElement kv = KvElement::F16;
};

/// A tensor as its file holds it.
struct SourceTensor {
  llvm::SmallVector<uint64_t, 4> shape;
  EncodingDesc encoding;
  mlir::Attribute source; ///< #tern.file
};

class ModelSource {
public:
  virtual ~ModelSource() = default;
  /// The tensor, or null. Asking marks it as used.
  virtual const SourceTensor *find(llvm::StringRef name) = 0;
};

} // namespace tern
#endif
