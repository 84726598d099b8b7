// How files arrange encoded weights: fixed-size blocks along K, one table row per format.
//
// A format says how many elements and bytes a block has, which EncodingDesc its content is, and how
// to take codes and scales out of a block and put them back. Decoding and encoding of values follow
// from the EncodingDesc. Adding a format is adding its row and its two functions (BlockFormat.cpp).
#ifndef TERN_COMPILER_ENCODING_BLOCKFORMAT_H
#define TERN_COMPILER_ENCODING_BLOCKFORMAT_H

#include "compiler/Encoding/Encoding.h"
#include "llvm/ADT/ArrayRef.h"

namespace tern {

/// How the scale of a group is found when values are encoded.
enum class GroupFit : uint8_t {
  Peak, ///< the largest magnitude meets the end of the code range: what GGUF's quantizers do
  Mean, ///< ternary only: the mean magnitude (BitNet's absmean)
};

/// Where a block's content is written to or read from. `codes` holds one byte per element (unsigned
/// as stored; int8 as two's complement), `scales` the raw bits of one scale per group.
struct BlockContent {
  uint8_t *codes;
  uint32_t *scales;
};

struct BlockFormat {
  llvm::StringLiteral name; ///< "tq2_0": the spelling in `#tern.file` and in messages
  int ggufType;             ///< GGML type number, or -1 when GGUF has no such type
  unsigned blockElements;
  unsigned blockBytes;
  EncodingDesc encoding; ///< a tq2_0 tensor that holds code 3 is Quaternary instead
  GroupFit fit;
  void (*unpack)(const uint8_t *block, BlockContent content); ///< null for float formats
  void (*pack)(const BlockContent &content, uint8_t *block);  ///< null for float formats

  bool isFloat() const { return encoding.isFloat(); }
  unsigned groupsPerBlock() const { return isFloat() ? 0 : blockElements / encoding.groupSize; }
  /// Bytes of `elements` elements, which must be a multiple of blockElements.
  uint64_t rowBytes(uint64_t elements) const { return elements / blockElements * blockBytes; }
};

/// Every known format; the order is that of messages.
llvm::ArrayRef<BlockFormat> blockFormats();
const BlockFormat *findBlockFormat(llvm::StringRef name);    ///< null if unknown
const BlockFormat *findBlockFormatByGGUFType(uint32_t type); ///< null if unknown
/// "f32, f16, ...", for messages.
std::string knownBlockFormats();

/// Elements per block a decode or encode buffer must hold, over all formats.
constexpr unsigned maxBlockElements = 256;
constexpr unsigned maxGroupsPerBlock = 16;

/// Decodes `elements` (a multiple of the block) values exactly as the `gguf` package does.
void decodeRow(const BlockFormat &format, const uint8_t *bytes, uint64_t elements, float *values);
/// Encodes exactly as the `gguf` package does (finite input; a NaN becomes code 0's value).
void encodeRow(const BlockFormat &format, const float *values, uint64_t elements, uint8_t *bytes);

/// Encodes one group of `encoding.groupSize` values; returns the raw bits of the scale.
uint32_t encodeGroup(const EncodingDesc &encoding, GroupFit fit, const float *values,
                     uint8_t *codes);
/// value = scale * (code - zero).
void decodeGroup(const EncodingDesc &encoding, const uint8_t *codes, uint32_t scaleBits,
                 float *values);

} // namespace tern
#endif
