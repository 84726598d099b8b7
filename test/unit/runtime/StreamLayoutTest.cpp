// Which weights are kept, which are streamed through which buffer, for plans of all shapes.
#include "runtime/core/StreamLayout.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <vector>

using namespace tern;
using namespace tern::runtime;
using Place = StreamLayout::Place;

namespace {

constexpr uint64_t noBudget = UINT64_MAX;

/// A plan over units of given sizes, each with one tensor and one buffer of its number.
class PlanOfUnits {
public:
  explicit PlanOfUnits(const std::vector<uint64_t> &sizes) {
    uint64_t offset = segmentAlignment;
    for (uint32_t i = 0; i < sizes.size(); ++i) {
      auto unit = std::make_unique<fb::WeightUnitT>();
      unit->segment = std::make_unique<fb::Segment>(offset, sizes[i]);
      offset += (sizes[i] + segmentAlignment - 1) / segmentAlignment * segmentAlignment;
      table.units.push_back(std::move(unit));
      auto tensor = std::make_unique<fb::TensorT>();
      tensor->unit = i;
      tensor->size = sizes[i];
      table.tensors.push_back(std::move(tensor));
      auto buffer = std::make_unique<fb::BufferT>();
      buffer->space = fb::MemorySpace::tensor;
      buffer->index = i;
      plan.buffers.push_back(std::move(buffer));
    }
  }

  PlanOfUnits &fetch(uint32_t unit) {
    fb::FetchCommandT command;
    command.unit = unit;
    return add(command);
  }
  PlanOfUnits &release(uint32_t unit) {
    fb::ReleaseCommandT command;
    command.unit = unit;
    return add(command);
  }
  PlanOfUnits &use(std::vector<uint32_t> units) {
    fb::CallCommandT command;
    command.buffers = std::move(units);
    return add(std::move(command));
  }
  PlanOfUnits &whole(uint32_t unit) { return fetch(unit).use({unit}).release(unit); }

  Status compute(uint64_t budget, StreamLayout &layout, bool mapped = true) {
    flatbuffers::FlatBufferBuilder builder;
    auto variant = std::make_unique<fb::VariantT>();
    variant->plans.push_back(std::make_unique<fb::PlanT>(plan));
    table.variants.clear();
    table.variants.push_back(std::move(variant));
    builder.Finish(fb::Artifact::Pack(builder, &table));
    const auto *artifact = flatbuffers::GetRoot<fb::Artifact>(builder.GetBufferPointer());
    return layout.compute(*artifact, *artifact->variants()->Get(0)->plans()->Get(0), mapped, budget,
                          {});
  }
  size_t commands() const { return plan.commands.size(); }

private:
  template <typename Command> PlanOfUnits &add(Command command) {
    auto record = std::make_unique<fb::CommandT>();
    record->op.Set(std::move(command));
    plan.commands.push_back(std::move(record));
    return *this;
  }

  fb::ArtifactT table;
  fb::PlanT plan;
};

std::vector<uint32_t> sequenceOf(const StreamLayout &layout) {
  return {layout.sequence().begin(), layout.sequence().end()};
}

PlanOfUnits layers(uint32_t count, uint64_t size = 6400) {
  PlanOfUnits plan(std::vector<uint64_t>(count, size));
  for (uint32_t i = 0; i < count; ++i)
    plan.whole(i);
  return plan;
}

} // namespace

TEST(StreamLayout, KeepsAllThatFits) {
  StreamLayout layout;
  ASSERT_TRUE(layers(5).compute(5 * 6400, layout).isOk());
  EXPECT_TRUE(sequenceOf(layout).empty());
  EXPECT_EQ(layout.totalBytes(), 5u * 6400);
  for (uint32_t i = 0; i < 5; ++i) {
    EXPECT_EQ(layout.unit(i).place, Place::kept);
    EXPECT_EQ(layout.unit(i).offset, i * 6400u);
  }
}

