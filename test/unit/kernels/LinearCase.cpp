// Random weights of every encoding and the naive linear layer over them.
#include "test/unit/kernels/LinearCase.h"

#include "compiler/Encoding/HalfFloat.h"
#include "compiler/Encoding/WeightLayout.h"
#include "test/unit/encoding/PackedView.h"
#include <algorithm>
#include <cmath>

using namespace tern;

std::string tern::linearKernel(const Layer &l) {
  std::string n = std::to_string(l.rows), k = std::to_string(l.k), p = std::to_string(l.parts);
  std::string shape = l.parts > 1 ? p + "x" + n + "x" + k : n + "x" + k;
  std::string weight = "tensor<" + shape + "xf32, " + packedAttribute(l.desc) + ">";
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

static float halfRounded(float value) { return halfToFloat(floatToHalf(value)); }

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
  int lowest = isInt8 ? -128 : 0, highest = isInt8 ? 127 : l.desc.largestCode();
  if (auto book = l.desc.codeBook(); !book.empty()) {
    lowest = int(std::min_element(book.begin(), book.end()) - book.begin());
    highest = int(std::max_element(book.begin(), book.end()) - book.begin());
  }
  for (size_t i = 0; i < count; ++i) {
    int code =
        isInt8 ? int(random() % 256) - 128 : int(random() % unsigned(l.desc.largestCode() + 1));
    if (fill == Fill::AllExtreme)
      code = highest;
    if (fill == Fill::OtherExtreme)
      code = lowest;
    if (fill == Fill::AlternatingSigns)
      code = i % 2 ? lowest : highest;
    w.codes.push_back(code);
  }
  auto floatBits = [&](ScaleType type) {
    if (type == ScaleType::E8M0)
      return fill == Fill::Special ? oneOf<uint32_t>({0, 1, 2, 127, 128, 129, 254, 255})
                                   : uint32_t(random() % 8 ? 100 + random() % 20 : random() % 3);
    if (fill == Fill::Special) {
      float tiny = type == ScaleType::F16 ? 0x1p-24f : 0x1p-149f;
      float large = type == ScaleType::F16 ? 65504.0f : 3e38f;
      return scaleToBits(type, oneOf({0.0f, -0.0f, tiny, -3 * tiny, 1000 * tiny, large, 0.01f}));
    }
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
      if (fill != Fill::Random &&
          fill != Fill::Special) // the integer sums at their largest: i8 -128, i6 -32
        scale.scale = l.desc.scale == ScaleType::I8 ? 128 : l.desc.scaleZero() ? 0 : largestScale;
      if (l.desc.minimum)
        scale.minimum =
            fill == Fill::Random || fill == Fill::Special ? random() & largestScale : largestScale;
    }
    w.scales.push_back(scale);
  }
}

void LinearCase::pack(uint8_t *bytes) const {
  const int tileRows = 32;
  size_t tiles = (l.rows + tileRows - 1) / tileRows;
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
    x.push_back(fill == Fill::Special && random() % 16 == 0
                    ? oneOf({0.0f, -0.0f, 1e-45f, -1e-39f, 3e38f, INFINITY, -INFINITY, NAN})
                    : uniform());
    int code = int(random() % 255) - 127;
    if (fill == Fill::AllExtreme || fill == Fill::OtherExtreme)
      code = 127;
    if (fill == Fill::AlternatingSigns)
      code = i % 2 ? -127 : 127;
    codes.push_back(int8_t(code));
  }
  for (int i = 0; i < t * (l.k / group); ++i)
    scales.push_back(fill == Fill::Special
                         ? oneOf({0.0f, 1e-45f, 1e-39f, 1e30f, 0.05f, 0.05f, INFINITY, NAN})
                         : 0.1f * uniform());
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
      const float factor = l.parts == 2 ? dot(i, 1, n) : 1;
      const float added = l.residual ? residual[size_t(i) * l.rows + n] : 0;
      if (fused && l.desc.isFloat() && l.parts == 2 && l.residual)
        value = std::fma(value, factor, added);
      else {
        value = l.parts == 2 ? value * factor : value;
        value = l.residual ? value + added : value;
      }
      y.push_back(value);
    }
  return y;
}
