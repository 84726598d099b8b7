// The shim and code emission on kernels made by hand: variants, task ranges, errors, determinism.
#include "compiler/CodeGen/ObjectEmitter.h"
#include "LoadedImage.h"
#include "TrivialKernel.h"
#include "compiler/CodeGen/ImageLinker.h"
#include "gtest/gtest.h"

using namespace tern;
using llvm::Expected;
using llvm::toString;

namespace {

std::string emit(const GeneratedKernel &kernel, EmitKind kind = EmitKind::Object) {
  Expected<std::string> code = emitKernelCode(kernel, avx2(), kind);
  EXPECT_TRUE(bool(code)) << toString(code.takeError());
  return *code;
}

std::string emitError(const GeneratedKernel &kernel) {
  Expected<std::string> code = emitKernelCode(kernel, avx2());
  EXPECT_FALSE(bool(code));
  return code ? "" : toString(code.takeError());
}

LinkedImage link(llvm::ArrayRef<LinkInput> inputs) {
  Expected<LinkedImage> image = linkImage(inputs);
  EXPECT_TRUE(bool(image)) << toString(image.takeError());
  return *image;
}

struct Call {
  std::vector<float> in, out;
  int32_t integers[TERN_INT_COUNT] = {};
  explicit Call(int rows) : in(rows * 8), out(rows * 8, -1.0f) {
    integers[TERN_INT_TOKENS] = rows;
    for (size_t i = 0; i < in.size(); ++i)
      in[i] = float(i);
  }
  void run(TernKernelFunction function, int first, int last) {
    void *buffers[] = {in.data(), out.data()};
    TernArgs args{buffers, integers, nullptr};
    function(&args, first, last);
  }
};

} // namespace

TEST(ObjectEmitter, ComputesExactlyTheTaskRange) {
  std::string object = emit(trivialKernel("kernel"));
  LinkedImage linked = link({{object, "kernel"}});
  LoadedImage image(linked.bytes);
  Call call(5);
  call.run(image.entry(linked.entries[0]), 1, 4);
  for (int i = 0; i < 40; ++i)
    EXPECT_EQ(call.out[i], i < 8 || i >= 32 ? -1.0f : float(i) * 3 + 1) << i;
}

TEST(ObjectEmitter, ChoosesTheVariantByRows) {
  std::string object = emit(trivialKernel("kernel"));
  LinkedImage linked = link({{object, "kernel"}});
  LoadedImage image(linked.bytes);
  Call one(1), two(2);
  one.run(image.entry(linked.entries[0]), 0, 1);
  two.run(image.entry(linked.entries[0]), 0, 2);
  EXPECT_EQ(one.out[3], 6.0f);
  EXPECT_EQ(two.out[3], 9.0f);
}

TEST(ObjectEmitter, EmptyTaskRangeTouchesNothing) {
  std::string object = emit(trivialKernel("kernel"));
  LinkedImage linked = link({{object, "kernel"}});
  LoadedImage image(linked.bytes);
  TernArgs args{nullptr, nullptr, nullptr};
  image.entry(linked.entries[0])(&args, 3, 3);
}

TEST(ObjectEmitter, RefusesRowCountsWithoutCode) {
  GeneratedKernel kernel = trivialKernel("kernel");
  kernel.variants[1].minRows = 3;
  EXPECT_NE(emitError(kernel).find("kernel 'kernel': no variant holds 2 rows"), std::string::npos);
}

TEST(ObjectEmitter, RefusesBindingsThatDoNotFit) {
  GeneratedKernel kernel = trivialKernel("kernel");
  kernel.variants[0].parameters.pop_back();
  EXPECT_NE(emitError(kernel).find("takes 3 parameters, 2 are bound"), std::string::npos);
  kernel = trivialKernel("kernel");
  std::swap(kernel.variants[0].parameters[0], kernel.variants[0].parameters[1]);
  EXPECT_NE(emitError(kernel).find("parameter 0 is bound as an i32 scalar"), std::string::npos);
}

TEST(ObjectEmitter, RefusesBitcodeThatIsNone) {
  GeneratedKernel kernel = trivialKernel("kernel");
  kernel.variants[0].bitcode = "not bitcode at all";
  EXPECT_NE(emitError(kernel).find("kernel 'kernel'"), std::string::npos);
}

