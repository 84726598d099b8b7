// Blocks of the file formats: where their codes and scales lie.
//
// The layouts are those of ggml-quants (llama.cpp), I2_S's those of bitnet.cpp. An unpack function
// takes any bytes: codes come out within the range of the format's EncodingDesc, whatever the block
// holds.
#ifndef TERN_COMPILER_ENCODING_FILEBLOCKS_H
#define TERN_COMPILER_ENCODING_FILEBLOCKS_H

#include "compiler/Encoding/GroupArithmetic.h"

namespace tern {

/// Where a block's content is written to or read from: one byte per code (unsigned as stored; int8
/// as two's complement), one GroupScale per group.
struct BlockContent {
  uint8_t *codes;
  GroupScale *scales;
};

#define TERN_FILE_BLOCK(NAME)                                                                      \
  void unpack##NAME(const uint8_t *block, BlockContent content);                                   \
  void pack##NAME(const BlockContent &content, uint8_t *block);
TERN_FILE_BLOCK(Q8_0)
TERN_FILE_BLOCK(Q4_0)
TERN_FILE_BLOCK(Q4_1)
TERN_FILE_BLOCK(Q5_0)
TERN_FILE_BLOCK(Q5_1)
TERN_FILE_BLOCK(MXFP4)
TERN_FILE_BLOCK(Q2_0)
TERN_FILE_BLOCK(Q2_K)
TERN_FILE_BLOCK(Q3_K)
TERN_FILE_BLOCK(Q4_K)
TERN_FILE_BLOCK(Q5_K)
TERN_FILE_BLOCK(Q6_K)
TERN_FILE_BLOCK(Q8_K)
TERN_FILE_BLOCK(TQ1_0)
TERN_FILE_BLOCK(TQ2_0)
TERN_FILE_BLOCK(I2_S128)
TERN_FILE_BLOCK(I2_S64)
TERN_FILE_BLOCK(Ternary)
#undef TERN_FILE_BLOCK

} // namespace tern
#endif
