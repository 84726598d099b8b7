// tern.weight ops to tensor sources.
#include "compiler/Artifact/WeightSource.h"
#include "compiler/Artifact/ArtifactWriter.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace tern;

namespace {

constexpr const char *text = R"(
  tern.weight @q : tensor<64x64xf32, #tern.enc<f16>> from #tern.file<index = 0, offset = 64, size = 8192, format = "f16">
  tern.weight @k : tensor<32x64xf32, #tern.enc<f16>> from #tern.file<index = 1, offset = 0, size = 4096, format = "f16">
  tern.weight @qk : tensor<96x64xf32, #tern.enc<f16>> from #tern.parts<concat, [@q, @k]>
  tern.weight @qkq : tensor<160x64xf32, #tern.enc<f16, layout = "rows32">> from #tern.parts<concat, [@qk, @q]>
  tern.weight @pair : tensor<2x96x64xf32, #tern.enc<f32, layout = "rows32">> from #tern.parts<stack, [@qk, @qk]>
  tern.weight @norm : tensor<40xf32> from #tern.file<index = 0, offset = 0, size = 80, format = "bf16">
  tern.weight @norms : tensor<80xf32> from #tern.parts<concat, [@norm, @norm]>
  tern.weight @rope : tensor<257x2x2xf32> from #tern.rope_table<positions = 256, magnitude = 1.5, frequencies = [1.0, 0.5]>
  tern.weight @short : tensor<41xf32> from #tern.file<index = 0, offset = 0, size = 80, format = "f16">
  tern.weight @odd : tensor<40xf32> from #tern.file<index = 0, offset = 0, size = 80, format = "f8">
  tern.weight @lost : tensor<80xf32> from #tern.parts<concat, [@norm, @absent]>
  tern.weight @nested : tensor<2x96x64xf32, #tern.enc<f16>> from #tern.parts<stack, [@qk, @qk]>
  tern.weight @deep : tensor<2x2x96x64xf32, #tern.enc<f16>> from #tern.parts<stack, [@nested, @nested]>
)";

class WeightSource : public testing::Test {
protected:
  WeightSource() {
    context.loadDialect<TernDialect>();
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  }
  WeightOp weight(llvm::StringRef name) { return llvm::cast<WeightOp>(module->lookupSymbol(name)); }
  TensorSource source(llvm::StringRef name) { return llvm::cantFail(weightSource(weight(name))); }
  std::string errorOf(llvm::StringRef name) {
    auto result = weightSource(weight(name));
    return result ? "" : llvm::toString(result.takeError());
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

} // namespace

TEST_F(WeightSource, NestedConcatenationsAreFlattened) {
  auto matrix = std::get<MatrixSource>(source("qkq"));
  EXPECT_EQ(matrix.rows, 160u);
  EXPECT_EQ(matrix.k, 64u);
  EXPECT_EQ(matrix.encoding, EncodingDesc{CodeKind::F16});
  ASSERT_EQ(matrix.parts.size(), 1u);
  ASSERT_EQ(matrix.parts[0].size(), 3u);
  EXPECT_EQ(matrix.parts[0][0].offset, 64u);
  EXPECT_EQ(matrix.parts[0][1].file, 1u);
  EXPECT_EQ(matrix.parts[0][2].rows, 64u);
  EXPECT_EQ(packedSize(matrix), 160u * 64 * 2);
}

TEST_F(WeightSource, AStackHasOnePartPerMatrix) {
  auto matrix = std::get<MatrixSource>(source("pair"));
  EXPECT_EQ(matrix.encoding, EncodingDesc{CodeKind::F32});
  EXPECT_EQ(matrix.rows, 96u);
  ASSERT_EQ(matrix.parts.size(), 2u);
  EXPECT_EQ(matrix.parts[1].size(), 2u);
}

TEST_F(WeightSource, VectorsArePaddedPlainValues) {
  auto plain = std::get<PlainSource>(source("norms"));
  EXPECT_EQ(plain.elements, 80u);
  EXPECT_TRUE(plain.padded);
  EXPECT_EQ(plain.pieces.size(), 2u);
  EXPECT_EQ(packedSize(plain), 96u * 4);
}

TEST_F(WeightSource, RopeTablesKeepTheirParameters) {
  auto table = std::get<RopeTableSource>(source("rope"));
  EXPECT_EQ(table.positions, 256u);
  EXPECT_EQ(table.magnitude, 1.5);
  EXPECT_EQ(table.frequencies, (std::vector<double>{1, 0.5}));
}

TEST_F(WeightSource, RecordsCarryEncodingAndLayout) {
  auto packed = tensorRecord(weight("qkq")), plain = tensorRecord(weight("norm"));
  EXPECT_EQ(packed->name, "qkq");
  EXPECT_EQ(packed->shape, (std::vector<uint64_t>{160, 64}));
  EXPECT_EQ(packed->encoding, "f16");
  EXPECT_EQ(packed->layout, "rows32");
  EXPECT_EQ(plain->encoding, "f32");
  EXPECT_EQ(plain->layout, "rows");
}

TEST_F(WeightSource, WrongSourcesAreNamed) {
  EXPECT_EQ(errorOf("short"), "weight 'short': 80 bytes of f16 do not hold its shape");
  EXPECT_NE(errorOf("odd").find("weight 'odd': unknown format 'f8'; known are f32"),
            std::string::npos);
  EXPECT_EQ(errorOf("lost"), "weight 'lost': its part 'absent' does not exist");
  EXPECT_EQ(errorOf("deep"), "weight 'deep': its part 'nested' is itself a stack");
}
