// Linear kernels against a naive reference: every encoding, target and row count, awkward shapes.
//
// The reference packs weights from the description in WeightLayout.h and repeats the float
// operations of the kernel in their documented order, so results are compared bit by bit.
#include "test/unit/kernels/KernelHarness.h"

#include "compiler/Encoding/HalfFloat.h"
#include "compiler/Encoding/WeightLayout.h"
#include "test/unit/encoding/PackedView.h"
#include "gtest/gtest.h"
#include <cmath>
#include <random>
#include <sys/mman.h>

using namespace tern;

namespace {

enum class Fill { Random, AllExtreme, AlternatingSigns };

/// One layer: encoding, activation groups (0: the whole row), shape.
struct Layer {
  std::string encoding; ///< as in #tern.enc, without layout
  EncodingDesc desc;
  int activationGroup = -1; ///< -1: plain f32 input
  int sums = 0;
  int rows, k, parts = 1;
  bool bias = false, residual = false;
};

std::string enc(const Layer &l) { return "#tern.enc<" + l.encoding + ", layout = \"rows32\">"; }

std::string kernelText(const Layer &l) {
  std::string n = std::to_string(l.rows), k = std::to_string(l.k), p = std::to_string(l.parts);
  std::string shape = l.parts > 1 ? p + "x" + n + "x" + k : n + "x" + k;
  std::string weight = "tensor<" + shape + "xf32, " + enc(l) + ">";
  std::string group = l.activationGroup == 0 ? "row" : std::to_string(l.activationGroup);
  std::string sums = l.sums ? ", sums = " + std::to_string(l.sums) : "";
  std::string x = l.activationGroup < 0
                      ? "tensor<?x" + k + "xf32>"
                      : "tensor<?x" + k + "xf32, #tern.act<group = " + group + sums + ">>";
  std::string y = l.parts > 1 ? "tensor<?x" + p + "x" + n + "xf32>" : "tensor<?x" + n + "xf32>";
  std::string out = "tensor<?x" + n + "xf32>", vector = "tensor<" + n + "xf32>";
  std::string text = "tern.kernel @linear(%x: " + x + " {tern.dim = \"T\"}, %w: " + weight;
  if (l.bias)
    text += ", %b: " + vector;
  if (l.residual)
    text += ", %r: " + out + " {tern.dim = \"T\"}";
  text += ") -> " + out + " {\n  %y = tern.linear %x, %w " + (l.bias ? "bias %b " : "") + ": " + x +
          ", " + weight + (l.bias ? ", " + vector : "") + " -> " + y + "\n";
  std::string result = "%y";
  if (l.parts == 2) {
    auto slice = [&](const char *name, int part) {
      return "  " + std::string(name) + " = tern.slice %y dim 1 from " + std::to_string(part) +
             " length 1 drop : " + y + " -> " + out + "\n";
    };
    text += slice("%g", 0) + slice("%u", 1);
    text += "  %z = tern.map (%g, %u) : (" + out + ", " + out + ") -> " + out +
            " {\n  ^bb0(%a: f32, %c: f32):\n    %m = arith.mulf %a, %c : f32\n"
            "    tern.yield %m : f32\n  }\n";
    result = "%z";
  }
  if (l.residual) {
    text += "  %s = tern.map (" + result + ", %r) : (" + out + ", " + out + ") -> " + out +
            " {\n  ^bb0(%a: f32, %c: f32):\n    %m = arith.addf %a, %c : f32\n"
            "    tern.yield %m : f32\n  }\n";
    result = "%s";
  }
  return text + "  tern.yield " + result + " : " + out + "\n}\n";
}

/// Logical weights: codes and scales as stored.
struct Weights {
  std::vector<int> codes;         ///< [parts][rows][k]; int8 signed
  std::vector<GroupScale> scales; ///< [parts][rows][groups]
  std::vector<float> values;      ///< float encodings: [parts][rows][k]
};

size_t padded(size_t n, size_t to) { return (n + to - 1) / to * to; }

float halfRounded(float value) { return halfToFloat(floatToHalf(value)); }

class LinearCase {
public:
  LinearCase(const Layer &layer, Fill fill, bool fused, unsigned seed)
      : l(layer), fill(fill), fused(fused), random(seed) {
    makeWeights();
  }
  void pack(uint8_t *bytes) const;
  void makeInputs(int t);
  std::vector<float> expected(int t) const;

  std::vector<int8_t> codes;
  std::vector<float> scales, x, bias, residual;
  std::vector<int32_t> sums;

private:
  void makeWeights();
  size_t groups() const { return l.desc.isFloat() ? 0 : l.k / l.desc.groupSize; }
  float uniform() { return std::uniform_real_distribution<float>(-1, 1)(random); }
  float dot(int t, int part, int n) const;

