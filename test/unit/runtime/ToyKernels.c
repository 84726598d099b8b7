/* Kernels of the toy model: everything an artifact can use, computed in the plainest way.
 *
 * Row r with token t at position p of slot s:
 *   embedded[r] = table[t]
 *   stored: K and V of block (s, p / 64) receive embedded[r]
 *   mixed[r][d] = sum over q <= p of V(q)[d] / (1 + p - q), plus K(p)[d]
 *   logits[r][v] = sum over d of mixed[wanted[r]][d] * table[v][d]
 * A row's result depends on its slot's history alone, as real kernels promise. */
#include "runtime/core/KernelABI.h"

#include "test/unit/runtime/ToyModel.h"

#define EXPORT __attribute__((visibility("default")))

static const void *buffer(const TernArgs *args, int i) { return args->buffers[i]; }

/* tokens, table -> embedded; a task is a row. */
EXPORT void toy_embed(const TernArgs *args, int32_t first, int32_t last) {
  const int32_t *tokens = buffer(args, 0);
  const float *table = buffer(args, 1);
  float *embedded = args->buffers[2];
  for (int32_t row = first; row < last; ++row)
    for (int d = 0; d < TOY_WIDTH; ++d)
      embedded[row * TOY_WIDTH + d] = table[tokens[row] * TOY_WIDTH + d];
}

static int32_t blockOf(const TernArgs *args, const int32_t *table, int32_t slot, int32_t position) {
  return table[slot * args->integers[TERN_INT_BLOCKS_PER_SLOT] + position / 64];
}

/* embedded, positions, slots, block table -> keys, values; a task is a row. */
EXPORT void toy_store(const TernArgs *args, int32_t first, int32_t last) {
  const float *embedded = buffer(args, 0);
  const int32_t *positions = buffer(args, 1);
  const int32_t *slots = buffer(args, 2);
  const int32_t *blocks = buffer(args, 3);
  float *keys = args->buffers[4];
  float *values = args->buffers[5];
  for (int32_t row = first; row < last; ++row) {
    const int32_t at = positions[row] % 64;
    const int64_t block = blockOf(args, blocks, slots[row], positions[row]);
    for (int d = 0; d < TOY_WIDTH; ++d) {
      const float x = embedded[row * TOY_WIDTH + d];
      keys[block * 64 * TOY_WIDTH + (at / 16 * TOY_WIDTH + d) * 16 + at % 16] = x;
      values[block * 64 * TOY_WIDTH + at * TOY_WIDTH + d] = x;
    }
  }
}

/* positions, slots, block table, keys, values -> mixed; scratch: one row; a task is a row. */
EXPORT void toy_mix(const TernArgs *args, int32_t first, int32_t last) {
  const int32_t *positions = buffer(args, 0);
  const int32_t *slots = buffer(args, 1);
  const int32_t *blocks = buffer(args, 2);
  const float *keys = buffer(args, 3);
  const float *values = buffer(args, 4);
  float *mixed = args->buffers[5];
  volatile float *sum = args->scratch;
  for (int32_t row = first; row < last; ++row) {
    const int32_t p = positions[row];
    const int64_t last_block = blockOf(args, blocks, slots[row], p);
    for (int d = 0; d < TOY_WIDTH; ++d)
      sum[d] = keys[last_block * 64 * TOY_WIDTH + (p % 64 / 16 * TOY_WIDTH + d) * 16 + p % 16];
    for (int32_t q = 0; q <= p; ++q) {
      const int64_t block = blockOf(args, blocks, slots[row], q);
      for (int d = 0; d < TOY_WIDTH; ++d)
        sum[d] += values[block * 64 * TOY_WIDTH + q % 64 * TOY_WIDTH + d] / (float)(1 + p - q);
    }
    for (int d = 0; d < TOY_WIDTH; ++d)
      mixed[row * TOY_WIDTH + d] = sum[d];
  }
}

static void logitsOfToken(const float *row, const float *table, float *logits, int v) {
  float sum = 0;
  for (int d = 0; d < TOY_WIDTH; ++d)
    sum += row[d] * table[v * TOY_WIDTH + d];
  logits[v] = sum;
}

/* A table of pointers, so that the image has relocations. */
static void (*const volatile operations[])(const float *, const float *, float *,
                                           int) = {logitsOfToken};

/* mixed, wanted rows, table -> logits; a task is a wanted row. */
EXPORT void toy_logits(const TernArgs *args, int32_t first, int32_t last) {
  const float *mixed = buffer(args, 0);
  const int32_t *wanted = buffer(args, 1);
  const float *table = buffer(args, 2);
  float *logits = args->buffers[3];
  for (int32_t r = first; r < last; ++r)
    for (int v = 0; v < TOY_VOCABULARY; ++v)
      operations[0](mixed + wanted[r] * TOY_WIDTH, table, logits + r * TOY_LOGITS_STRIDE, v);
}
