// The table of file block formats, and rows of blocks as values.
#include "compiler/Encoding/BlockFormat.h"

#include "compiler/Encoding/GGUFTypes.h"
#include "compiler/Encoding/HalfFloat.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Endian.h"
#include <cassert>
#include <cstring>

using namespace llvm;
using support::endian::read16le;
using support::endian::write16le;

namespace tern {

namespace {

constexpr EncodingDesc f32{CodeKind::F32}, f16{CodeKind::F16}, bf16{CodeKind::BF16};
constexpr EncodingDesc int8g32{CodeKind::Int8, 32, ScaleType::F16};
constexpr EncodingDesc int8g256{CodeKind::Int8, 256, ScaleType::F32};
constexpr EncodingDesc int4g32{CodeKind::Int4, 32, ScaleType::F16};
constexpr EncodingDesc int5g32{CodeKind::Int5, 32, ScaleType::F16};
constexpr EncodingDesc uint4g32{CodeKind::UInt4, 32, ScaleType::F16, true};
constexpr EncodingDesc uint5g32{CodeKind::UInt5, 32, ScaleType::F16, true};
constexpr EncodingDesc iq4nlg32{CodeKind::IQ4NL, 32, ScaleType::F16};
constexpr EncodingDesc e2m1g32{CodeKind::E2M1, 32, ScaleType::E8M0};
constexpr EncodingDesc ternaryg256{CodeKind::Ternary, 256, ScaleType::F16};
constexpr EncodingDesc quaternaryg64{CodeKind::Quaternary, 64, ScaleType::F16};
constexpr EncodingDesc ternaryg128{CodeKind::Ternary, 128, ScaleType::F32};
constexpr EncodingDesc ternaryg64{CodeKind::Ternary, 64, ScaleType::F32};
constexpr EncodingDesc ternaryB3g256{CodeKind::TernaryB3, 256, ScaleType::F16};
// Groups under a super-group of 256 elements.
constexpr EncodingDesc under256(CodeKind codes, unsigned groupSize, ScaleType scale, bool minimum) {
  return {codes, groupSize, scale, minimum, 256, ScaleType::F16};
}
constexpr EncodingDesc q2k = under256(CodeKind::UInt2, 16, ScaleType::U4, true),
                       q3k = under256(CodeKind::Int3, 16, ScaleType::I6, false),
                       q4k = under256(CodeKind::UInt4, 32, ScaleType::U6, true),
                       q5k = under256(CodeKind::UInt5, 32, ScaleType::U6, true),
                       q6k = under256(CodeKind::Int6, 16, ScaleType::I8, false);

// The format of a GGUF type. An unknown name is no constant expression, so it does not compile.
constexpr BlockFormat ggufType(const char *name, EncodingDesc encoding,
                               BlockFormat::Unpack unpack = nullptr,
                               BlockFormat::Pack pack = nullptr) {
  const gguf::TensorType &type = *gguf::findTensorType(name);
  // Super-groups and IQ4_NL have no fit by the peak.
  bool searched = encoding.superSize != 0 || encoding.codes == CodeKind::IQ4NL;
  return {name,
          int(type.number),
          type.blockElements,
          type.blockBytes,
          encoding,
          searched ? GroupFit::Search : GroupFit::Peak,
          unpack,
          pack,
          type.tailBytes};
}

constexpr BlockFormat formats[] = {
    ggufType("f32", f32),
    ggufType("f16", f16),
    ggufType("bf16", bf16),
    ggufType("q8_0", int8g32, unpackQ8_0, packQ8_0),
    ggufType("q4_0", int4g32, unpackQ4_0, packQ4_0),
    ggufType("q4_1", uint4g32, unpackQ4_1, packQ4_1),
    ggufType("q5_0", int5g32, unpackQ5_0, packQ5_0),
    ggufType("q5_1", uint5g32, unpackQ5_1, packQ5_1),
    ggufType("q2_0", quaternaryg64, unpackQ2_0, packQ2_0),
    ggufType("q2_k", q2k, unpackQ2_K, packQ2_K),
    ggufType("q3_k", q3k, unpackQ3_K, packQ3_K),
    ggufType("q4_k", q4k, unpackQ4_K, packQ4_K),
    ggufType("q5_k", q5k, unpackQ5_K, packQ5_K),
    ggufType("q6_k", q6k, unpackQ6_K, packQ6_K),
    ggufType("q8_k", int8g256, unpackQ8_K, packQ8_K),
    ggufType("iq4_nl", iq4nlg32, unpackQ4_0, packQ4_0),
    ggufType("mxfp4", e2m1g32, unpackMXFP4, packMXFP4),
    ggufType("tq1_0", ternaryB3g256, unpackTQ1_0, packTQ1_0),
    ggufType("tq2_0", ternaryg256, unpackTQ2_0, packTQ2_0),
    ggufType("i2_s", ternaryg128, unpackI2_S128, packI2_S128),
    // Formats that no number in a GGUF file names:
    // name     type elements bytes encoding   fit             unpack         pack
    {"i2_s_64", -1, 64, 16, ternaryg64, GroupFit::Peak, unpackI2_S64, packI2_S64, 32},
    {"ternary", -1, 256, 66, ternaryg256, GroupFit::Search, unpackTernary, packTernary},
};

} // namespace

ArrayRef<BlockFormat> blockFormats() { return formats; }

const BlockFormat *findBlockFormat(StringRef name) {
  const BlockFormat *found = find_if(formats, [&](const BlockFormat &f) { return f.name == name; });
  return found == std::end(formats) ? nullptr : found;
}

const BlockFormat *findBlockFormatByGGUFType(uint32_t type) {
  const BlockFormat *found = find_if(formats, [&](const BlockFormat &f) {
    return f.ggufType >= 0 && uint32_t(f.ggufType) == type;
  });
  return found == std::end(formats) ? nullptr : found;
}

std::string knownBlockFormats() {
  std::string text;
  for (const BlockFormat &format : formats)
    text += (text.empty() ? "" : ", ") + format.name.str();
  return text;
}

void unpackBlock(const BlockFormat &format, const uint8_t *block, float tensorScale,
                 BlockContent content) {
  format.unpack(block, content);
  if (format.tensorScaleBytes)
    for (unsigned g = 0; g < format.groupsPerBlock(); ++g)
      content.scales[g].scale = scaleToBits(format.encoding.scale, tensorScale);
}

void decodeRow(const BlockFormat &format, const uint8_t *bytes, uint64_t elements, float *values,
               float tensorScale) {
  assert(elements % format.blockElements == 0);
  switch (format.encoding.codes) {
  case CodeKind::F32:
    memcpy(values, bytes, elements * 4);
    return;
  case CodeKind::F16:
    for (uint64_t i = 0; i < elements; ++i)
      values[i] = halfToFloat(read16le(bytes + 2 * i));
    return;
  case CodeKind::BF16:
    for (uint64_t i = 0; i < elements; ++i)
      values[i] = bfloat16ToFloat(read16le(bytes + 2 * i));
    return;
  default:
    break;
  }
  uint8_t codes[maxBlockElements];
  GroupScale scales[maxGroupsPerBlock];
  unsigned group = format.encoding.groupSize;
  for (uint64_t i = 0; i < elements; i += format.blockElements, bytes += format.blockBytes) {
    unpackBlock(format, bytes, tensorScale, {codes, scales});
    for (unsigned g = 0; g < format.groupsPerBlock(); ++g)
      decodeGroup(format.encoding, codes + g * group, scales[g], values + i + g * group);
  }
}

void encodeRow(const BlockFormat &format, const float *values, uint64_t elements, uint8_t *bytes) {
  assert(elements % format.blockElements == 0 && format.canEncode());
  switch (format.encoding.codes) {
  case CodeKind::F32:
    memcpy(bytes, values, elements * 4);
    return;
  case CodeKind::F16:
    for (uint64_t i = 0; i < elements; ++i)
      write16le(bytes + 2 * i, floatToHalf(values[i]));
    return;
  case CodeKind::BF16:
    for (uint64_t i = 0; i < elements; ++i)
      write16le(bytes + 2 * i, floatToBfloat16(values[i]));
    return;
  default:
    break;
  }
  uint8_t codes[maxBlockElements];
  GroupScale scales[maxGroupsPerBlock];
  unsigned outer = format.encoding.outerSize(), group = format.encoding.groupSize;
  for (uint64_t i = 0; i < elements; i += format.blockElements, bytes += format.blockBytes) {
    for (unsigned k = 0; k < format.blockElements; k += outer)
      encodeGroups(format.encoding, format.fit, values + i + k, codes + k, scales + k / group);
    format.pack({codes, scales}, bytes);
  }
}

} // namespace tern
