// The pool of workers: cache use, crashes, complaints, sharing. The workers are this test program,
// whose main (CodegenTestMain.cpp) plays the part that TERN_TEST_WORKER names.
#include "compiler/CodeGen/KernelCompiler.h"
#include "compiler/CodeGen/ImageLinker.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"
#include <cstdlib>
#include <filesystem>
#include <thread>

using namespace tern;
using llvm::Expected;
using llvm::toString;
namespace fs = std::filesystem;

namespace {

std::string kernelText(const std::string &name, int offset) {
  return "tern.kernel @" + name +
         "(%x: tensor<?x64xf32> {tern.dim = \"T\"}) -> tensor<?x32xf32> {\n"
         "  %y = tern.slice %x dim 1 from " +
         std::to_string(offset) +
         " length 32 : tensor<?x64xf32> -> tensor<?x32xf32>\n"
         "  tern.yield %y : tensor<?x32xf32>\n}\n";
}

class KernelCompilerTest : public testing::Test {
protected:
  void SetUp() override {
    char path[] = "/tmp/tern-compiler-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory = path;
    options.cacheDirectory = directory + "/cache";
    options.jobs = 2;
    setenv("TERN_TEST_WORKER", "echo", 1);
    // Each worker that runs leaves a file here.
    fs::create_directory(directory + "/runs");
    setenv("TERN_TEST_RUNS", (directory + "/runs").c_str(), 1);
    context.loadDialect<TernDialect>();
  }
  void TearDown() override { fs::remove_all(directory); }

  llvm::SmallVector<KernelOp> parse(const std::string &text) {
    module = mlir::parseSourceString<mlir::ModuleOp>(text, mlir::ParserConfig(&context));
    EXPECT_TRUE(bool(module));
    return llvm::to_vector(module->getOps<KernelOp>());
  }
  Expected<std::vector<CompiledKernel>> compile(const std::string &text) {
    Expected<TargetInfo> target = lookupTarget("x86_64-avx2");
    EXPECT_TRUE(bool(target)) << toString(target.takeError());
    return compileKernels(parse(text), *target, options);
  }
  size_t workerRuns() const {
    return size_t(
        std::distance(fs::directory_iterator(directory + "/runs"), fs::directory_iterator()));
  }