TEST(StreamLayout, PassesTheRestThroughTwoBuffers) {
  StreamLayout layout;
  ASSERT_TRUE(layers(5).compute(5 * 6400 - 1, layout).isOk());
  EXPECT_EQ(layout.totalBytes(), 4u * 6400);
  EXPECT_EQ(sequenceOf(layout).size(), 3u);
  ASSERT_TRUE(layers(5).compute(2 * 6400, layout).isOk());
  EXPECT_EQ(sequenceOf(layout), (std::vector<uint32_t>{0, 1, 2, 3, 4}));
  for (uint32_t i = 0; i < 5; ++i)
    EXPECT_EQ(layout.unit(i).offset, i % 2 * 6400u);
}

TEST(StreamLayout, SaysTheLeastThatWouldDo) {
  StreamLayout layout;
  // Keeping the largest leaves smaller buffers: 9000 (to 9024) + 2 * 128 is less than 2 * 9024.
  PlanOfUnits plan({128, 9000, 128, 128});
  for (uint32_t i = 0; i < 4; ++i)
    plan.whole(i);
  const Status status = plan.compute(9279, layout);
  EXPECT_EQ(status.code(), StatusCode::outOfMemory);
  EXPECT_NE(std::string(status.message()).find("at least 9280"), std::string::npos)
      << status.message();
  ASSERT_TRUE(plan.compute(9280, layout).isOk());
  EXPECT_EQ(sequenceOf(layout), (std::vector<uint32_t>{0, 2, 3}));
}

TEST(StreamLayout, KeepsWhatIsNeededLonger) {
  StreamLayout layout;
  PlanOfUnits table({64, 6400, 6400, 6400});
  table.fetch(1).fetch(0).use({0, 1}).release(1).fetch(2).use({0, 2}).release(2);
  table.fetch(3).use({0, 3}).release(0).release(3);
  ASSERT_TRUE(table.compute(64 + 2 * 6400, layout).isOk());
  EXPECT_EQ(layout.unit(0).place, Place::kept);
  EXPECT_EQ(sequenceOf(layout), (std::vector<uint32_t>{1, 2, 3}));

  for (uint32_t longer : {0u, 1u}) { // met first, goes on beyond the other; whatever their order
    PlanOfUnits overlapping({128, 128, 128, 128});
    const uint32_t shorter = 1 - longer;
    overlapping.fetch(longer).fetch(shorter).use({0, 1}).release(shorter).use({longer});
    overlapping.release(longer).whole(2).whole(3);
    ASSERT_TRUE(overlapping.compute(3 * 128, layout).isOk());
    EXPECT_EQ(layout.unit(longer).place, Place::kept);
    EXPECT_EQ(sequenceOf(layout), (std::vector<uint32_t>{shorter, 2, 3}));
  }
}

TEST(StreamLayout, UsesInPlaceWhatIsNotFetched) {
  PlanOfUnits plan({9000, 128, 128, 128}); // an embedding, three layers
  plan.use({0}).whole(1).whole(2).whole(3);
  StreamLayout layout;
  ASSERT_TRUE(plan.compute(256, layout).isOk());
  EXPECT_EQ(layout.unit(0).place, Place::mapped);
  EXPECT_TRUE(layout.unit(0).usedInPlace);
  ASSERT_TRUE(plan.compute(9024 + 256, layout, /*mapped=*/false).isOk());
  EXPECT_EQ(layout.unit(0).place, Place::kept);
  EXPECT_FALSE(plan.compute(9024 + 255, layout, /*mapped=*/false).isOk());
}

TEST(StreamLayout, UsesInPlaceWhatIsUsedBeforeItsFetch) {
  PlanOfUnits plan({256, 128, 128, 128}); // a tied embedding: rows first, all of it at the end
  plan.use({0}).whole(1).whole(2).whole(3).whole(0);
  StreamLayout layout;
  ASSERT_TRUE(plan.compute(512, layout).isOk());
  EXPECT_EQ(layout.unit(0).place, Place::kept); // largest: smaller buffers for the rest
  PlanOfUnits larger({128, 256, 256});
  larger.use({0}).whole(1).whole(2).whole(0);
  ASSERT_TRUE(larger.compute(512, layout).isOk());
  EXPECT_EQ(layout.unit(0).place, Place::streamed);
  EXPECT_TRUE(layout.unit(0).usedInPlace);
  EXPECT_FALSE(layout.unit(1).usedInPlace);
  ASSERT_TRUE(larger.compute(128 + 512, layout, /*mapped=*/false).isOk());
  EXPECT_EQ(layout.unit(0).place, Place::kept);
}

