#include "compiler/Calibrate/BudgetChoice.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

using llvm::ArrayRef;

namespace tern {
namespace {

using Options = std::vector<BudgetOption>;

/// Indices of the options on the lower convex hull, cheapest first, errors falling.
std::vector<uint32_t> hullOf(const Options &options) {
  std::vector<uint32_t> order(options.size()), hull;
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::tuple(options[a].cost, options[a].error, a) <
           std::tuple(options[b].cost, options[b].error, b);
  });
  // Error saved per cost from a to b.
  auto slope = [&](uint32_t a, uint32_t b) {
    return (options[a].error - options[b].error) / (options[b].cost - options[a].cost);
  };
  for (uint32_t next : order) {
    if (!hull.empty() && (options[next].error >= options[hull.back()].error ||
                          options[next].cost <= options[hull.back()].cost))
      continue;
    while (hull.size() > 1 && slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), next))
      hull.pop_back();
    hull.push_back(next);
  }
  return hull;
}

struct Step {
  double slope;
  uint32_t item, position; ///< to this place of the item's hull
};

BudgetResult evaluated(ArrayRef<Options> items, std::vector<uint32_t> chosen) {
  BudgetResult result{std::move(chosen)};
  for (auto [item, index] : llvm::zip_equal(items, result.chosen)) {
    result.cost += item[index].cost;
    result.error += item[index].error;
  }
  return result;
}

BudgetResult stepwise(ArrayRef<Options> items, double limit) {
  std::vector<std::vector<uint32_t>> hulls;
  std::vector<uint32_t> chosen;
  std::vector<Step> steps;
  double cost = 0;
  for (auto [number, item] : llvm::enumerate(items)) {
    hulls.push_back(hullOf(item));
    const std::vector<uint32_t> &hull = hulls.back();
    chosen.push_back(hull.front());
    cost += item[hull.front()].cost;
    for (uint32_t i = 1; i < hull.size(); ++i) {
      const BudgetOption &before = item[hull[i - 1]], &after = item[hull[i]];
      steps.push_back(
          {(before.error - after.error) / (after.cost - before.cost), uint32_t(number), i});
    }
  }
  std::sort(steps.begin(), steps.end(), [](const Step &a, const Step &b) {
    return std::tuple(-a.slope, a.item, a.position) < std::tuple(-b.slope, b.item, b.position);
  });
  std::vector<uint32_t> reached(items.size(), 0);
  for (const Step &step : steps) {
    if (reached[step.item] + 1 != step.position)
      continue;
    const Options &item = items[step.item];
    const std::vector<uint32_t> &hull = hulls[step.item];
    double more = item[hull[step.position]].cost - item[hull[step.position - 1]].cost;
    if (cost + more > limit)
      continue;
    cost += more;
    reached[step.item] = step.position;
    chosen[step.item] = hull[step.position];
  }
  return evaluated(items, std::move(chosen));
}

/// `candidate` where an item has it, else the item's cheapest option.
BudgetResult uniform(ArrayRef<Options> items, uint32_t candidate) {
  std::vector<uint32_t> chosen;
  for (const Options &item : items) {
    auto same = llvm::find_if(
        item, [&](const BudgetOption &option) { return option.candidate == candidate; });
    chosen.push_back(same != item.end() ? uint32_t(same - item.begin()) : hullOf(item).front());
  }
  return evaluated(items, std::move(chosen));
}

} // namespace

double leastCost(ArrayRef<Options> items) {
  double cost = 0;
  for (const Options &item : items)
    cost += item[hullOf(item).front()].cost;
  return cost;
}

std::optional<BudgetResult> chooseWithin(ArrayRef<Options> items, double limit) {
  if (leastCost(items) > limit)
    return std::nullopt;
  BudgetResult best = stepwise(items, limit);
  std::set<uint32_t> candidates;
  for (const Options &item : items)
    for (const BudgetOption &option : item)
      candidates.insert(option.candidate);
  for (uint32_t candidate : candidates)
    if (BudgetResult other = uniform(items, candidate);
        other.cost <= limit && other.error < best.error)
      best = std::move(other);
  return best;
}

} // namespace tern
