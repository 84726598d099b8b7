// What reports say of a kernel: its name in words, the weights it reads, attention's costs.
#include "compiler/Kernels/KernelCost.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace tern;

namespace {

class Cost : public testing::Test {
protected:
  Cost() { context.loadDialect<TernDialect, mlir::arith::ArithDialect>(); }
  KernelCost cost(const std::string &text) {
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(bool(module)) << text;
    return describeCost(*module->getOps<KernelOp>().begin());
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

TEST_F(Cost, LinearReadsItsWholeMatrixWhateverTheRows) {
  KernelCost linear = cost(R"(
tern.kernel @linear(%x: tensor<?x64xf32> {tern.dim = "R"}, %w: tensor<64x64xf32, #tern.enc<f16, layout = "rows32">>, %r: tensor<?x64xf32> {tern.dim = "R"}) -> tensor<?x64xf32> {
  %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<64x64xf32, #tern.enc<f16, layout = "rows32">> -> tensor<?x64xf32>
  %s = tern.map (%y, %r) : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %b : f32
    tern.yield %c : f32
  }
  %t = tern.map (%s, %r) : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32> {
  ^bb0(%a: f32, %b: f32):
    %c = arith.mulf %a, %b : f32
    tern.yield %c : f32
  }
  tern.yield %t : tensor<?x64xf32>
})");
  EXPECT_EQ(linear.description, "linear 64x64 f16, map");
  EXPECT_EQ(linear.weightBytes, (Extent{64 * 64 * 2, 0, 0}));
  EXPECT_EQ(linear.positionBytes, 0u);
}

TEST_F(Cost, AnEmbeddingReadsOneRowForEachToken) {
  KernelCost embed = cost(R"(
tern.kernel @embed(%t: tensor<512x64xf32, #tern.enc<f16, layout = "rows32">>, %i: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  %x = tern.embed %t, %i : tensor<512x64xf32, #tern.enc<f16, layout = "rows32">>, tensor<?xi32> -> tensor<?x64xf32>
  tern.yield %x : tensor<?x64xf32>
})");
  EXPECT_EQ(embed.description, "embed 512x64 f16");
  EXPECT_EQ(embed.weightBytes, (Extent{0, 64 * 2, 0}));
}

TEST_F(Cost, ARotaryTableIsReadAtTwoRows) {
  KernelCost rope = cost(R"(
tern.kernel @rope(%x: tensor<?x64xf32> {tern.dim = "T"}, %p: tensor<?xi32> {tern.dim = "T"}, %t: tensor<257x8x2xf32>) -> tensor<?x64xf32> {
  %r = tern.rope %x, %p, %t {head_size = 16 : i32, adjacent} : tensor<?x64xf32>, tensor<?xi32>, tensor<257x8x2xf32> -> tensor<?x64xf32>
  tern.yield %r : tensor<?x64xf32>
})");
  EXPECT_EQ(rope.description, "rope");
  EXPECT_EQ(rope.weightBytes, (Extent{0, 2 * 8 * 2 * 4, 0}));
}

TEST_F(Cost, AttentionCostsByPosition) {
  KernelCost attention = cost(R"(
tern.kernel @attention(%q: tensor<?x64xf32> {tern.dim = "T"}, %c: !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>, %p: tensor<?xi32> {tern.dim = "T"}, %s: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  %a = tern.attention %q, %c, %p, %s {heads = 4 : i32, scale = 2.5e-1 : f32}
      : tensor<?x64xf32>, !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>,
        tensor<?xi32>, tensor<?xi32> -> tensor<?x64xf32>
  tern.yield %a : tensor<?x64xf32>
})");
  EXPECT_EQ(attention.description, "attention 4/2 heads of 16");
  EXPECT_EQ(attention.positionBytes, 2u * (16 + 16) * 2);
  EXPECT_EQ(attention.positionFlops, 2u * 4 * (16 + 16));
  EXPECT_EQ(attention.weightBytes, Extent{});
}

} // namespace
