// How files arrange encoded weights: fixed-size blocks along K, one table row per format.
//
// A format says how many elements and bytes a block has, which EncodingDesc its content is, and how
// to take codes and scales out of a block and put them back (FileBlocks.h). Decoding and encoding
// of values follow from the EncodingDesc (GroupArithmetic.h). Adding a format is adding its row and
// its two functions.
#ifndef TERN_COMPILER_ENCODING_BLOCKFORMAT_H
#define TERN_COMPILER_ENCODING_BLOCKFORMAT_H

#include "compiler/Encoding/FileBlocks.h"
#include "llvm/ADT/ArrayRef.h"

namespace tern {

struct BlockFormat {
  using Unpack = void (*)(const uint8_t *block, BlockContent content);
  using Pack = void (*)(const BlockContent &content, uint8_t *block);

  llvm::StringRef name; ///< "tq2_0": the spelling in `#tern.file` and in messages
  int ggufType;         ///< GGML type number, or -1 when GGUF has no such type
  unsigned blockElements;
  unsigned blockBytes;
  EncodingDesc encoding; ///< a tq2_0 tensor that holds code 3 is Quaternary instead
  GroupFit fit;
  Unpack unpack; ///< null for float formats
  Pack pack;     ///< null for float formats
  /// Bytes behind a tensor's last block, which begin with the float scale of all its groups; 0:
  /// each block has its own.
  unsigned tensorScaleBytes = 0;

  bool isFloat() const { return encoding.isFloat(); }
  /// True if encodeRow can make blocks of this format.
  bool canEncode() const { return tensorScaleBytes == 0; }
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

/// Elements and groups per block a decode or encode buffer must hold, over all formats.
constexpr unsigned maxBlockElements = 256;
constexpr unsigned maxGroupsPerBlock = 16;

/// Codes and scales of one block. `tensorScale` serves formats with tensorScaleBytes.
void unpackBlock(const BlockFormat &format, const uint8_t *block, float tensorScale,
                 BlockContent content);
/// Decodes `elements` (a multiple of the block) values exactly as the `gguf` package does.
void decodeRow(const BlockFormat &format, const uint8_t *bytes, uint64_t elements, float *values,
               float tensorScale = 0);
/// Encodes with the format's fit: GroupFit::Peak exactly as the `gguf` package does (finite input;
/// a NaN becomes code 0's value). The format's canEncode() holds.
void encodeRow(const BlockFormat &format, const float *values, uint64_t elements, uint8_t *bytes);

} // namespace tern
#endif
