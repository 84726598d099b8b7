// Which of its options each item takes so that the total error is small and the total cost within a
// limit. Knows nothing of weights.
//
// Of an item's options only those on the lower convex hull of error over cost are looked at. All
// items begin with their cheapest; steps along the hulls are then taken in the order of error saved
// per cost, those that do not fit are left out, and so are later steps of the same item. A larger
// limit never gives a larger error: the first step that fits only the larger limit saves more than
// the smaller one's rest can. Ties are broken by the order of items, so the choice is reproducible.
#ifndef TERN_COMPILER_CALIBRATE_BUDGETCHOICE_H
#define TERN_COMPILER_CALIBRATE_BUDGETCHOICE_H

#include "llvm/ADT/ArrayRef.h"
#include <cstdint>
#include <optional>
#include <vector>

namespace tern {

struct BudgetOption {
  double cost, error;
  uint32_t candidate; ///< the caller's number, the same for the same thing in all items
};

struct BudgetResult {
  std::vector<uint32_t> chosen; ///< index into each item's options
  double cost = 0, error = 0;
};

/// The least cost that any choice has.
double leastCost(llvm::ArrayRef<std::vector<BudgetOption>> items);

/// Every item has at least one option. nullopt if `limit` is below leastCost. Where one candidate
/// for all items that have it fits and is better than the steps, that is the result.
std::optional<BudgetResult> chooseWithin(llvm::ArrayRef<std::vector<BudgetOption>> items,
                                         double limit);

} // namespace tern
#endif
