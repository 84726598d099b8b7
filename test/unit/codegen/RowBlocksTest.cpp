// Variants that take blocks of rows: which variant the shim lets compute which rows.
#include "LoadedImage.h"
#include "TrivialKernel.h"
#include "compiler/CodeGen/ImageLinker.h"
#include "compiler/CodeGen/ObjectEmitter.h"
#include "gtest/gtest.h"

using namespace tern;
using llvm::Expected;
using llvm::toString;

namespace {

struct Rows {
  int32_t min, max, block;
};

/// out[row][task] = number of the variant + 1, for rows of 8 tasks.
GeneratedKernel blocksKernel(llvm::ArrayRef<Rows> variants) {
  using namespace Halide;
  GeneratedKernel kernel;
  kernel.signature.name = "kernel";
  kernel.use = VariantUse::Blocks;
  kernel.signature.arguments.push_back(
      {"out", Access::Write, {"", perRow(DimSymbol::Tokens, 32), Space::Arena}, true, 0, 0});
  for (auto [number, rows] : llvm::enumerate(variants)) {
    Func f("number");
    Var task("task"), row("row");
    f(task, row) = float(number + 1);
    KernelVariant variant;
    variant.functionName = "variant" + std::to_string(number);
    variant.bitcode = halideBitcode(f, {}, variant.functionName, trivialTarget);
    variant.minRows = rows.min;
    variant.maxRows = rows.max;
    variant.block = rows.block;
    ParameterBinding out = rowsBinding(0);
    out.buffer.dimensions[0] = {out.buffer.dimensions[1].min, out.buffer.dimensions[1].extent,
                                Affine{1}};
    Affine first, count{number == 0};
    if (number != 0) {
      first.perFirstRow = 1;
      count.perBlock = rows.block;
    }
    out.buffer.dimensions[1] = {first, count, Affine{8}};
    variant.parameters = {out};
    kernel.variants.push_back(std::move(variant));
  }
  return kernel;
}

// As linear layers have them, with wide and with narrow vectors.
const Rows wide[] = {{1, 1, 1}, {12, 64, 4}, {4, 4, 4}, {3, 3, 3}, {2, 2, 2}};
const Rows narrow[] = {{1, 1, 1}, {12, 64, 4}, {4, 8, 4}, {3, 3, 3}, {2, 2, 2}};

/// The variant of each row of tasks 2 to 4, as a string of digits; the other tasks stay untouched.
std::string variantsOf(TernKernelFunction function, int rows) {
  std::vector<float> out(rows * 8);
  int32_t integers[TERN_INT_COUNT] = {};
  integers[TERN_INT_TOKENS] = rows;
  void *buffers[] = {out.data()};
  TernArgs args{buffers, integers, nullptr};
  function(&args, 2, 5);
  std::string text;
  for (int row = 0; row < rows; ++row) {
    for (int task = 0; task < 8; ++task)
      EXPECT_EQ(out[row * 8 + task], task < 2 || task >= 5 ? 0.0f : out[row * 8 + 2])
          << rows << " rows, row " << row << ", task " << task;
    text += char('0' + int(out[row * 8 + 2]));
  }
  return text;
}

/// By which variants such a kernel computes those counts of rows; no row of any count is left out.
void expectVariants(llvm::ArrayRef<Rows> variants,
                    std::initializer_list<std::pair<int, std::string>> expected) {
  Expected<std::string> object = emitKernelCode(blocksKernel(variants), avx2(), EmitKind::Object);
  ASSERT_TRUE(bool(object)) << toString(object.takeError());
  Expected<LinkedImage> linked = linkImage({{*object, "kernel"}});
  ASSERT_TRUE(bool(linked)) << toString(linked.takeError());
  LoadedImage image(linked->bytes);
  TernKernelFunction kernel = image.entry(linked->entries[0]);
  for (const auto &[rows, text] : expected)
    EXPECT_EQ(variantsOf(kernel, rows), text) << rows;
  for (int rows = 1; rows <= 140; ++rows)
    EXPECT_EQ(variantsOf(kernel, rows).find('0'), std::string::npos) << rows;
}

std::string many(int count) { return std::string(count, '2'); }

TEST(RowBlocks, TakeEveryRowCount) {
  expectVariants(wide, {{1, "1"},
                        {2, "55"},
                        {3, "444"},
                        {4, "3333"},
                        {5, "44455"},
                        {6, "333355"},
                        {9, "333344455"},
                        {11, "33333333444"},
                        {12, many(12)},
                        {13, many(11) + "55"}, // the last row with the one before it
                        {64, many(64)},
                        {70, many(64) + "333355"},
                        {76, many(76)}});
}

TEST(RowBlocks, SeveralBlocksInOneCall) {
  expectVariants(narrow, {{4, "3333"},
                          {5, "44455"},
                          {7, "3333444"},
                          {8, "33333333"},
                          {9, "333333355"},
                          {11, "33333333444"},
                          {12, many(12)},
                          {69, many(64) + "44455"}});
}

TEST(RowBlocks, RefuseRowsWithoutCode) {
  auto error = [](llvm::ArrayRef<Rows> variants) {
    Expected<std::string> code = emitKernelCode(blocksKernel(variants), avx2(), EmitKind::Object);
    EXPECT_FALSE(bool(code));
    return code ? "" : toString(code.takeError());
  };
  EXPECT_EQ(error({{1, INT32_MAX, 1}, {2, 2, 2}}),
            "kernel 'kernel': the first of variants for blocks of rows is not for one row");
  EXPECT_EQ(error({{1, 1, 1}, {3, 3, 3}}),
            "kernel 'kernel': the last variant does not take blocks of 2 rows");
  EXPECT_EQ(error({{1, 1, 1}, {3, 64, 4}, {2, 2, 2}}),
            "kernel 'kernel': variant 'variant1' takes blocks of 4 rows, from 3 to 64 rows");
}

} // namespace
