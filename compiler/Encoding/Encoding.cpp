// Names and arithmetic of EncodingDesc.
#include "compiler/Encoding/Encoding.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace tern {

namespace {
struct CodeFacts {
  StringLiteral name;
  unsigned bits;
  int zero, largest;
};
// Indexed by CodeKind.
constexpr CodeFacts codeFacts[] = {
    {"f32", 32, 0, 0},       {"f16", 16, 0, 0},       {"bf16", 16, 0, 0},  {"ternary", 2, 1, 2},
    {"ternary-b3", 2, 1, 2}, {"quaternary", 2, 1, 3}, {"uint2", 2, 0, 3},  {"int3", 3, 4, 7},
    {"int4", 4, 8, 15},      {"uint4", 4, 0, 15},     {"int5", 5, 16, 31}, {"uint5", 5, 0, 31},
    {"int6", 6, 32, 63},     {"int8", 8, 0, 255},     {"iq4nl", 4, 0, 15}, {"e2m1", 4, 0, 15},
};
struct ScaleFacts {
  StringLiteral name;
  unsigned bits;
  bool inner; ///< an integer under a super-group's scale
};
// Indexed by ScaleType.
constexpr ScaleFacts scaleFacts[] = {
    {"none", 0, false}, {"f16", 16, false}, {"f32", 32, false}, {"e8m0", 8, false},
    {"u4", 4, true},    {"u6", 6, true},    {"i6", 6, true},    {"i8", 8, true},
};
// kvalues_iq4nl and kvalues_mxfp4 of llama.cpp.
constexpr int8_t iq4nlBook[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                1,    13,   25,  38,  53,  69,  89,  113};
constexpr int8_t e2m1Book[] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

const CodeFacts &facts(CodeKind kind) { return codeFacts[unsigned(kind)]; }
const ScaleFacts &facts(ScaleType type) { return scaleFacts[unsigned(type)]; }
bool isFloatScale(ScaleType type) { return type == ScaleType::F16 || type == ScaleType::F32; }
} // namespace

unsigned EncodingDesc::codeBits() const { return facts(codes).bits; }

int EncodingDesc::zero() const { return facts(codes).zero; }

int EncodingDesc::largestCode() const { return facts(codes).largest; }

ArrayRef<int8_t> EncodingDesc::codeBook() const {
  if (codes == CodeKind::IQ4NL)
    return iq4nlBook;
  return codes == CodeKind::E2M1 ? ArrayRef<int8_t>(e2m1Book) : ArrayRef<int8_t>();
}

unsigned EncodingDesc::scaleBits() const { return facts(scale).bits; }

int EncodingDesc::scaleZero() const { return scale == ScaleType::I6 ? 32 : 0; }

unsigned EncodingDesc::outerScaleBytes() const { return facts(outerScale()).bits / 8; }

double EncodingDesc::bitsPerWeight() const {
  if (isFloat())
    return codeBits();
  double scales = minimum ? 2 : 1;
  unsigned base3Bytes = (groupSize + 19) / 20 * 4; // 20 codes in a line of 4 bytes
  double bits = codes == CodeKind::TernaryB3 ? 8.0 * base3Bytes / groupSize : double(codeBits());
  bits += scales * scaleBits() / groupSize;
  return hasSuper() ? bits + scales * facts(superScale).bits / superSize : bits;
}

std::string EncodingDesc::problem() const {
  std::string name = "codes '" + spelling(codes).str() + "'";
  if (isFloat())
    return groupSize || scale != ScaleType::None || minimum || superSize ||
                   superScale != ScaleType::None
               ? "float " + name + " take neither group nor scale"
               : "";
  if (groupSize == 0 || groupSize % 16 != 0)
    return name + " need a group that is a multiple of 32, got " + std::to_string(groupSize);
  if (scale == ScaleType::None)
    return name + " need a scale type (f16 or f32)";
  if (!hasSuper()) {
    if (groupSize % 32 != 0)
      return name + " need a group that is a multiple of 32, got " + std::to_string(groupSize);
    if (superScale != ScaleType::None)
      return "a super-group's scale type needs the size of the super-group";
    if (facts(scale).inner)
      return "scales of type '" + spelling(scale).str() + "' need a super-group";
    if (minimum && !isFloatScale(scale))
      return "minimums are of type f16 or f32, not '" + spelling(scale).str() + "'";
  } else {
    if (!facts(scale).inner || !isFloatScale(superScale))
      return "a super-group needs integer scales for its groups and f16 or f32 for itself";
    if (minimum != (scale == ScaleType::U4 || scale == ScaleType::U6))
      return "scales of type '" + spelling(scale).str() + "' go " + (minimum ? "without" : "with") +
             " minimums";
    if (superSize % 256 != 0 || superSize % (8 * groupSize) != 0)
      return "super-groups are a multiple of 256 and of eight groups, got " +
             std::to_string(superSize);
  }
  if (minimum && (zero() != 0 || !codeBook().empty()))
    return name + " take no minimum: they have a zero point or a code book";
  return "";
}

std::string EncodingDesc::str() const {
  std::string text = spelling(codes).str();
  if (isFloat())
    return text;
  text += ":g" + std::to_string(groupSize) + ":" + spelling(scale).str();
  if (minimum)
    text += ":min";
  if (hasSuper())
    text += ":s" + std::to_string(superSize) + ":" + spelling(superScale).str();
  return text;
}

std::optional<EncodingDesc> parseEncoding(StringRef text) {
  SmallVector<StringRef, 6> parts;
  text.split(parts, ':');
  ArrayRef<StringRef> rest = parts;
  std::optional<CodeKind> codes = parseCodeKind(rest.front());
  if (!codes)
    return std::nullopt;
  rest = rest.drop_front();
  EncodingDesc desc{*codes};
  auto takeSize = [&](char prefix, unsigned &size) {
    if (rest.empty() || rest.front().size() < 2 || rest.front()[0] != prefix ||
        rest.front().drop_front().getAsInteger(10, size))
      return false;
    rest = rest.drop_front();
    return true;
  };
  auto takeScale = [&](ScaleType &type) {
    std::optional<ScaleType> parsed = rest.empty() ? std::nullopt : parseScaleType(rest.front());
    if (!parsed)
      return false;
    type = *parsed;
    rest = rest.drop_front();
    return true;
  };
  if (!desc.isFloat()) {
    if (!takeSize('g', desc.groupSize) || !takeScale(desc.scale))
      return std::nullopt;
    if (!rest.empty() && rest.front() == "min") {
      desc.minimum = true;
      rest = rest.drop_front();
    }
    if (!rest.empty() && (!takeSize('s', desc.superSize) || !takeScale(desc.superScale)))
      return std::nullopt;
  }
  if (!rest.empty() || !desc.problem().empty() || desc.str() != text)
    return std::nullopt;
  return desc;
}

StringRef spelling(CodeKind kind) { return facts(kind).name; }

std::optional<CodeKind> parseCodeKind(StringRef text) {
  for (unsigned i = 0; i < std::size(codeFacts); ++i)
    if (text == codeFacts[i].name)
      return CodeKind(i);
  return std::nullopt;
}

std::string knownCodeKinds() {
  return join(map_range(codeFacts, [](const CodeFacts &f) { return f.name; }), ", ");
}

StringRef spelling(ScaleType type) { return facts(type).name; }

std::optional<ScaleType> parseScaleType(StringRef text) {
  for (unsigned i = 0; i < std::size(scaleFacts); ++i)
    if (text == scaleFacts[i].name)
      return ScaleType(i);
  return std::nullopt;
}

} // namespace tern
