// Choosing options within a limit, against trying all choices.
#include "compiler/Calibrate/BudgetChoice.h"

#include "gtest/gtest.h"
#include <random>

using namespace tern;

namespace {

using Items = std::vector<std::vector<BudgetOption>>;

/// Random options of which more expensive ones are usually, but not always, better.
Items randomItems(std::mt19937 &random, size_t items, uint32_t candidates) {
  std::uniform_real_distribution<double> size(1, 20), noise(0.3, 3);
  Items result(items);
  for (std::vector<BudgetOption> &item : result) {
    double scale = size(random);
    for (uint32_t c = 0; c < candidates; ++c)
      item.push_back({scale * (c + 1), noise(random) / ((c + 1) * (c + 1)), c});
  }
  return result;
}

/// The least error of any choice within the limit.
double exhaustive(const Items &items, double limit, size_t item = 0) {
  if (item == items.size())
    return 0;
  double best = 1e300;
  for (const BudgetOption &option : items[item])
    if (option.cost <= limit)
      best = std::min(best, option.error + exhaustive(items, limit - option.cost, item + 1));
  return best;
}

void expectConsistent(const Items &items, const BudgetResult &result) {
  double cost = 0, error = 0;
  ASSERT_EQ(result.chosen.size(), items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    ASSERT_LT(result.chosen[i], items[i].size());
    cost += items[i][result.chosen[i]].cost;
    error += items[i][result.chosen[i]].error;
  }
  EXPECT_DOUBLE_EQ(result.cost, cost);
  EXPECT_DOUBLE_EQ(result.error, error);
}

TEST(BudgetChoice, HoldsTheLimitAndComesNearTheBest) {
  std::mt19937 random(1);
  double ratio = 0;
  int count = 0;
  for (int round = 0; round < 40; ++round) {
    Items items = randomItems(random, 6, 5);
    for (double factor : {1.001, 1.2, 1.7, 2.5, 4.1}) {
      double limit = leastCost(items) * factor;
      auto result = chooseWithin(items, limit);
      ASSERT_TRUE(result.has_value()) << round;
      expectConsistent(items, *result);
      EXPECT_LE(result->cost, limit);
      double best = exhaustive(items, limit);
      EXPECT_GE(result->error, best - 1e-9);
      ratio += result->error / best;
      ++count;
    }
  }
  EXPECT_LT(ratio / count, 1.1) << "the mean of the error over the least";
}

TEST(BudgetChoice, MoreRoomNeverGivesMoreError) {
  std::mt19937 random(2);
  for (int round = 0; round < 50; ++round) {
    Items items = randomItems(random, 12, 6);
    double least = leastCost(items), error = 1e300;
    for (int step = 0; step <= 200; ++step) {
      double limit = least * (1 + step * 0.03);
      auto result = chooseWithin(items, limit);
      ASSERT_TRUE(result.has_value());
      EXPECT_LE(result->error, error + 1e-12) << round << ", limit " << limit;
      error = result->error;
    }
  }
}

TEST(BudgetChoice, IsAtLeastAsGoodAsOneCandidateForAll) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    Items items = randomItems(random, 10, 5);
    for (uint32_t candidate = 0; candidate < 5; ++candidate) {
      double cost = 0, error = 0;
      for (const auto &item : items) {
        cost += item[candidate].cost;
        error += item[candidate].error;
      }
      EXPECT_LE(chooseWithin(items, cost + 1e-9)->error, error + 1e-12);
    }
  }
}

TEST(BudgetChoice, BelowTheLeastCostThereIsNone) {
  Items items = {{{10, 0.5, 0}, {20, 0.1, 1}}, {{7, 0.3, 1}}};
  EXPECT_EQ(leastCost(items), 17);
  EXPECT_FALSE(chooseWithin(items, 16.9).has_value());
  EXPECT_EQ(chooseWithin(items, 17)->chosen, (std::vector<uint32_t>{0, 0}));
  EXPECT_EQ(chooseWithin(items, 27)->chosen, (std::vector<uint32_t>{1, 0}));
}

TEST(BudgetChoice, OptionsThatCostMoreForNothingAreNotTaken) {
  Items items = {{{10, 0.5, 0}, {11, 0.5, 1}, {30, 0.6, 2}}};
  EXPECT_EQ(chooseWithin(items, 100)->chosen, std::vector<uint32_t>{0});
}

} // namespace
