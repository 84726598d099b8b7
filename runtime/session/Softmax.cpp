#include "runtime/session/Softmax.h"

#include <cstring>

using namespace tern::runtime;

float tern::runtime::largestOf(const float *values, uint32_t count) {
  constexpr uint32_t lanes = 16;
  float largest[lanes];
  for (float &lane : largest)
    lane = -__builtin_inff();
  uint32_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (uint32_t lane = 0; lane < lanes; ++lane) // false for NaN
      largest[lane] = values[i + lane] > largest[lane] ? values[i + lane] : largest[lane];
  for (; i < count; ++i)
    largest[0] = values[i] > largest[0] ? values[i] : largest[0];
  for (uint32_t lane = 1; lane < lanes; ++lane)
    largest[0] = largest[lane] > largest[0] ? largest[lane] : largest[0];
  return largest[0];
}

int32_t tern::runtime::largestLogit(const float *logits, uint32_t count) {
  constexpr uint32_t block = 1024;
  float largest = -__builtin_inff();
  uint32_t at = 0; // of the first block that has it
  for (uint32_t begin = 0; begin < count; begin += block) {
    const float found = largestOf(logits + begin, count - begin < block ? count - begin : block);
    if (found > largest) {
      largest = found;
      at = begin;
    }
  }
  if (largest == -__builtin_inff())
    return -1;
  while (logits[at] != largest)
    ++at;
  return int32_t(at);
}

static inline float exponential(float x) {
  const float bounded = x >= -87.0f ? x : -87.0f; // also for NaN
  // x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts, so that n times the first is exact.
  const float scaled = bounded * 1.44269504f;
  const int32_t n = int32_t(scaled - 0.5f);
  const float r = (bounded - float(n) * 0.693359375f) - float(n) * -2.12194440e-4f;
  // Minimax polynomial of Cephes' expf.
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const int32_t bits = (n + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof(power));
  return x >= -87.0f ? p * power : 0;
}

float tern::runtime::expOfNegative(float x) { return exponential(x); }

void tern::runtime::expOfNegatives(float *values, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i)
    values[i] = exponential(values[i]);
}

double tern::runtime::sumOf(const float *values, uint32_t count) {
  constexpr uint32_t lanes = 8;
  double sums[lanes] = {};
  uint32_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (uint32_t lane = 0; lane < lanes; ++lane)
      sums[lane] += double(values[i + lane]);
  for (; i < count; ++i)
    sums[0] += double(values[i]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}
