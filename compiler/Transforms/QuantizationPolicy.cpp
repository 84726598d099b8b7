// Parsing of --quantize.
#include "compiler/Transforms/QuantizationPolicy.h"

#include "compiler/Encoding/BlockFormat.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;
using namespace tern;

namespace {

/// The GGUF types that values can be encoded as. The format's own name for a type stands for its
/// encoding: "q4_k".
bool isPolicy(const BlockFormat &format) { return format.ggufType >= 0 && format.canEncode(); }

std::string knownPolicies() {
  std::string text = "keep, int8, int4, int4:gN, int4:gN:min (N = 32, 64, 128, 256), ternary, "
                     "ternary-b3, quaternary";
  for (const BlockFormat &format : blockFormats())
    if (isPolicy(format))
      text += ", " + format.name.str();
  return text;
}

/// One policy word; nullopt inside the Expected means keep.
Expected<std::optional<EncodingDesc>> parsePolicyWord(StringRef word) {
  using Result = std::optional<EncodingDesc>;
  if (word == "keep")
    return Result();
  if (const BlockFormat *format = findBlockFormat(word); format && isPolicy(*format))
    return Result(format->encoding);
  if (word == "int8")
    return Result(EncodingDesc{CodeKind::Int8, 32, ScaleType::F16});
  if (word == "ternary")
    return Result(EncodingDesc{CodeKind::Ternary, 256, ScaleType::F16});
  if (word == "ternary-b3")
    return Result(EncodingDesc{CodeKind::TernaryB3, 256, ScaleType::F16});
  if (word == "quaternary")
    return Result(EncodingDesc{CodeKind::Quaternary, 256, ScaleType::F16});
  StringRef rest = word;
  if (rest.consume_front("int4")) {
    EncodingDesc int4{CodeKind::Int4, 32, ScaleType::F16};
    if (rest.consume_back(":min")) {
      int4.codes = CodeKind::UInt4;
      int4.minimum = true;
    }
    if (rest.empty() ||
        (rest.consume_front(":g") && !rest.getAsInteger(10, int4.groupSize) &&
         is_contained({32u, 64u, 128u, 256u}, int4.groupSize) && rest == utostr(int4.groupSize)))
      return Result(int4);
  }
  return createStringError("unknown quantization policy '" + word.str() + "'; known are " +
                           knownPolicies());
}

} // namespace

Expected<QuantizationPolicy> QuantizationPolicy::parse(StringRef text) {
  QuantizationPolicy policy;
  SmallVector<StringRef> items;
  text.split(items, ',');
  bool havePlain = false;
  for (StringRef item : items) {
    auto [pattern, word] = item.rsplit('=');
    if (!item.contains('=')) {
      if (havePlain)
        return createStringError("two plain quantization policies in '" + text.str() +
                                 "'; write PATTERN=POLICY for all but one");
      havePlain = true;
      auto encoding = parsePolicyWord(item);
      if (!encoding)
        return encoding.takeError();
      policy.plain = *encoding;
      continue;
    }
    auto encoding = parsePolicyWord(word);
    if (!encoding)
      return encoding.takeError();
    auto glob = GlobPattern::create(pattern);
    if (!glob)
      return createStringError("bad weight pattern '" + pattern.str() +
                               "': " + toString(glob.takeError()));
    policy.rules.push_back({pattern.str(), std::move(*glob), *encoding});
  }
  return policy;
}

std::optional<EncodingDesc> QuantizationPolicy::encodingFor(StringRef weight) const {
  for (const Rule &rule : reverse(rules))
    if (rule.glob.match(weight)) {
      rule.used = true;
      return rule.encoding;
    }
  return plain;
}

std::vector<std::string> QuantizationPolicy::unusedPatterns() const {
  std::vector<std::string> unused;
  for (const Rule &rule : rules)
    if (!rule.used)
      unused.push_back(rule.pattern);
  return unused;
}
