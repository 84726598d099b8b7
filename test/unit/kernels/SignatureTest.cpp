// Kernel boundaries: component sizes, access, tasks; and what no kernel algorithm exists for.
#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Kernels/KernelGenerator.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "targets/TargetInfo.h"
#include "gtest/gtest.h"

using namespace tern;

namespace {

using Inputs = std::vector<std::optional<Input>>;

Inputs inputsOf(const KernelSignature &signature) {
  Inputs inputs;
  for (const KernelArgument &argument : signature.arguments)
    inputs.push_back(argument.input);
  return inputs;
}

class Signature : public testing::Test {
protected:
  Signature() {
    context.loadDialect<TernDialect, mlir::arith::ArithDialect, mlir::math::MathDialect,
                        mlir::func::FuncDialect>();
  }
  KernelOp parse(const std::string &text) {
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(bool(module)) << text;
    return *module->getOps<KernelOp>().begin();
  }
  mlir::Type type(const std::string &text) { return mlir::parseType(text, &context); }
  Extent bytes(const std::string &text, DimSymbol symbol = DimSymbol::None,
               unsigned component = 0) {
    return componentsOf(type(text), symbol)[component].bytes;
  }
  TargetInfo avx2() { return llvm::cantFail(lookupTarget("x86_64-avx2")); }
  /// The message of the error that generating the kernel ends in.
  std::string complaint(const std::string &text) {
    auto kernel = generateKernel(parse(text), avx2());
    EXPECT_FALSE(bool(kernel)) << text;
    return kernel ? "" : llvm::toString(kernel.takeError());
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

TEST_F(Signature, ComponentsArePadded) {
  EXPECT_EQ(bytes("tensor<?x100xf32>", DimSymbol::Tokens), (Extent{0, 512, 0}));
  EXPECT_EQ(bytes("tensor<?x64xf32>", DimSymbol::Wanted), (Extent{0, 0, 256}));
  EXPECT_EQ(bytes("tensor<?xi32>", DimSymbol::Tokens), (Extent{0, 4, 0}));
  EXPECT_EQ(bytes("tensor<33xf32>"), (Extent{256, 0, 0}));
  EXPECT_EQ(bytes("tensor<257x8x2xf32>"), (Extent{257 * 8 * 2 * 4, 0, 0}));
}

TEST_F(Signature, ActivationsHaveCodesScalesAndSums) {
  std::string act = "tensor<?x96xf32, #tern.act<group = 32, sums = 32>>";
  EXPECT_EQ(bytes(act, DimSymbol::Tokens, 0), (Extent{0, 128, 0}));
  EXPECT_EQ(bytes(act, DimSymbol::Tokens, 1), (Extent{0, 12, 0}));
  EXPECT_EQ(bytes(act, DimSymbol::Tokens, 2), (Extent{0, 12, 0}));
  EXPECT_EQ(
      componentsOf(type("tensor<?x96xf32, #tern.act<group = row>>"), DimSymbol::Tokens).size(), 2u);
  EXPECT_EQ(bytes("tensor<?x96xf32, #tern.act<group = row>>", DimSymbol::Tokens, 1),
            (Extent{0, 4, 0}));
}

TEST_F(Signature, WeightsArePackedInTilesOf32Rows) {
  EXPECT_EQ(
      bytes(
          "tensor<33x512xf32, #tern.enc<ternary, group = 256, scale = f16, layout = \"rows32\">>"),
      (Extent{2 * 2 * (64 + 2048), 0, 0}));
  EXPECT_EQ(
      bytes("tensor<2x32x64xf32, #tern.enc<int4, group = 32, scale = f32, layout = \"rows32\">>"),
      (Extent{2 * 2 * (128 + 512), 0, 0}));
  EXPECT_EQ(bytes("tensor<40x7xf32, #tern.enc<bf16, layout = \"rows32\">>"),
            (Extent{2 * 7 * 64, 0, 0}));
}

TEST_F(Signature, LinearTasksAreTilesWhateverTheRows) {
  KernelSignature s = describeKernel(parse(R"(
tern.kernel @linear(%x: tensor<?x64xf32> {tern.dim = "R"}, %w: tensor<70x64xf32, #tern.enc<f16, layout = "rows32">>) -> tensor<?x70xf32> {
  %y = tern.linear %x, %w : tensor<?x64xf32>, tensor<70x64xf32, #tern.enc<f16, layout = "rows32">> -> tensor<?x70xf32>
  tern.yield %y : tensor<?x70xf32>
})"),
                                     avx2());
  EXPECT_EQ(s.tasks, (Extent{3, 0, 0}));
  EXPECT_EQ(s.flops, (Extent{0, 0, 2 * 70 * 64}));
  ASSERT_EQ(s.arguments.size(), 3u);
  EXPECT_EQ(s.arguments[1].component.space, Space::Tensor);
  EXPECT_EQ(s.arguments[2].access, Access::Write);
  EXPECT_EQ(s.arguments[2].component.bytes, (Extent{0, 0, 96 * 4}));
}

TEST_F(Signature, GatheredRowsAreTasks) {
  KernelSignature s = describeKernel(parse(R"(
tern.kernel @gather(%x: tensor<?x40xf32> {tern.dim = "T"}, %i: tensor<?xi32> {tern.dim = "R"}) -> tensor<?x40xf32> {
  %g = tern.gather %x, %i : tensor<?x40xf32>, tensor<?xi32> -> tensor<?x40xf32>
  tern.yield %g : tensor<?x40xf32>
})"),
                                     avx2());
  EXPECT_EQ(s.tasks, (Extent{0, 0, 1}));
  EXPECT_EQ(s.arguments[1].component.space, Space::Input);
  EXPECT_EQ(s.arguments[2].component.bytes, (Extent{0, 0, 256}));
  EXPECT_EQ(inputsOf(s), (Inputs{{}, Input::WantedRows, {}}));
}

TEST_F(Signature, StoresSayPositionsAndSlotsButLookUpsClampNumbersThemselves) {
  KernelSignature store = describeKernel(parse(R"(
!kv = !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>
tern.kernel @store(%x: tensor<?x32xf32> {tern.dim = "T"}, %c: !kv, %p: tensor<?xi32> {tern.dim = "T"},
                   %s: tensor<?xi32> {tern.dim = "T"}) -> !kv {
  %n = tern.kv_store %c, %x, %x, %p, %s : !kv, tensor<?x32xf32>, tensor<?x32xf32>, tensor<?xi32>, tensor<?xi32>
  tern.yield %n : !kv
})"),
                                         avx2());
  EXPECT_EQ(inputsOf(store), (Inputs{{}, {}, {}, {}, Input::Positions, Input::Slots}));
  KernelSignature lookUp = describeKernel(parse(R"(
tern.kernel @embed(%t: tensor<70x32xf32, #tern.enc<f32, layout = "rows32">>, %i: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x32xf32> {
  %x = tern.embed %t, %i : tensor<70x32xf32, #tern.enc<f32, layout = "rows32">>, tensor<?xi32> -> tensor<?x32xf32>
  tern.yield %x : tensor<?x32xf32>
})"),
                                          avx2());
  EXPECT_EQ(lookUp.arguments[1].component.space, Space::Input);
  EXPECT_EQ(inputsOf(lookUp), (Inputs{{}, {}, {}}));
}

TEST_F(Signature, AttentionSaysItsWindowAndWhatABlockLeaves) {
  KernelSignature s = describeKernel(parse(R"(
tern.kernel @attention(%q: tensor<?x64xf32> {tern.dim = "T"},
                       %c: !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 100, element = f16>,
                       %p: tensor<?xi32> {tern.dim = "T"}, %s: tensor<?xi32> {tern.dim = "T"}) -> tensor<?x64xf32> {
  %a = tern.attention %q, %c, %p, %s {heads = 4 : i32, scale = 2.5e-1 : f32}
        : tensor<?x64xf32>, !tern.kv<heads = 2, head_size = 16, value_size = 16, window = 100, element = f16>,
          tensor<?xi32>, tensor<?xi32> -> tensor<?x64xf32>
  tern.yield %a : tensor<?x64xf32>
})"),
                                     avx2());
  EXPECT_EQ(s.tasks, (Extent{0, 2, 0}));
  EXPECT_EQ(s.window, 100u);
  EXPECT_EQ(inputsOf(s), (Inputs{{}, {}, {}, {}, Input::Positions, Input::Slots, {}}));
  // Two query heads to a key head: each 16 values, a maximum and a sum, padded to 64 bytes.
  EXPECT_EQ(s.partialBytes, 2u * 128);
}

TEST_F(Signature, MapsNameTheScalarOpTheyCannotDo) {
  EXPECT_EQ(complaint(R"(
tern.kernel @map(%x: tensor<?x32xf32> {tern.dim = "T"}) -> tensor<?x32xf32> {
  %z = tern.map (%x) : (tensor<?x32xf32>) -> tensor<?x32xf32> {
  ^bb0(%u: f32):
    %s = math.sin %u : f32
    tern.yield %s : f32
  }
  tern.yield %z : tensor<?x32xf32>
})"),
            "kernel 'map': tern.map: no scalar form exists for math.sin");
}

TEST_F(Signature, OpsWithoutAlgorithmAreNamed) {
  EXPECT_EQ(complaint(R"(
tern.kernel @window(%x: tensor<4x16xf32>) -> tensor<4x16x3xf32> {
  %w = tern.window %x dim 1 size 3 {pad_before = 1, pad_after = 1} : tensor<4x16xf32> -> tensor<4x16x3xf32>
  tern.yield %w : tensor<4x16x3xf32>
})"),
            "kernel 'window': no kernel algorithm exists for tern.window");
}

TEST_F(Signature, IntegerCodesNeedQuantizedActivations) {
  EXPECT_EQ(complaint(R"(
tern.kernel @linear(%x: tensor<?x32xf32> {tern.dim = "T"}, %w: tensor<32x32xf32, #tern.enc<int4, group = 32, scale = f16, layout = "rows32">>) -> tensor<?x32xf32> {
  %y = tern.linear %x, %w : tensor<?x32xf32>, tensor<32x32xf32, #tern.enc<int4, group = 32, scale = f16, layout = "rows32">> -> tensor<?x32xf32>
  tern.yield %y : tensor<?x32xf32>
})"),
            "kernel 'linear': tern.linear: float weights take plain f32, integer codes take "
            "#tern.act; the "
            "weight is int4:g32:f16");
}

} // namespace