TEST(StreamLayout, KeepsWhatIsFetchedTwice) {
  PlanOfUnits plan({128, 128, 128, 128});
  plan.whole(0).whole(1).whole(0).whole(2).whole(3);
  StreamLayout layout;
  ASSERT_TRUE(plan.compute(3 * 128, layout).isOk());
  EXPECT_EQ(layout.unit(0).place, Place::kept);
}

TEST(StreamLayout, SpreadsTheKeptOverThePlan) {
  constexpr uint32_t count = 40;
  for (uint32_t kept : {5u, 10u, 20u, 30u}) {
    StreamLayout layout;
    ASSERT_TRUE(layers(count, 64).compute((kept + 2) * 64, layout).isOk());
    uint32_t run = 0, longest = 0, number = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const bool streamed = layout.unit(i).place == Place::streamed;
      number += !streamed;
      run = streamed ? run + 1 : 0;
      longest = std::max(longest, run);
    }
    EXPECT_EQ(number, kept);
    EXPECT_LE(longest, 2 * (count / (kept + 1)) + 1) << kept;
  }
}

// Whatever the plan: the budget holds, places do not overlap while both are needed, the sequence is
// in the order of fetching, and more bytes never stream more.
TEST(StreamLayout, HoldsItsPromisesForRandomPlans) {
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    const uint32_t count = 1 + random() % 8;
    std::vector<uint64_t> sizes;
    for (uint32_t i = 0; i < count; ++i)
      sizes.push_back(random() % 4 ? 64 * (1 + random() % 5) : 1 + random() % 1000);
    PlanOfUnits plan(sizes);
    for (uint32_t i = 0; i < 30; ++i) {
      const uint32_t unit = random() % count;
      const uint32_t kind = random() % 4;
      if (kind == 0)
        plan.fetch(unit);
      else if (kind == 1)
        plan.release(unit);
      else if (kind == 2)
        plan.use({unit, uint32_t(random() % count)});
      else
        plan.whole(unit);
    }
    const bool mapped = random() % 2;
    StreamLayout all;
    ASSERT_TRUE(plan.compute(noBudget, all, mapped).isOk());
    EXPECT_EQ(all.sequence().size(), 0u);
    size_t before = SIZE_MAX;
    uint64_t bytesBefore = UINT64_MAX;
    for (uint64_t budget = 0; budget <= all.totalBytes() + 64; budget += 64) {
      StreamLayout layout;
      if (!plan.compute(budget, layout, mapped).isOk()) {
        EXPECT_EQ(before, SIZE_MAX) << "seed " << seed << ": fails with more";
        continue;
      }
      EXPECT_LE(layout.totalBytes(), budget) << "seed " << seed;
      uint64_t streamedBytes = 0;
      for (uint32_t unit : layout.sequence())
        streamedBytes += sizes[unit];
      EXPECT_LE(streamedBytes, bytesBefore) << "seed " << seed << ": streams more with more";
      bytesBefore = streamedBytes;
      before = layout.sequence().size();
      for (size_t i = 0; i < before; ++i) {
        const StreamLayout::Unit &unit = layout.unit(layout.sequence()[i]);
        EXPECT_EQ(unit.number, i);
        EXPECT_EQ(unit.place, Place::streamed);
        EXPECT_TRUE(mapped || !unit.usedInPlace);
        EXPECT_GE(unit.offset, layout.keptBytes());
        EXPECT_LE(unit.offset + sizes[layout.sequence()[i]], layout.totalBytes());
        if (i + 1 < before) // released before the next is needed: one at a time is enough
          EXPECT_LT(unit.release, layout.unit(layout.sequence()[i + 1]).fetch) << "seed " << seed;
      }
      uint64_t end = 0;
      for (uint32_t i = 0; i < count; ++i)
        if (layout.unit(i).place == Place::kept) {
          EXPECT_GE(layout.unit(i).offset, end);
          end = layout.unit(i).offset + sizes[i];
        }
      EXPECT_LE(end, layout.keptBytes());
    }
    ASSERT_NE(before, SIZE_MAX);
  }
}