  std::string directory;
  KernelCompileOptions options;
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

} // namespace

TEST_F(KernelCompilerTest, SendsTheKernelUnderItsContentsName) {
  auto compiled = compile(kernelText("a", 0));
  ASSERT_TRUE(bool(compiled)) << toString(compiled.takeError());
  const CompiledKernel &kernel = (*compiled)[0];
  EXPECT_EQ(kernel.entrySymbol.size(), 18u);
  EXPECT_NE(kernel.code.find("tern.kernel @" + kernel.entrySymbol + "("), std::string::npos);
  EXPECT_NE(kernel.code.find("x86_64-avx2 obj"), std::string::npos);
  EXPECT_EQ(kernel.code.find("loc("), std::string::npos);
}

TEST_F(KernelCompilerTest, EqualKernelsAreCompiledOnce) {
  auto compiled = compile(kernelText("a", 0) + kernelText("b", 32) + kernelText("c", 0));
  ASSERT_TRUE(bool(compiled)) << toString(compiled.takeError());
  EXPECT_EQ((*compiled)[0].code, (*compiled)[2].code);
  EXPECT_EQ((*compiled)[0].entrySymbol, (*compiled)[2].entrySymbol);
  EXPECT_NE((*compiled)[0].entrySymbol, (*compiled)[1].entrySymbol);
  EXPECT_EQ(workerRuns(), 2u);
}

TEST_F(KernelCompilerTest, TheSecondTimeComesFromTheCache) {
  auto cold = compile(kernelText("a", 0));
  auto warm = compile(kernelText("renamed", 0));
  ASSERT_TRUE(cold && warm);
  EXPECT_FALSE((*cold)[0].fromCache);
  EXPECT_TRUE((*warm)[0].fromCache);
  EXPECT_EQ((*cold)[0].code, (*warm)[0].code);
  EXPECT_EQ(workerRuns(), 1u);
}

TEST_F(KernelCompilerTest, AnotherKindOfOutputIsAnotherEntry) {
  auto object = compile(kernelText("a", 0));
  options.emit = EmitKind::Assembly;
  auto assembly = compile(kernelText("a", 0));
  ASSERT_TRUE(object && assembly);
  EXPECT_NE((*assembly)[0].code.find("x86_64-avx2 asm"), std::string::npos);
}

TEST_F(KernelCompilerTest, DamagedEntriesAreRebuilt) {
  auto cold = compile(kernelText("a", 0));
  for (const auto &entry : fs::directory_iterator(options.cacheDirectory))
    fs::resize_file(entry, 40);
  auto again = compile(kernelText("a", 0));
  ASSERT_TRUE(cold && again);
  EXPECT_FALSE((*again)[0].fromCache);
  EXPECT_EQ((*cold)[0].code, (*again)[0].code);
}

TEST_F(KernelCompilerTest, ACrashNamesTheKernelAndTheLastWords) {
  setenv("TERN_TEST_WORKER", "crash", 1);
  auto compiled = compile(kernelText("attention_3", 0));
  ASSERT_FALSE(bool(compiled));
  std::string message = toString(compiled.takeError());
  EXPECT_NE(message.find("kernel 'attention_3': the code generator crashed (Aborted)"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("last words"), std::string::npos) << message;
}

TEST_F(KernelCompilerTest, AComplaintNamesTheKernel) {
  setenv("TERN_TEST_WORKER", "complain", 1);
  auto compiled = compile(kernelText("a", 0) + kernelText("b", 32));
  ASSERT_FALSE(bool(compiled));
  std::string message = toString(compiled.takeError());
  EXPECT_NE(message.find("kernel 'a': no algorithm for this"), std::string::npos) << message;
}

TEST_F(KernelCompilerTest, AWorkerThatCannotStartIsAnError) {
  options.workerExecutable = directory + "/missing";
  auto compiled = compile(kernelText("a", 0));
  ASSERT_FALSE(bool(compiled));
  EXPECT_NE(toString(compiled.takeError()).find(directory + "/missing"), std::string::npos);
}

TEST_F(KernelCompilerTest, AnUnusableCacheIsAWarning) {
  options.cacheDirectory = "/proc/no-cache-here";
  std::vector<std::string> warnings;
  options.warn = [&](const std::string &text) { warnings.push_back(text); };
  auto compiled = compile(kernelText("a", 0));
  ASSERT_TRUE(bool(compiled)) << toString(compiled.takeError());
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("/proc/no-cache-here"), std::string::npos);
}

TEST_F(KernelCompilerTest, ReportsProgress) {
  std::vector<size_t> done;
  options.progress = [&](llvm::StringRef, size_t n, size_t count) {
    done.push_back(n);
    EXPECT_EQ(count, 3u);
  };
  auto compiled = compile(kernelText("a", 0) + kernelText("b", 16) + kernelText("c", 32));
  ASSERT_TRUE(bool(compiled)) << toString(compiled.takeError());
  EXPECT_EQ(done, (std::vector<size_t>{1, 2, 3}));
}

// Real workers here: the whole way from text to image.
TEST_F(KernelCompilerTest, ImagesDoNotDependOnJobsOrCache) {
  unsetenv("TERN_TEST_WORKER");
  std::string rows = "tensor<?xi32>", dim = " {tern.dim = \"T\"}", x = "tensor<?x64xf32>",
              kv =
                  "!tern.kv<heads = 2, head_size = 16, value_size = 16, window = 0, element = f16>";
  std::string text =
      kernelText("a", 0) + "tern.kernel @norm(%x: " + x + dim + ", %w: tensor<64xf32>) -> " + x +
      " {\n  %y = tern.rms_norm %x, %w {epsilon = 1.0e-5 : f32} : " + x + ", tensor<64xf32> -> " +
      x + "\n  tern.yield %y : " + x + "\n}\n" + "tern.kernel @attention(%q: " + x + dim +
      ", %c: " + kv + ", %p: " + rows + dim + ", %s: " + rows + dim + ") -> " + x +
      " {\n  %a = tern.attention %q, %c, %p, %s {heads = 4 : i32, scale = 0.25 : "
      "f32} : " +
      x + ", " + kv + ", " + rows + ", " + rows + " -> " + x + "\n  tern.yield %a : " + x + "\n}\n";
  auto image = [&](unsigned jobs, const std::string &cache) {
    options.jobs = jobs;
    options.cacheDirectory = cache;
    auto compiled = compile(text);
    EXPECT_TRUE(bool(compiled)) << toString(compiled.takeError());
    std::vector<LinkInput> inputs;
    for (const CompiledKernel &kernel : *compiled)
      inputs.push_back({kernel.code, kernel.entrySymbol});
    Expected<LinkedImage> linked = linkImage(inputs);
    EXPECT_TRUE(bool(linked)) << toString(linked.takeError());
    return linked->bytes;
  };
  std::string first = image(1, "");
  EXPECT_EQ(first, image(2, ""));
  EXPECT_EQ(first, image(2, directory + "/cold")) << "cold cache";
  EXPECT_EQ(first, image(1, directory + "/cold")) << "warm cache";
  EXPECT_EQ(first.find(directory), std::string::npos) << "the image names a path of this machine";
}
