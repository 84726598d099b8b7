// The text of --quantize: which encoding a weight gets, by name.
#ifndef TERN_COMPILER_TRANSFORMS_QUANTIZATIONPOLICY_H
#define TERN_COMPILER_TRANSFORMS_QUANTIZATIONPOLICY_H

#include "compiler/Encoding/Encoding.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/GlobPattern.h"
#include <vector>

namespace tern {

/// POLICY or PATTERN=POLICY pairs, comma-separated; the last matching pattern wins over the plain
/// policy. PATTERN is a shell glob over weight names.
class QuantizationPolicy {
public:
  /// The error names the word that is wrong and lists the known policies.
  static llvm::Expected<QuantizationPolicy> parse(llvm::StringRef text);

  /// The encoding for a weight, nullopt to keep its own.
  std::optional<EncodingDesc> encodingFor(llvm::StringRef weight) const;

  /// Patterns that have decided no weight so far, for lack of a match or because later ones match
  /// too: a likely typing error.
  std::vector<std::string> unusedPatterns() const;

private:
  struct Rule {
    std::string pattern;
    llvm::GlobPattern glob;
    std::optional<EncodingDesc> encoding;
    mutable bool used = false;
  };
  std::optional<EncodingDesc> plain;
  std::vector<Rule> rules;
};

} // namespace tern
#endif
