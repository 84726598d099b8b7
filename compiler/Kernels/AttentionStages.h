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

/// What a store of int8 codes computes for each row and head; undefined for floats.
struct CodeStages {
  Halide::Func numbers; ///< to be encoded (element, head, row)
  Halide::Func peak;    ///< bits of the largest magnitude (head, row), over `peakElement`
  Halide::Func scale;   ///< f16 (head, row)
  Halide::RVar peakElement, scaleByte, code;
};

/// Scatter stores of rows into a cache, over the rows of the call: one update each of floats; of
/// codes, an update of scales (over `scaleByte`) and one of codes (over `code`).
struct KvStoreStages {
  Halide::Func keys;   ///< (position in tile, element, tile, head, block); codes: as values
  Halide::Func values; ///< (element, position, head, block); codes: (byte of a head, head, block)
  CodeStages keyCodes, valueCodes;
  Halide::Var element, head;
  Halide::RVar keysRow, valuesRow;
  int headSize = 0, valueSize = 0, heads = 0;
};

/// Attention of one (row, key head) task `u` at a time; G = query heads per key head. Positions run
/// in attention blocks `b` of 512 positions, made of cache blocks `c` of 64, made of tiles of 16.
/// What merges partial results has no stages before `state`.
struct AttentionStages {
  Halide::Var lane, tile, c, g, b, u, element, dim;
  int groupHeads = 1, headSize = 0, valueSize = 0;

  Halide::Func out; ///< (element, g, head, row) or (element, g, task); one update over `task`
  Halide::RVar task;
  Halide::Func rowPosition, rowSlot; ///< (u)
  Halide::Func blockOfTask;          ///< (u); only where each task is one block
  Halide::Func query;                ///< scaled (dim, g, u)
  Halide::Func slope;                ///< ALiBi (g, u); undefined without it
  /// Tuple of weighted values, maximum and sum of weights (element, g, u), updated over `block`.
  Halide::Func state;
  Halide::RVar block;

  Halide::Func scores; ///< (lane, tile, c, g, b, u), updated over `scoreBlock` and `maskedBlock`
  Halide::RVar scoreBlock, maskedBlock;
  Halide::Func dot; ///< as scores, updated over `d`
  Halide::RVar d;
  Halide::Func laneMaximum; ///< (lane, tile, g, b, u), updated over `maximumBlock`
  Halide::RVar maximumBlock;
  Halide::Func tileMaximum, maximum; ///< (lane, g, b, u), (g, b, u)

  Halide::Func weights; ///< exp(score - maximum); as scores
  Halide::RVar weightBlock;
  Halide::Func valueWeights; ///< weights times the scales of codes; undefined for floats
  Halide::RVar valueWeightBlock;
  Halide::Func laneSum, tileSum, sum; ///< as the maxima
  Halide::RVar sumBlock;

  Halide::Func
      partial; ///< weighted values of one cache block: (element, g, c, b, u), over `position`
  Halide::RVar position;
  Halide::Func blockValues; ///< (element, g, b, u), over `valueBlock`
  Halide::RVar valueBlock;
};

} // namespace tern
#endif
