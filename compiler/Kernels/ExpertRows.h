// Where the rows of each expert stand in a value of #tern.expert_rows: i32 of
//
//   items[16]              how many items of each block size there are
//   taken[roundUp(E, 16)]  pairs of each expert; only the kernel that makes the lists reads it
//   for each block size, [P] being one entry for each of the P = U * T pairs:
//     pairs                pair of each row of each item, item by item
//     experts [P]          expert of each item
//
// A pair is row * U + j: the j-th expert of a row. An item is a block of rows that one expert takes
// together: eight, four or one. Of an expert's last item that has fewer pairs than rows the rest
// repeat its first pair, which is then computed again and stored to the same place.
#ifndef TERN_COMPILER_KERNELS_EXPERTROWS_H
#define TERN_COMPILER_KERNELS_EXPERTROWS_H

#include "compiler/Kernels/KernelSignature.h"
#include "llvm/Support/MathExtras.h"

namespace tern {

struct ExpertRowsLayout {
  static constexpr unsigned classes = 3;
  static constexpr int blockOf[classes] = {1, 4, 8};
  /// What follows the head of the lists, in units of P: room for pairs, then for experts.
  static constexpr int pairsAt[classes] = {0, 2, 5}, expertsAt[classes] = {1, 4, 7};
  static constexpr int units = 8;

  ExpertRowsLayout(unsigned experts, unsigned used) : experts(experts), used(used) {}

  int takenAt() const { return 16; }
  int head() const { return 16 + int(llvm::alignTo(experts, 16)); }
  Extent bytes() const { return {uint64_t(head()) * 4, uint64_t(units) * used * 4, 0}; }

  unsigned experts, used;
};

} // namespace tern
#endif
