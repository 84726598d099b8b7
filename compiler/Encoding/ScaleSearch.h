// The scale of a group, or the scales of a super-group, that leave the least squared error: what
// --quantize uses for everything but ternary and quaternary codes.
#ifndef TERN_COMPILER_ENCODING_SCALESEARCH_H
#define TERN_COMPILER_ENCODING_SCALESEARCH_H

#include "compiler/Encoding/GroupArithmetic.h"

namespace tern {

/// True if there is a search for such encodings: integers and code books. The rest have rules of
/// their own for their scale.
bool isSearched(const EncodingDesc &encoding);

/// Encodes outerSize() values, at most 256 of them in a group, with the least sum of importance *
/// (value - decoded)^2 that is found. isSearched(encoding). `scales` has an entry for each group.
/// `importance` has one weight of at least 0 per value, or is null: all equal. Values that are not
/// finite get valid codes of no meaning.
void searchScales(const EncodingDesc &encoding, const float *values, const float *importance,
                  uint8_t *codes, GroupScale *scales);

/// The same for an encoding with super-groups (SuperGroupSearch.cpp).
void searchSuperGroup(const EncodingDesc &encoding, const float *values, const float *importance,
                      uint8_t *codes, GroupScale *scales);

/// The same for codes that are looked up in a book (CodeBookSearch.cpp).
void searchCodeBook(const EncodingDesc &encoding, const float *values, const float *importance,
                    uint8_t *codes, GroupScale &scale);

} // namespace tern
#endif
