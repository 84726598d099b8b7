// What a softmax over the logits of a vocabulary is made of: the largest, exp, and sums.
//
// These passes over a row are written in lanes, so that compilers make vectors of them for any CPU.
// All results have the same bits on every platform: the lanes are fixed, and exp is computed here.
#ifndef TERN_RUNTIME_SESSION_SOFTMAX_H
#define TERN_RUNTIME_SESSION_SOFTMAX_H

#include <cstdint>

namespace tern::runtime {

/// The largest number, leaving NaN out; -infinity if there is none.
float largestOf(const float *values, uint32_t count);

/// The token with the largest logit, the lowest among equals. NaN and -infinity never win: -1 if
/// there is nothing else.
int32_t largestLogit(const float *logits, uint32_t count);

/// e^x for x <= 0 to within 2 units in the last place; 0 below -87 and for NaN.
float expOfNegative(float x);
/// Replaces each number by its expOfNegative().
void expOfNegatives(float *values, uint32_t count);

/// In double precision, in eight lanes.
double sumOf(const float *values, uint32_t count);

} // namespace tern::runtime

#endif
