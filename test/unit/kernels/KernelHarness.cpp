#include "test/unit/kernels/KernelHarness.h"

#include "compiler/CodeGen/ImageLinker.h"
#include "compiler/CodeGen/ObjectEmitter.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Kernels/KernelGenerator.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "targets/TargetInfo.h"
#include "llvm/TargetParser/Host.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <sys/mman.h>
#include <unistd.h>

namespace tern {

/// The target as this CPU can run it: itself, or for AVX-VNNI the same instructions in the encoding
/// of AVX-512.
static std::optional<TargetInfo> nativeForm(TargetInfo target) {
  static const llvm::StringMap<bool> cpu = llvm::sys::getHostCPUFeatures();
  if (llvm::is_contained(target.features, "avxvnni") && !cpu.lookup("avxvnni")) {
    llvm::erase(target.features, "avxvnni");
    llvm::append_range(target.features, std::vector<std::string>{"avx512vl", "avx512vnni"});
  }
  if (llvm::all_of(target.features, [](const std::string &f) { return cpu.lookup(f); }))
    return target;
  return std::nullopt;
}

/// The command that runs this target's kernels elsewhere, or "".
static std::string runnerOf(const TargetInfo &target) {
  const char *command = target.family == "arm" ? std::getenv("TERN_AARCH64_RUNNER") : nullptr;
  return command ? command : "";
}

GuardedBuffer::GuardedBuffer(size_t size) : bytes(size) {
  size_t page = size_t(sysconf(_SC_PAGESIZE));
  size_t payload = (size + 63) / 64 * 64;
  size_t pages = (payload + page - 1) / page * page;
  mapped = pages + page;
  mapping = static_cast<uint8_t *>(
      mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (mapping == MAP_FAILED || mprotect(mapping + pages, page, PROT_NONE) != 0)
    abort();
  memset(mapping, untouched, pages);
  start = mapping + pages - payload;
}

GuardedBuffer::GuardedBuffer(GuardedBuffer &&other) noexcept
    : mapping(other.mapping), start(other.start), mapped(other.mapped), bytes(other.bytes) {
  other.mapping = nullptr;
}

GuardedBuffer &GuardedBuffer::operator=(GuardedBuffer &&other) noexcept {
  std::swap(mapping, other.mapping);
  std::swap(start, other.start);
  std::swap(mapped, other.mapped);
  std::swap(bytes, other.bytes);
  return *this;
}

GuardedBuffer::~GuardedBuffer() {
  if (mapping)
    munmap(mapping, mapped);
}

void TestKernel::compile(const std::string &text, const std::string &targetName) {
  mlir::MLIRContext context;
  context.loadDialect<TernDialect, mlir::arith::ArithDialect, mlir::math::MathDialect,
                      mlir::func::FuncDialect>();
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
  ASSERT_TRUE(bool(module)) << text;
  auto named = lookupTarget(targetName);
  ASSERT_TRUE(bool(named)) << llvm::toString(named.takeError());
  std::optional<TargetInfo> native = nativeForm(*named);
  const TargetInfo &target = native ? *native : *named;
  fusedMultiplyAdd = target.hasFusedMultiplyAdd;
  KernelOp kernel = *module->getOps<KernelOp>().begin();
  auto generated = generateKernel(kernel, target);
  ASSERT_TRUE(bool(generated)) << llvm::toString(generated.takeError()) << "\n" << text;
  auto object = emitKernelCode(*generated, target);
  ASSERT_TRUE(bool(object)) << llvm::toString(object.takeError()) << "\n" << text;
  signature = generated->signature;
  auto linked = linkImage({{*object, signature.name}});
  ASSERT_TRUE(bool(linked)) << llvm::toString(linked.takeError());
  if (native) {
    image = std::make_unique<LoadedImage>(linked->bytes);
    function = image->entry(linked->entries[0]);
  } else {
    remote = std::make_unique<RemoteKernel>(runnerOf(target), linked->bytes, linked->entries[0]);
  }
  ready = true;
}

std::vector<GuardedBuffer> TestKernel::makeBuffers(int tokens, int wanted) const {
  std::vector<GuardedBuffer> buffers;
  for (const KernelArgument &argument : signature.arguments)
    buffers.emplace_back(argument.component.bytes.at(tokens, wanted));
  return buffers;
}

void TestKernel::run(std::vector<GuardedBuffer> &buffers, int tokens, int wanted, int chunk) const {
  int32_t integers[TERN_INT_COUNT] = {};
  integers[TERN_INT_TOKENS] = tokens;
  integers[TERN_INT_WANTED] = wanted;
  integers[TERN_INT_BLOCKS_PER_SLOT] = blocksPerSlot;
  runPhase(buffers, integers, int(signature.tasks.at(tokens, wanted)), chunk);
}

void TestKernel::runSplit(std::vector<GuardedBuffer> &buffers, int tokens, int blocks,
                          int chunk) const {
  int tasks = int(signature.tasks.at(tokens, 0));
  int32_t integers[TERN_INT_COUNT] = {};
  integers[TERN_INT_TOKENS] = tokens;
  integers[TERN_INT_BLOCKS_PER_SLOT] = blocksPerSlot;
  integers[TERN_INT_TASK_BLOCKS] = blocks;
  buffers.emplace_back(size_t(tasks) * blocks * signature.partialBytes);
  for (auto [phase, phaseTasks] :
       {std::pair(TERN_PHASE_BLOCKS, tasks * blocks), std::pair(TERN_PHASE_MERGE, tasks)}) {
    integers[TERN_INT_PHASE] = phase;
    runPhase(buffers, integers, phaseTasks, chunk);
  }
  buffers.pop_back();
}

void TestKernel::runPhase(std::vector<GuardedBuffer> &buffers,
                          const int32_t (&integers)[TERN_INT_COUNT], int tasks, int chunk) const {
  int step = chunk ? chunk : std::max(tasks, 1);
  if (remote) {
    std::vector<std::span<uint8_t>> spans;
    for (GuardedBuffer &buffer : buffers)
      spans.emplace_back(buffer.data(), buffer.size());
    return remote->run(spans, integers, signature.scratchBytes, tasks, step);
  }
  std::vector<void *> pointers;
  for (GuardedBuffer &buffer : buffers)
    pointers.push_back(buffer.data());
  GuardedBuffer scratch(signature.scratchBytes);
  void *shared = integers[TERN_INT_PHASE] ? pointers.back() : nullptr;
  TernArgs args{pointers.data(), integers, signature.scratchBytes ? scratch.data() : shared};
  for (int first = 0; first < tasks; first += step)
    function(&args, first, std::min(tasks, first + step));
}

std::vector<std::string> runnableTargets() {
  std::vector<std::string> names;
  for (const std::string &name : listTargets())
    if (auto target = lookupTarget(name); nativeForm(*target) || !runnerOf(*target).empty())
      names.push_back(name);
  return names;
}

} // namespace tern
