// Names and arithmetic of EncodingDesc.
#include "compiler/Encoding/Encoding.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace tern {

namespace {
struct CodeFacts {
  StringLiteral name;
  unsigned bits;
  int zero;
};
// Indexed by CodeKind.
constexpr CodeFacts codeFacts[] = {
    {"f32", 32, 0},       {"f16", 16, 0}, {"bf16", 16, 0}, {"ternary", 2, 1},
    {"quaternary", 2, 1}, {"int4", 4, 8}, {"int8", 8, 0},
};
constexpr StringLiteral scaleNames[] = {"none", "f16", "f32"};

const CodeFacts &facts(CodeKind kind) { return codeFacts[unsigned(kind)]; }
} // namespace

unsigned EncodingDesc::codeBits() const { return facts(codes).bits; }

int EncodingDesc::zero() const { return facts(codes).zero; }

unsigned EncodingDesc::scaleBytes() const {
  return scale == ScaleType::None ? 0 : scale == ScaleType::F16 ? 2 : 4;
}

double EncodingDesc::bitsPerWeight() const {
  return codeBits() + (groupSize ? 8.0 * scaleBytes() / groupSize : 0.0);
}

std::string EncodingDesc::str() const {
  std::string text = spelling(codes).str();
  if (!isFloat())
    text += ":g" + std::to_string(groupSize) + ":" + spelling(scale).str();
  return text;
}

std::optional<EncodingDesc> parseEncoding(StringRef text) {
  SmallVector<StringRef, 3> parts;
  text.split(parts, ':');
  std::optional<CodeKind> codes = parseCodeKind(parts[0]);
  if (!codes)
    return std::nullopt;
  EncodingDesc desc{*codes};
  if (desc.isFloat())
    return parts.size() == 1 ? std::optional(desc) : std::nullopt;
  if (parts.size() != 3 || !parts[1].consume_front("g") ||
      parts[1].getAsInteger(10, desc.groupSize) || desc.groupSize == 0)
    return std::nullopt;
  std::optional<ScaleType> scale = parseScaleType(parts[2]);
  if (!scale || *scale == ScaleType::None)
    return std::nullopt;
  desc.scale = *scale;
  return desc;
}

StringRef spelling(CodeKind kind) { return facts(kind).name; }

std::optional<CodeKind> parseCodeKind(StringRef text) {
  for (unsigned i = 0; i < std::size(codeFacts); ++i)
    if (text == codeFacts[i].name)
      return CodeKind(i);
  return std::nullopt;
}

StringRef spelling(ScaleType type) { return scaleNames[unsigned(type)]; }

std::optional<ScaleType> parseScaleType(StringRef text) {
  for (unsigned i = 0; i < std::size(scaleNames); ++i)
    if (text == scaleNames[i])
      return ScaleType(i);
  return std::nullopt;
}

} // namespace tern
