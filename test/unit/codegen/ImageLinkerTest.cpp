// Images: entries, undefined symbols, memory routines, determinism.
#include "compiler/CodeGen/ImageLinker.h"
#include "LoadedImage.h"
#include "TrivialKernel.h"
#include "compiler/CodeGen/ObjectEmitter.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "gtest/gtest.h"
#include <thread>

using namespace tern;
using llvm::Expected;
using llvm::toString;

namespace {

std::string emit(const GeneratedKernel &kernel) {
  Expected<TargetInfo> target = lookupTarget("x86_64-avx2");
  EXPECT_TRUE(bool(target)) << toString(target.takeError());
  Expected<std::string> code = emitKernelCode(kernel, *target);
  EXPECT_TRUE(bool(code)) << toString(code.takeError());
  return *code;
}

std::string bitcodeOf(const char *text) {
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  std::unique_ptr<llvm::Module> module = llvm::parseAssemblyString(text, diagnostic, context);
  EXPECT_TRUE(bool(module)) << diagnostic.getMessage().str();
  std::string bytes;
  llvm::raw_string_ostream stream(bytes);
  llvm::WriteBitcodeToFile(*module, stream);
  return bytes;
}

/// An object as the emitter would never write it: straight from LLVM IR.
std::string objectOf(const char *text) {
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  std::unique_ptr<llvm::Module> module = llvm::parseAssemblyString(text, diagnostic, context);
  EXPECT_TRUE(bool(module)) << diagnostic.getMessage().str();
  llvm::InitializeAllTargetInfos();
  llvm::InitializeAllTargets();
  llvm::InitializeAllTargetMCs();
  llvm::InitializeAllAsmPrinters();
  llvm::Triple triple("x86_64-unknown-linux-gnu");
  std::string message;
  std::unique_ptr<llvm::TargetMachine> machine(
      llvm::TargetRegistry::lookupTarget(triple, message)
          ->createTargetMachine(triple, "x86-64", "", {}, llvm::Reloc::PIC_));
  module->setTargetTriple(triple);
  module->setDataLayout(machine->createDataLayout());
  llvm::SmallString<0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  machine->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::ObjectFile);
  passes.run(*module);
  return std::string(bytes);
}

/// Bytes 0.. of one buffer: memset, memcpy and memmove of sizes LLVM cannot know.
GeneratedKernel memoryKernel() {
  GeneratedKernel kernel;
  kernel.signature.name = "memory";
  kernel.signature.arguments.push_back({"data", Access::ReadWrite, {}, false, 0, 0});
  KernelVariant variant;
  variant.functionName = "memory_fn";
  variant.bitcode = bitcodeOf(R"(
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
define i32 @memory_fn(ptr %buffer, i32 %size) {
  %hostPtr = getelementptr i8, ptr %buffer, i64 16
  %host = load ptr, ptr %hostPtr
  %n = sext i32 %size to i64
  call void @llvm.memset.p0.i64(ptr %host, i8 7, i64 %n, i1 false)
  %middle = getelementptr i8, ptr %host, i64 500
  %source = getelementptr i8, ptr %host, i64 1000
  call void @llvm.memcpy.p0.p0.i64(ptr %middle, ptr %source, i64 %n, i1 false)
  %up = getelementptr i8, ptr %host, i64 1010
  call void @llvm.memmove.p0.p0.i64(ptr %up, ptr %source, i64 %n, i1 false)
  %a = getelementptr i8, ptr %host, i64 1510
  %b = getelementptr i8, ptr %host, i64 1500
  call void @llvm.memmove.p0.p0.i64(ptr %b, ptr %a, i64 %n, i1 false)
  ret i32 0
})");
  ParameterBinding buffer{ParameterBinding::Kind::Buffer, {}, {}};
  buffer.buffer.argument = 0;
  buffer.buffer.typeCode = 1;
  buffer.buffer.typeBits = 8;
  buffer.buffer.dimensions.push_back({Affine{0}, Affine{2000}, Affine{1}});
  ParameterBinding size{ParameterBinding::Kind::Scalar, {}, {}};
  size.scalar.perToken = 1;
  variant.parameters = {buffer, size};
  kernel.variants.push_back(variant);
  return kernel;
}

} // namespace