TEST(ObjectEmitter, RefusesCallsOfForeignFunctions) {
  using namespace Halide;
  GeneratedKernel kernel = trivialKernel("kernel");
  ImageParam in(Float(32), 2, "in");
  Func f("sine");
  Var i("i"), t("t");
  f(i, t) = sin(in(i, t));
  kernel.variants.resize(1);
  kernel.variants[0].maxRows = INT32_MAX;
  kernel.variants[0].functionName = "sine_fn";
  kernel.variants[0].bitcode = halideBitcode(f, {in}, "sine_fn", trivialTarget);
  kernel.variants[0].parameters = {rowsBinding(0), rowsBinding(1)};
  std::string error = emitError(kernel);
  EXPECT_NE(error.find("calls 'sin"), std::string::npos) << error;
}

/// One task a row: out[t][i] = the sum of in[t][i] * r * (r + first) for r < size, through an array
/// of `size` floats on the stack.
static GeneratedKernel kernelWithStack(int size) {
  using namespace Halide;
  GeneratedKernel kernel = trivialKernel("kernel");
  ImageParam in(Float(32), 2, "in");
  Param<int> first("first");
  Func array("array"), f("summed");
  Var i("i"), t("t");
  RDom r(0, size);
  array(i) = cast<float>(i * (i + first));
  f(i, t) = 0.0f;
  f(i, t) += in(i, t) * array(r);
  array.compute_root().store_in(MemoryType::Register);
  kernel.variants.resize(1);
  kernel.variants[0].maxRows = INT32_MAX;
  kernel.variants[0].functionName = "summed_fn";
  kernel.variants[0].bitcode = halideBitcode(f, {in, first}, "summed_fn", trivialTarget);
  return kernel;
}

TEST(ObjectEmitter, RefusesAFrameThatNoStackHolds) {
  constexpr int limit = TERN_KERNEL_STACK_BYTES / sizeof(float);
  EXPECT_NE(emit(kernelWithStack(limit / 2)), "");
  for (int size : {limit + 1, 100 * limit}) {
    std::string error = emitError(kernelWithStack(size));
    EXPECT_NE(error.find("kernel 'kernel': takes "), std::string::npos) << error;
    EXPECT_NE(error.find(" bytes of stack, at most " + std::to_string(TERN_KERNEL_STACK_BYTES)),
              std::string::npos)
        << error;
  }
}

TEST(ObjectEmitter, RefusesUnexpandedPlaceholders) {
  using namespace Halide;
  GeneratedKernel kernel = trivialKernel("kernel");
  ImageParam in(Float(32), 2, "in");
  Func f("dot");
  Var i("i"), t("t");
  Expr bits = cast<int>(in(i, t));
  f(i, t) = cast<float>(Internal::Call::make(Int(32), "tern_placeholder_dot4", {bits, bits, bits},
                                             Internal::Call::PureExtern));
  kernel.variants.resize(1);
  kernel.variants[0].maxRows = INT32_MAX;
  kernel.variants[0].functionName = "dot_fn";
  kernel.variants[0].bitcode = halideBitcode(f, {in}, "dot_fn", trivialTarget);
  kernel.variants[0].parameters = {rowsBinding(0), rowsBinding(1)};
  std::string error = emitError(kernel);
  EXPECT_NE(error.find("x86_64-avx2 has no instruction for 'dot4'"), std::string::npos) << error;
}

// Halide's names count up within a process; the objects must not show it.
TEST(ObjectEmitter, ObjectsDoNotDependOnWhatWasGeneratedBefore) {
  std::string first = emit(trivialKernel("kernel"));
  std::string second = emit(trivialKernel("kernel"));
  EXPECT_EQ(first, second);
}

TEST(ObjectEmitter, UsesTheTargetsFeaturesAndNoRedZone) {
  std::string text = emit(trivialKernel("kernel"), EmitKind::LLVM);
  EXPECT_NE(text.find("\"target-cpu\"=\"" + avx2().cpu + "\""), std::string::npos);
  EXPECT_NE(text.find("+avx2"), std::string::npos);
  EXPECT_EQ(text.find("avx512"), std::string::npos);
  EXPECT_NE(text.find("noredzone"), std::string::npos);
  EXPECT_EQ(text.find("tune-cpu"), std::string::npos);
}

TEST(ObjectEmitter, EmitsAssemblyAndStatements) {
  GeneratedKernel kernel = trivialKernel("kernel");
  kernel.variants[0].stmt = "produce scale {}\n";
  EXPECT_NE(emit(kernel, EmitKind::Assembly).find("kernel:"), std::string::npos);
  EXPECT_EQ(emit(kernel, EmitKind::Stmt), "produce scale {}\n");
}
