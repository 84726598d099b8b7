// The parts of rotary, cache and attention kernels that a target schedules (see KernelStages.h).
#ifndef TERN_COMPILER_KERNELS_ATTENTIONSTAGES_H
#define TERN_COMPILER_KERNELS_ATTENTIONSTAGES_H

#include <Halide.h>

namespace tern {

/// Cosines and signed sines (element of the rotated part, row) of one rotary op.
struct RotationStages {
  Halide::Func cosine, sine;
  bool forStore = false; ///< read by the key store, else by an output over rows
};

/// Scatter stores of rows into a cache: one update each, over the rows of the call.
struct KvStoreStages {
  Halide::Func keys;   ///< (position in tile, element, tile, head, block)
  Halide::Func values; ///< (element, position, head, block)
  Halide::Var element, head;
  Halide::RVar keysRow, valuesRow;
  int headSize = 0, valueSize = 0, heads = 0;
};

/// Attention of one (row, key head) task `u` at a time; G = query heads per key head. Positions run
/// in attention blocks of 512: tiles of 16 keys for the scores, cache blocks of 64 for the values.
struct AttentionStages {
  Halide::Func out; ///< (element, g, head, row), one update over `task`
  Halide::RVar task;
  Halide::Func rowPosition, rowSlot; ///< (u)
  Halide::Func query;                ///< scaled (d, g, u)
  Halide::Func state; ///< Tuple (weighted values, maximum, sum of weights) (element, g, u), updated
                      ///< over `block`
  Halide::RVar block;
  Halide::Func dot; ///< (lane, tile, g, block, u), updated over `d`
  Halide::RVar d;
  Halide::Func scores;       ///< masked; (lane, tile, g, block, u)
  Halide::Func laneMaximum;  ///< (lane, g, block, u), updated over `maximumTile`
  Halide::Func maximum;      ///< (g, block, u)
  Halide::Func weights;      ///< exp(score - maximum); as scores
  Halide::Func laneSum, sum; ///< as laneMaximum, maximum
  Halide::RVar maximumTile, sumTile;
  Halide::Func partial; ///< weighted values of a cache block: (element, g, cacheBlock, block, u),
                        ///< over `position`
  Halide::RVar position;
  Halide::Func blockValues; ///< (element, g, block, u), over `cacheBlock`
  Halide::RVar cacheBlock;
  Halide::Var lane, tile, element, g, d0, u, b, c;
  int groupHeads = 1, headSize = 0, valueSize = 0;
};

} // namespace tern
#endif