  const Layer &l;
  Fill fill;
  bool fused;
  mutable std::mt19937 random;
  Weights w;
};

void LinearCase::makeWeights() {
  size_t count = size_t(l.parts) * l.rows * l.k;
  if (l.desc.isFloat()) {
    for (size_t i = 0; i < count; ++i) {
      float value = uniform();
      if (l.desc.codes == CodeKind::F16)
        value = halfRounded(value);
      if (l.desc.codes == CodeKind::BF16)
        value = bfloat16ToFloat(floatToBfloat16(value));
      w.values.push_back(value);
    }
    return;
  }
  bool isInt8 = l.desc.codes == CodeKind::Int8;
  int largest = isInt8 ? 127 : l.desc.largestCode();
  for (size_t i = 0; i < count; ++i) {
    int code = isInt8 ? int(random() % 256) - 128 : int(random() % unsigned(largest + 1));
    if (fill == Fill::AllExtreme)
      code = isInt8 ? -128 : largest;
    if (fill == Fill::AlternatingSigns)
      code = i % 2 ? (isInt8 ? -128 : 0) : largest;
    w.codes.push_back(code);
  }
  auto floatBits = [&](ScaleType type) {
    if (type == ScaleType::E8M0)
      return uint32_t(random() % 8 ? 100 + random() % 20 : random() % 3);
    return scaleToBits(type, halfRounded(0.01f * uniform()));
  };
  size_t groupsPerOuter = l.desc.outerSize() / l.desc.groupSize;
  for (size_t i = 0; i < size_t(l.parts) * l.rows * groups(); ++i) {
    GroupScale scale;
    if (!l.desc.hasSuper()) {
      scale.scale = floatBits(l.desc.scale);
      scale.minimum = l.desc.minimum ? floatBits(l.desc.scale) : 0;
    } else {
      if (i % groupsPerOuter) {
        scale = w.scales.back();
      } else {
        scale.superScale = floatBits(l.desc.superScale);
        scale.superMinimum = l.desc.minimum ? floatBits(l.desc.superScale) : 0;
      }
      uint32_t largestScale = (1u << l.desc.scaleBits()) - 1;
      scale.scale = random() & largestScale;
      if (fill != Fill::Random) // the integer sums at their largest: i8 -128, i6 -32
        scale.scale = l.desc.scale == ScaleType::I8 ? 128 : l.desc.scaleZero() ? 0 : largestScale;
      if (l.desc.minimum)
        scale.minimum = fill == Fill::Random ? random() & largestScale : largestScale;
    }
    w.scales.push_back(scale);
  }
}

void LinearCase::pack(uint8_t *bytes) const {
  const int tileRows = 32;
  size_t tiles = padded(l.rows, tileRows) / tileRows;
  if (!l.desc.isFloat()) {
    PackedView view(l.desc, l.k, l.parts, bytes);
    memset(bytes, 0, tiles * view.tileBytes());
    for (int p = 0; p < l.parts; ++p)
      for (int r = 0; r < l.rows; ++r) {
        size_t row = size_t(p) * l.rows + r;
        for (int k = 0; k < l.k; k += int(l.desc.groupSize))
          view.setScale(p, r, k, w.scales[row * groups() + k / l.desc.groupSize]);
        for (int k = 0; k < l.k; ++k)
          view.setCode(p, r, k, unsigned(w.codes[row * l.k + k]) & 0xff);
      }
    return;
  }
  auto put = [&](auto value) {
    memcpy(bytes, &value, sizeof(value));
    bytes += sizeof(value);
  };
  for (size_t tile = 0; tile < tiles; ++tile)
    for (int k = 0; k < l.k; ++k)
      for (int p = 0; p < l.parts; ++p)
        for (int r = 0; r < tileRows; ++r) {
          size_t row = tile * tileRows + r;
          float value = row < size_t(l.rows) ? w.values[(size_t(p) * l.rows + row) * l.k + k] : 0;
          if (l.desc.codes == CodeKind::F32)
            put(value);
          else
            put(l.desc.codes == CodeKind::F16 ? floatToHalf(value) : floatToBfloat16(value));
        }
}

void LinearCase::makeInputs(int t) {
  int group = l.activationGroup > 0 ? l.activationGroup : l.k;
  for (size_t i = 0; i < size_t(t) * l.k; ++i) {
    x.push_back(uniform());
    int code = int(random() % 255) - 127;
    if (fill == Fill::AllExtreme)
      code = 127;
    if (fill == Fill::AlternatingSigns)
      code = i % 2 ? -127 : 127;
    codes.push_back(int8_t(code));
  }
  for (int i = 0; i < t * (l.k / group); ++i)
    scales.push_back(0.1f * uniform());
  if (l.sums)
    for (size_t i = 0; i < codes.size(); i += l.sums) {
      int32_t sum = 0;
      for (int j = 0; j < l.sums; ++j)
        sum += codes[i + j];
      sums.push_back(sum);
    }
  for (int i = 0; i < l.rows; ++i)
    bias.push_back(uniform());
  for (int i = 0; i < t * l.rows; ++i)
    residual.push_back(uniform());
}

float LinearCase::dot(int t, int part, int n) const {
  size_t row = size_t(part) * l.rows + n;
  float sum = 0;
  if (l.desc.isFloat()) {
    for (int k = 0; k < l.k; ++k)
      sum = fused ? std::fma(w.values[row * l.k + k], x[size_t(t) * l.k + k], sum)
                  : sum + w.values[row * l.k + k] * x[size_t(t) * l.k + k];
    return sum;
  }
  const EncodingDesc &e = l.desc;
  llvm::ArrayRef<int8_t> book = e.codeBook();
  int size = int(e.outerSize());
  for (int first = 0; first < l.k; first += size) {
    int64_t exact = 0, minimums = 0;
    const GroupScale *scale = nullptr;
    for (int k = first; k < first + size; ++k) {
      scale = &w.scales[row * groups() + k / e.groupSize];
      int64_t code = w.codes[row * l.k + k], x = codes[size_t(t) * l.k + k];
      int64_t value = book.empty() ? code - e.zero() : book[code];
      int64_t inner = !e.hasSuper()              ? 1
                      : e.scale == ScaleType::I8 ? int8_t(scale->scale)
                                                 : int64_t(scale->scale) - e.scaleZero();
      exact += inner * value * x;
      minimums += (e.hasSuper() ? int64_t(scale->minimum) : 1) * x;
    }
    uint32_t outer = e.hasSuper() ? scale->superScale : scale->scale;
    float term = float(exact) * scaleFromBits(e.outerScale(), outer);
    if (e.minimum) {
      uint32_t bits = e.hasSuper() ? scale->superMinimum : scale->minimum;
      float minimum = float(minimums) * scaleFromBits(e.outerScale(), bits);
      term = e.hasSuper() ? term - minimum : term + minimum;
    }
    if (l.activationGroup)
      term = term * scales[size_t(t) * (l.k / l.activationGroup) + first / l.activationGroup];
    sum = sum + term;
  }
  return l.activationGroup == 0 ? sum * scales[t] : sum;
}

std::vector<float> LinearCase::expected(int t) const {
  std::vector<float> y;
  for (int i = 0; i < t; ++i)
    for (int n = 0; n < l.rows; ++n) {
      float value = dot(i, 0, n);
      if (l.bias)
        value = value + bias[n];
      if (l.parts == 2)
        value = value * dot(i, 1, n);
      if (l.residual)
        value = value + residual[size_t(i) * l.rows + n];
      y.push_back(value);
    }
  return y;
}

template <typename T>
void fillRows(GuardedBuffer &buffer, const std::vector<T> &values, size_t rowElements,
              size_t stride) {
  for (size_t row = 0; row * rowElements < values.size(); ++row)
    memcpy(buffer.as<T>() + row * stride, values.data() + row * rowElements,
           rowElements * sizeof(T));
}

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
      if (memcmp(&got, &want, 4) != 0 && ++wrong <= 3)
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
  auto desc = [](CodeKind codes, unsigned group, ScaleType scale) {
    return EncodingDesc{codes, group, scale};
  };
  Layer f32{"f32", desc(CodeKind::F32, 0, ScaleType::None), -1, 0, 33, 40};
  Layer f16{"f16", desc(CodeKind::F16, 0, ScaleType::None), -1, 0, 70, 64};
  Layer bf16{"bf16", desc(CodeKind::BF16, 0, ScaleType::None), -1, 0, 32, 33};
  Layer ternary{"ternary, group = 256, scale = f16",
                desc(CodeKind::Ternary, 256, ScaleType::F16),
                256,
                256,
                33,
                512};
  Layer quaternary{"quaternary, group = 256, scale = f16",
                   desc(CodeKind::Quaternary, 256, ScaleType::F16),
                   256,
                   256,
                   40,
                   512};
  Layer int4{
      "int4, group = 32, scale = f16", desc(CodeKind::Int4, 32, ScaleType::F16), 32, 32, 100, 96};
  Layer int8{
      "int8, group = 32, scale = f16", desc(CodeKind::Int8, 32, ScaleType::F16), 32, 0, 31, 64};
  auto plain = [](std::string text, CodeKind codes, bool minimum) {
    return Layer{text + ", group = 32, scale = f16" + (minimum ? ", min" : ""),
                 EncodingDesc{codes, 32, ScaleType::F16, minimum},
                 32,
                 32,
                 40,
                 96};
  };
  Layer uint4 = plain("uint4", CodeKind::UInt4, true);
  Layer int5 = plain("int5", CodeKind::Int5, false);
  Layer uint5 = plain("uint5", CodeKind::UInt5, true);
  Layer iq4nl = plain("iq4nl", CodeKind::IQ4NL, false);
  Layer e2m1{
      "e2m1, group = 32, scale = e8m0", {CodeKind::E2M1, 32, ScaleType::E8M0}, 32, 32, 40, 96};
  auto under256 = [](std::string text, CodeKind codes, unsigned group, ScaleType scale,
                     bool minimum) {
    text += ", group = " + std::to_string(group) + ", scale = " + spelling(scale).str();
    text += minimum ? ", min" : "";
    return Layer{text + ", super = 256, super_scale = f16",
                 EncodingDesc{codes, group, scale, minimum, 256, ScaleType::F16},
                 256,
                 16,
                 40,
                 512};
  };
  Layer q2k = under256("uint2", CodeKind::UInt2, 16, ScaleType::U4, true);
  Layer q3k = under256("int3", CodeKind::Int3, 16, ScaleType::I6, false);
  Layer q4k = under256("uint4", CodeKind::UInt4, 32, ScaleType::U6, true);
  Layer q5k = under256("uint5", CodeKind::UInt5, 32, ScaleType::U6, true);
  Layer q6k = under256("int6", CodeKind::Int6, 16, ScaleType::I8, false);
  Layer ternaryB3 = ternary;
  ternaryB3.encoding = "ternary-b3, group = 256, scale = f16";
  ternaryB3.desc.codes = CodeKind::TernaryB3;
  auto with = [](Layer layer, auto change) {
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
      {"TernaryGroup32", with(ternary,
                              [](Layer &l) {
                                l.encoding = "ternary, group = 32, scale = f32";
                                l.desc = {CodeKind::Ternary, 32, ScaleType::F32};
                                l.activationGroup = l.sums = 32, l.k = 96;
                              })},
      {"TernaryGroup128", with(ternary,
                               [](Layer &l) {
                                 l.encoding = "ternary, group = 128, scale = f32";
                                 l.desc = {CodeKind::Ternary, 128, ScaleType::F32};
                                 l.activationGroup = 0;
                                 l.sums = 128;
                               })},
      {"TernaryStacked", with(ternary, [](Layer &l) { l.parts = 2; })},
      {"TernaryResidual", with(ternary, [](Layer &l) { l.residual = true; })},
      {"Quaternary", quaternary},
      {"QuaternaryGroup64", with(quaternary,
                                 [](Layer &l) {
                                   l.encoding = "quaternary, group = 64, scale = f16";
                                   l.desc.groupSize = l.sums = 64;
                                 })},
      {"QuaternaryStacked", with(quaternary, [](Layer &l) { l.parts = 2, l.residual = true; })},
      {"Int4", int4},
      {"Int4Minimal", with(int4, [](Layer &l) { l.rows = 5, l.k = 32; })},
      {"Int4Group256", with(int4,
                            [](Layer &l) {
                              l.encoding = "int4, group = 256, scale = f32";
                              l.desc = {CodeKind::Int4, 256, ScaleType::F32};
                              l.activationGroup = l.sums = l.k = 256;
                            })},
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
      {"Q8K", with(int8,
                   [](Layer &l) {
                     l.encoding = "int8, group = 256, scale = f32";
                     l.desc = {CodeKind::Int8, 256, ScaleType::F32};
                     l.activationGroup = l.sums = 256, l.k = 512;
                   })},
      {"TernaryB3", ternaryB3},
      {"TernaryB3RowScale", with(ternaryB3, [](Layer &l) { l.activationGroup = 0; })},
      {"TernaryB3Stacked", with(ternaryB3, [](Layer &l) { l.parts = 2; })},
      {"F16Stacked", with(f16, [](Layer &l) { l.parts = 2; })},
  };
}

class Linear : public testing::TestWithParam<std::tuple<std::string, NamedLayer>> {};

TEST_P(Linear, MatchesReferenceBitForBit) {
  const auto &[target, named] = GetParam();
  TestKernel kernel(kernelText(named.layer), target);
  if (!kernel.ready)
    return;
  for (Fill fill : {Fill::Random, Fill::AllExtreme, Fill::AlternatingSigns})
    for (int t : {1, 2, 3, 7, 8, 9, 64}) {
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

// The rows of R are those of the wanted logits.
TEST(LinearRows, FollowTheWantedRows) {
  Layer layer{"f16", EncodingDesc{CodeKind::F16, 0, ScaleType::None}, -1, 0, 33, 16};
  std::string text = kernelText(layer);
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
  EncodingDesc desc{CodeKind::Int8, 32, ScaleType::F16};
  Layer layer{"int8, group = 32, scale = f16", desc, 32, 32, rows, k};
  size_t size = WeightLayout{}.packedBytes(desc, rows, k);
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
    TestKernel kernel(kernelText(layer), target);
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