TEST(ImageLinker, EntriesAreInInputOrderAndEqualOnesShared) {
  std::string a = emit(trivialKernel("a")), b = emit(trivialKernel("b"));
  Expected<LinkedImage> image = linkImage({{a, "a"}, {b, "b"}, {a, "a"}});
  ASSERT_TRUE(bool(image)) << toString(image.takeError());
  ASSERT_EQ(image->entries.size(), 3u);
  EXPECT_EQ(image->entries[0], image->entries[2]);
  EXPECT_NE(image->entries[0], image->entries[1]);
  LoadedImage loaded(image->bytes);
  EXPECT_NE(loaded.entry(image->entries[1]), nullptr);
}

TEST(ImageLinker, NamesUndefinedSymbols) {
  std::string a = emit(trivialKernel("a"));
  Expected<LinkedImage> image = linkImage({{a, "a"}, {a, "elsewhere"}});
  ASSERT_FALSE(bool(image));
  std::string message = toString(image.takeError());
  EXPECT_NE(message.find("duplicate symbol: a"), std::string::npos) << message;

  image = linkImage({{a, "elsewhere"}});
  ASSERT_FALSE(bool(image));
  message = toString(image.takeError());
  EXPECT_NE(message.find("elsewhere"), std::string::npos) << message;

  std::string caller = objectOf("declare void @missing_one()\ndeclare void @missing_two()\n"
                                "define void @caller() {\n  call void @missing_one()\n"
                                "  call void @missing_two()\n  ret void\n}\n");
  image = linkImage({{caller, "caller"}});
  ASSERT_FALSE(bool(image));
  message = toString(image.takeError());
  EXPECT_NE(message.find("undefined symbol: missing_one"), std::string::npos) << message;
  EXPECT_NE(message.find("undefined symbol: missing_two"), std::string::npos) << message;
}

TEST(ImageLinker, RecoversAfterAFailedLink) {
  Expected<LinkedImage> bad = linkImage({{"not an object", "a"}});
  ASSERT_FALSE(bool(bad));
  llvm::consumeError(bad.takeError());
  std::string a = emit(trivialKernel("a"));
  Expected<LinkedImage> good = linkImage({{a, "a"}});
  EXPECT_TRUE(bool(good)) << toString(good.takeError());
}

TEST(ImageLinker, ImagesAreDeterministicAlsoFromThreads) {
  std::string a = emit(trivialKernel("a")), b = emit(trivialKernel("b"));
  std::string images[2];
  auto link = [&](int i) {
    Expected<LinkedImage> image = linkImage({{a, "a"}, {b, "b"}});
    images[i] = image ? image->bytes : toString(image.takeError());
  };
  std::thread first(link, 0), second(link, 1);
  first.join();
  second.join();
  EXPECT_EQ(images[0], images[1]);
  EXPECT_EQ(images[0].substr(1, 3), "ELF") << images[0];
}

TEST(ImageLinker, MemoryRoutinesAreLinkedInAndRight) {
  std::string object = emit(memoryKernel()), other = emit(memoryKernel());
  Expected<LinkedImage> linked = linkImage({{object, "memory"}});
  ASSERT_TRUE(bool(linked)) << toString(linked.takeError());
  LoadedImage image(linked->bytes);
  for (int n : {1, 5, 31, 32, 33, 64, 100, 255}) {
    std::vector<uint8_t> data(2000), expected;
    for (size_t i = 0; i < data.size(); ++i)
      data[i] = uint8_t(i * 37 + 11);
    expected = data;
    memset(expected.data(), 7, n);
    memcpy(expected.data() + 500, expected.data() + 1000, n);
    memmove(expected.data() + 1010, expected.data() + 1000, n);
    memmove(expected.data() + 1500, expected.data() + 1510, n);
    void *buffers[] = {data.data()};
    int32_t integers[TERN_INT_COUNT] = {n};
    TernArgs args{buffers, integers, nullptr};
    image.entry(linked->entries[0])(&args, 0, 1);
    EXPECT_EQ(data, expected) << n;
  }
}
