// Linear kernels against a naive reference, bit by bit (NaN for NaN): every encoding, target and
// row count, awkward shapes, extreme and special values.
#include "test/unit/kernels/LinearCase.h"

#include "compiler/Encoding/HalfFloat.h"
#include "compiler/Encoding/WeightLayout.h"
#include "gtest/gtest.h"
#include <cmath>
#include <sys/mman.h>

using namespace tern;

namespace {

size_t padded(size_t n, size_t to) { return (n + to - 1) / to * to; }

/// Runs one case with `t` rows in buffers for `capacity` rows and compares every bit.
void check(const TestKernel &kernel, const Layer &l, Fill fill, int t, int capacity, int chunk) {
  LinearCase data(l, fill, kernel.fusedMultiplyAdd, unsigned(t * 1000 + l.rows * 10 + l.k));
  data.makeInputs(t);
  std::vector<GuardedBuffer> buffers = kernel.makeBuffers(capacity);
  size_t next = 0;
  if (l.activationGroup < 0) {
    fillRows(buffers[next++], data.x, l.k, padded(l.k, 32));
  } else {
    int group = l.activationGroup ? l.activationGroup : l.k;
    fillRows(buffers[next++], data.codes, l.k, padded(l.k, 64));
    fillRows(buffers[next++], data.scales, l.k / group, l.k / group);
    if (l.sums)
      fillRows(buffers[next++], data.sums, l.k / l.sums, l.k / l.sums);
  }
  data.pack(buffers[next++].data());
  if (l.bias)
    buffers[next++].fill(data.bias);
  if (l.residual)
    fillRows(buffers[next++], data.residual, l.rows, padded(l.rows, 32));
  GuardedBuffer &out = buffers[next];
  kernel.run(buffers, t, 0, chunk);

  std::vector<float> expected = data.expected(t);
  size_t stride = padded(l.rows, 32), wrong = 0;
  for (int row = 0; row < t; ++row)
    for (int n = 0; n < l.rows; ++n) {
      float got = out.as<float>()[row * stride + n], want = expected[size_t(row) * l.rows + n];
      bool same = std::isnan(want) ? std::isnan(got) : memcmp(&got, &want, 4) == 0;
      if (!same && ++wrong <= 3)
        ADD_FAILURE() << "row " << row << " output " << n << ": got " << got << ", want " << want;
    }
  EXPECT_EQ(wrong, 0u);
  for (size_t i = t * stride * 4; i < out.size(); ++i)
    ASSERT_EQ(out.data()[i], GuardedBuffer::untouched) << "written beyond row " << t;
}

struct NamedLayer {
  std::string name;
  Layer layer;
};

/// Every encoding with the activations the quantize pass pairs it with.
std::vector<NamedLayer> layers() {
  const auto floats = [](const char *encoding, int rows, int k) {
    return Layer{encodingOf(encoding), -1, 0, rows, k};
  };
  const auto codes = [](const char *encoding, int activationGroup, int sums, int rows, int k) {
    return Layer{encodingOf(encoding), activationGroup, sums, rows, k};
  };
  const Layer f32 = floats("f32", 33, 40);
  const Layer f16 = floats("f16", 70, 64);
  const Layer bf16 = floats("bf16", 32, 33);
  const Layer ternary = codes("ternary:g256:f16", 256, 256, 33, 512);
  const Layer ternaryB3 = codes("ternary-b3:g256:f16", 256, 256, 33, 512);
  const Layer quaternary = codes("quaternary:g256:f16", 256, 256, 40, 512);
  const Layer int4 = codes("int4:g32:f16", 32, 32, 100, 96);
  const Layer int8 = codes("int8:g32:f16", 32, 0, 31, 64);
  const Layer uint4 = codes("uint4:g32:f16:min", 32, 32, 40, 96);
  const Layer int5 = codes("int5:g32:f16", 32, 32, 40, 96);
  const Layer uint5 = codes("uint5:g32:f16:min", 32, 32, 40, 96);
  const Layer iq4nl = codes("iq4nl:g32:f16", 32, 32, 40, 96);
  const Layer e2m1 = codes("e2m1:g32:e8m0", 32, 32, 40, 96);
  const Layer q2k = codes("uint2:g16:u4:min:s256:f16", 256, 16, 40, 512);
  const Layer q3k = codes("int3:g16:i6:s256:f16", 256, 16, 40, 512);
  const Layer q4k = codes("uint4:g32:u6:min:s256:f16", 256, 16, 40, 512);
  const Layer q5k = codes("uint5:g32:u6:min:s256:f16", 256, 16, 40, 512);
  const Layer q6k = codes("int6:g16:i8:s256:f16", 256, 16, 40, 512);
  const auto with = [](Layer layer, auto change) {
    change(layer);
    return layer;
  };
  return {
      {"F32", f32},
      {"F32OneTile", with(f32, [](Layer &l) { l.rows = 1, l.k = 1; })},
      {"F16", f16},
      {"F16Bias", with(f16, [](Layer &l) { l.bias = true; })},
      {"BF16", bf16},
      {"Ternary", ternary},
      {"TernaryRowScale", with(ternary, [](Layer &l) { l.activationGroup = 0, l.rows = 64; })},
      {"TernaryMinimal", with(ternary, [](Layer &l) { l.rows = 1, l.k = 256; })},
      {"TernaryGroup32", codes("ternary:g32:f32", 32, 32, 33, 96)},
      {"TernaryGroup128", codes("ternary:g128:f32", 0, 128, 33, 512)},
      {"TernaryStacked", with(ternary, [](Layer &l) { l.parts = 2; })},
      {"TernaryResidual", with(ternary, [](Layer &l) { l.residual = true; })},
      {"Quaternary", quaternary},
      {"QuaternaryGroup64", codes("quaternary:g64:f16", 256, 64, 40, 512)},
      {"QuaternaryStacked", with(quaternary, [](Layer &l) { l.parts = 2, l.residual = true; })},
      {"Int4", int4},
      {"Int4Minimal", with(int4, [](Layer &l) { l.rows = 5, l.k = 32; })},
      {"Int4Group256", codes("int4:g256:f32", 256, 256, 100, 256)},
      {"Int4WholeSteps", with(int4, [](Layer &l) { l.k = 512; })},
      {"Int4OddGroups", with(int4, [](Layer &l) { l.k = 13 * 32; })},
      {"Int4WideActivations", with(int4, [](Layer &l) { l.activationGroup = l.k = 256; })},
      {"Int4RowScale", with(int4, [](Layer &l) { l.activationGroup = 0, l.bias = true; })},
      {"Int4Stacked", with(int4, [](Layer &l) { l.parts = 2; })},
      {"Int8", int8},
      {"Int8Sums", with(int8, [](Layer &l) { l.sums = 32; })},
      {"Int8Stacked", with(int8, [](Layer &l) { l.parts = 2, l.rows = 32; })},
      {"Int8RowScale", with(int8, [](Layer &l) { l.activationGroup = 0; })},
      {"UInt4Minimum", uint4},
      {"UInt4MinimumStacked", with(uint4, [](Layer &l) { l.parts = 2; })},
      {"UInt4MinimumRowScale", with(uint4, [](Layer &l) { l.activationGroup = 0; })},
      {"Int5", int5},
      {"Int5Stacked", with(int5, [](Layer &l) { l.parts = 2; })},
      {"UInt5Minimum", uint5},
      {"IQ4NL", iq4nl},
      {"IQ4NLStacked", with(iq4nl, [](Layer &l) { l.parts = 2; })},
      {"E2M1", e2m1},
      {"E2M1Stacked", with(e2m1, [](Layer &l) { l.parts = 2; })},
      {"Q2K", q2k},
      {"Q3K", q3k},
      {"Q4K", q4k},
      {"Q4KMinimal", with(q4k, [](Layer &l) { l.rows = 1, l.k = 256; })},
      {"Q4KStacked", with(q4k, [](Layer &l) { l.parts = 2; })},
      {"Q4KRowScale", with(q4k, [](Layer &l) { l.activationGroup = 0, l.residual = true; })},
      {"Q4KSums32", with(q4k, [](Layer &l) { l.sums = 32; })},
      {"Q5K", q5k},
      {"Q6K", q6k},
      {"Q6KStacked", with(q6k, [](Layer &l) { l.parts = 2; })},
      {"Q8K", codes("int8:g256:f32", 256, 256, 31, 512)},
      {"TernaryB3", ternaryB3},
      {"TernaryB3RowScale", with(ternaryB3, [](Layer &l) { l.activationGroup = 0; })},
      {"TernaryB3Stacked", with(ternaryB3, [](Layer &l) { l.parts = 2; })},
      {"F16Stacked", with(f16, [](Layer &l) { l.parts = 2; })},
      {"F16StackedResidual", with(f16, [](Layer &l) { l.parts = 2, l.residual = true; })},
  };
}

constexpr Fill fills[] = {Fill::Random, Fill::AllExtreme, Fill::OtherExtreme,
                          Fill::AlternatingSigns, Fill::Special};

/// Random, and beside it one of the others in turn; all at the ends of the ways of doing rows.
std::vector<Fill> fillsOf(int rows) {
  if (llvm::is_contained({1, 2, 3, 4, 5, 8, 9, 11, 12, 13, 15, 16, 17, 64, 65, 70}, rows))
    return {std::begin(fills), std::end(fills)};
  return {Fill::Random, fills[1 + rows % (std::size(fills) - 1)]};
}

class Linear : public testing::TestWithParam<std::tuple<std::string, NamedLayer>> {};

TEST_P(Linear, MatchesReferenceBitForBit) {
  const auto &[target, named] = GetParam();
  TestKernel kernel(linearKernel(named.layer), target);
  if (!kernel.ready)
    return;
  for (Fill fill : fills)
    for (int t : {1, 2, 3, 4, 5, 28}) { // one row, blocks of 2, 3 and 4, rows that share codes
      SCOPED_TRACE("fill " + std::to_string(int(fill)) + ", T = " + std::to_string(t));
      check(kernel, named.layer, fill, t, /*capacity=*/t, /*chunk=*/0);
    }
  SCOPED_TRACE("buffers for 64 rows, one task at a time");
  for (int t : {1, 3, 9})
    check(kernel, named.layer, Fill::Random, t, /*capacity=*/64, /*chunk=*/1);
}

INSTANTIATE_TEST_SUITE_P(Kernels, Linear,
                         testing::Combine(testing::ValuesIn(runnableTargets()),
                                          testing::ValuesIn(layers())),
                         [](const auto &info) {
                           return testName(std::get<0>(info.param)) + "_" +
                                  std::get<1>(info.param).name;
                         });

TEST(LinearRows, MatchReferenceForEveryCount) {
  for (const NamedLayer &named : layers())
    if (llvm::is_contained({"F16", "TernaryRowScale", "Int4Stacked", "Q3K", "Q6K"}, named.name))
      for (const std::string &target : runnableTargets()) {
        TestKernel kernel(linearKernel(named.layer), target);
        for (int t = 1; kernel.ready && t <= 70; ++t) {
          SCOPED_TRACE(named.name + ", " + target + ", T = " + std::to_string(t));
          for (Fill fill : fillsOf(t))
            check(kernel, named.layer, fill, t, /*capacity=*/t, /*chunk=*/t % 3);
        }
      }
}

// The rows of R are those of the wanted logits.
TEST(LinearRows, FollowTheWantedRows) {
  Layer layer{encodingOf("f16"), -1, 0, 33, 16};
  std::string text = linearKernel(layer);
  text.replace(text.find("\"T\""), 3, "\"R\"");
  for (const std::string &target : runnableTargets()) {
    TestKernel kernel(text, target);
    if (!kernel.ready)
      return;
    LinearCase data(layer, Fill::Random, kernel.fusedMultiplyAdd, 1);
    data.makeInputs(3);
    std::vector<GuardedBuffer> buffers = kernel.makeBuffers(/*tokens=*/64, /*wanted=*/3);
    fillRows(buffers[0], data.x, 16, 32);
    data.pack(buffers[1].data());
    kernel.run(buffers, /*tokens=*/64, /*wanted=*/3);
    std::vector<float> expected = data.expected(3);
    for (int i = 0; i < 3 * 33; ++i)
      EXPECT_EQ(buffers[2].as<float>()[i / 33 * 64 + i % 33], expected[i]) << i;
  }
}

// Weights beyond 2 GiB: only the last tile is touched, and only its last group is not zero.
TEST(LinearSize, WeightsBeyondTwoGigabytes) {
  const int k = 8192, rows = 262144, tile = rows / 32 - 1, groupBytes = 32 * 2 + 32 * 32;
  Layer layer{encodingOf("int8:g32:f16"), 32, 32, rows, k};
  size_t size = WeightLayout{}.packedBytes(layer.desc, rows, k);
  ASSERT_GT(size, size_t(INT32_MAX));
  auto *memory = static_cast<uint8_t *>(mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  uint8_t *group = memory + size - groupBytes;
  for (int i = 0; i < 32; ++i) {
    uint16_t scale = floatToHalf(float(i));
    memcpy(group + 2 * i, &scale, 2);
  }
  memset(group + 64, 1, groupBytes - 64);
  for (const std::string &target : runnableTargets()) {
    TestKernel kernel(linearKernel(layer), target);
    if (!kernel.ready)
      return;
    for (int t : {1, 9}) {
      std::vector<GuardedBuffer> x;
      for (int component = 0; component < 3; ++component)
        x.emplace_back(kernel.signature.arguments[component].component.bytes.at(t, 0));
      GuardedBuffer y(size_t(t) * rows * 4);
      memset(x[0].data(), 1, x[0].size());
      std::fill_n(x[1].as<float>(), x[1].size() / 4, 0.5f);
      std::fill_n(x[2].as<int32_t>(), x[2].size() / 4, 32);
      void *pointers[] = {x[0].data(), x[1].data(), x[2].data(), memory, y.data()};
      int32_t integers[TERN_INT_COUNT] = {t};
      TernArgs args{pointers, integers, nullptr};
      kernel.entry()(&args, tile, tile + 1);
      for (int row = 0; row < t; ++row)
        for (int i = 0; i < 32; ++i)
          ASSERT_EQ(y.as<float>()[size_t(row) * rows + tile * 32 + i], 16.0f * float(i));
    }
  }
  munmap(memory, size);
}

} // namespace
