// Cosines and sines of rotary positions, the same bits on every host.
#ifndef TERN_COMPILER_ARTIFACT_ROPETABLE_H
#define TERN_COMPILER_ARTIFACT_ROPETABLE_H

#include "compiler/Artifact/ArtifactModel.h"

namespace tern {

struct CosineSine {
  double cosine, sine;
};

/// cos and sin of multiplier * frequency radians; 0 <= multiplier < 2^26, |frequency| < 2^20. Error
/// below 2^-50. Uses only IEEE additions and multiplications, so no host's libm shows in an
/// artifact.
CosineSine cosineSine(uint64_t multiplier, double frequency);

/// Rows of a table: 256 fine ones and one for each 256 positions.
uint64_t ropeTableRows(const RopeTableSource &table);

/// Row `row` as `#tern.rope_table` describes, 2 * frequencies floats.
void ropeTableRow(const RopeTableSource &table, uint64_t row, float *values);

} // namespace tern
#endif
