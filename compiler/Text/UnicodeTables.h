// Unicode 16.0 data for the tokenizer tables: character classes and canonical composition.
//
// The data is generated (generate_unicode_tables.py) and linked into the compiler only. What an
// artifact's tokenizer needs of it is copied into the artifact, so that the runtime has none.
#ifndef TERN_COMPILER_TEXT_UNICODETABLES_H
#define TERN_COMPILER_TEXT_UNICODETABLES_H

#include "tern_generated.h"

#include <cstdint>
#include <vector>

namespace tern {

/// The two-stage table of Tokenizer.class_pages and class_blocks.
struct CharClassTable {
  std::vector<uint16_t> pages;
  std::vector<uint8_t> blocks;
};
CharClassTable buildCharClassTable();

flatbuffers::Offset<fb::NfcTables> buildNfcTables(flatbuffers::FlatBufferBuilder &builder);

} // namespace tern

#endif
