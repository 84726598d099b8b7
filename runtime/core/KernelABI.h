// The one calling convention between a plan and its kernels.
//
// A kernel is a serial function over tasks [first, last). It owns no memory, calls nothing and
// reads every run-time value through `TernArgs`. The compiler (compiler/CodeGen, the generated
// shim) and the runtime (runtime/core) both include this file; the layout is part of the artifact
// format and changes only with its schema version.
#ifndef TERN_RUNTIME_CORE_KERNELABI_H
#define TERN_RUNTIME_CORE_KERNELABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Positions of one block of attention: what a call of TERN_PHASE_BLOCKS computes apart, and what
/// rows of the block table are padded to.
#define TERN_ATTENTION_BLOCK 512

/// Rows of a call at most: kernels number the elements of all of them in 32 bits where they fit.
#define TERN_MAX_ROWS 512

/// Positions of a slot and blocks of a KV cache at most: kernels promise Halide these bounds.
#define TERN_MAX_POSITIONS (1 << 24)
#define TERN_MAX_CACHE_BLOCKS (1 << 20)

/// The most bytes of stack that a function of a kernel takes: the compiler refuses more. Attention
/// keeps a block's scores of all query heads of a key head there, 6 to 8 KiB a head: 570 KB for the
/// 71 of Falcon 7B. The runtime's own threads have room for it; an application's must (tern.h).
#define TERN_KERNEL_STACK_BYTES (768 << 10)

/// Indices into TernArgs::integers.
enum TernInteger {
  TERN_INT_TOKENS = 0,          ///< T: rows of this call
  TERN_INT_WANTED = 1,          ///< R: rows whose logits are wanted
  TERN_INT_BLOCKS_PER_SLOT = 2, ///< row stride of the block table
  TERN_INT_PHASE = 3,           ///< TernPhase; other kernels than of attention do not look at it
  TERN_INT_TASK_BLOCKS = 4,     ///< attention blocks that a task is split into
  TERN_INT_COUNT = 8            ///< the rest is zero
};

/// How a kernel with Kernel.partial_bytes is called. Both ways give the same bits: all of a task at
/// once, or its attention blocks apart and then their merge. `n` is TERN_INT_TASK_BLOCKS.
enum TernPhase {
  TERN_PHASE_WHOLE = 0, ///< tasks [0, tasks(T, R))
  TERN_PHASE_BLOCKS =
      1, ///< tasks [0, n * tasks(T, R)): block t % n, from the row's first on, of t / n
  TERN_PHASE_MERGE = 2 ///< tasks [0, tasks(T, R)), of which all blocks are done
};

typedef struct TernArgs {
  /// Base pointers in the order of Kernel.arguments, each 64-byte aligned.
  void *const *buffers;
  /// TERN_INT_COUNT run-time integers.
  const int32_t *integers;
  /// Kernel.scratch_bytes bytes private to the calling worker, 64-byte aligned; may be null if 0.
  /// In TERN_PHASE_BLOCKS and TERN_PHASE_MERGE: Kernel.partial_bytes bytes for each task of
  /// TERN_PHASE_BLOCKS, the same for all workers.
  void *scratch;
} TernArgs;

/// Runs tasks [first, last) of a kernel. 0 <= first <= last <= tasks(T, R), or n times as many
/// (TernPhase).
typedef void (*TernKernelFunction)(const TernArgs *args, int32_t first, int32_t last);

#ifdef __cplusplus
}
#endif
#endif
