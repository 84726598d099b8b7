// The text of --quantize: which encoding a weight gets, by name.
#ifndef TERN_COMPILER_TRANSFORMS_QUANTIZATIONPOLICY_H
#define TERN_COMPILER_TRANSFORMS_QUANTIZATIONPOLICY_H

#include "compiler/Encoding/Encoding.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/GlobPattern.h"
#include <vector>

namespace tern {

/// Bytes of "600M" or "1.5G" (K, M, G: powers of 1000), 1 to 1e15; nullopt for anything else.
std::optional<uint64_t> parseSize(llvm::StringRef text);

/// An encoding, or nullopt to keep the weight's own.
using PolicyDecision = std::optional<EncodingDesc>;

/// One word of --quantize that names an encoding: "int4:g64", "keep".
llvm::Expected<PolicyDecision> parseEncodingPolicy(llvm::StringRef word);

/// What the weights that no pattern decides may take together; one of the two is set.
struct QuantizationBudget {
  uint64_t bytes = 0; ///< budget:SIZE, all weights of the artifact
  double bits = 0;    ///< bits:B, the mean over these weights, scales included
};

/// POLICY or PATTERN=POLICY pairs, comma-separated; the last matching pattern wins over the plain
/// policy. PATTERN is a shell glob over weight names.
class QuantizationPolicy {
public:
  /// The error names the word that is wrong and lists the known policies.
  static llvm::Expected<QuantizationPolicy> parse(llvm::StringRef text);

  /// The encoding for a weight, nullopt to keep its own.
  std::optional<EncodingDesc> encodingFor(llvm::StringRef weight) const;

  /// What the last matching pattern says; nullopt if none matches.
  std::optional<PolicyDecision> patternFor(llvm::StringRef weight) const;

  /// The plain policy, if it is a budget: encodingFor then keeps what no pattern decides.
  const std::optional<QuantizationBudget> &budget() const { return budgetOfRest; }
  /// The text without its plain policy.
  std::string patterns() const;

  /// Patterns that have decided no weight so far, for lack of a match or because later ones match
  /// too: a likely typing error.
  std::vector<std::string> unusedPatterns() const;

private:
  struct Rule {
    std::string pattern, policy;
    llvm::GlobPattern glob;
    std::optional<EncodingDesc> encoding;
    mutable bool used = false;
  };
  std::optional<EncodingDesc> plain;
  std::optional<QuantizationBudget> budgetOfRest;
  std::vector<Rule> rules;
};

} // namespace tern
#endif
