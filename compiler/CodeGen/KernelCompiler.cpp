#include "compiler/CodeGen/KernelCompiler.h"
#include "compiler/CodeGen/CompilerIdentity.h"
#include "compiler/CodeGen/KernelWorker.h"
#include "compiler/CodeGen/WorkerProcess.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "mlir/IR/AsmState.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

using namespace llvm;

namespace tern {
namespace {

constexpr std::pair<EmitKind, StringLiteral> emitKinds[] = {{EmitKind::Object, "obj"},
                                                            {EmitKind::Assembly, "asm"},
                                                            {EmitKind::LLVM, "llvm"},
                                                            {EmitKind::Stmt, "stmt"}};

/// The kernel as a module under the name `name`, without locations.
std::string printKernel(KernelOp kernel, StringRef name) {
  mlir::OwningOpRef<KernelOp> copy(kernel.clone());
  copy->setSymName(name);
  std::string text;
  raw_string_ostream stream(text);
  copy->print(stream, mlir::OpPrintingFlags().useLocalScope());
  stream << "\n";
  return text;
}

std::string describeTarget(const TargetInfo &target) {
  return join(ArrayRef{target.name, target.triple, target.cpu, join(target.features, ","),
                       join(target.settings, ","), target.halideTarget, target.layout.id()},
              "\n");
}

/// One distinct kernel.
struct Job {
  std::string name; ///< of the first kernel with this content
  std::string key, text;
  CompiledKernel result;
  std::string error;
};

class Compilation {
public:
  Compilation(const TargetInfo &target, const KernelCompileOptions &options)
      : target(target), options(options), cache(options.cacheDirectory, options.cacheLimitBytes) {}

  Expected<std::vector<CompiledKernel>> run(ArrayRef<KernelOp> kernels);

private:
  Error identifyCompiler();
  size_t addJob(KernelOp kernel);
  void runJobs();
  void runJob(Job &job);
  Error compileInWorker(Job &job);

  const TargetInfo &target;
  const KernelCompileOptions &options;
  KernelCache cache;
  std::string executable, compilerDigest;
  std::vector<Job> jobs;
  StringMap<size_t> jobOfKey;
  std::atomic<size_t> nextJob = 0;
  std::atomic<bool> failed = false;
  std::mutex mutex; ///< guards callbacks and what follows
  size_t done = 0;
  bool warnedOfCache = false; ///< what keeps one kernel out keeps out all
};

Error Compilation::identifyCompiler() {
  executable = options.workerExecutable;
  if (executable.empty()) {
    static const int anchor = 0;
    executable = sys::fs::getMainExecutable(nullptr, const_cast<int *>(&anchor));
  }
  return compilerIdentity(executable).moveInto(compilerDigest);
}

size_t Compilation::addJob(KernelOp kernel) {
  std::string key = hexDigest({printKernel(kernel, "kernel"), describeTarget(target),
                               emitKindName(options.emit), compilerDigest});
  auto [entry, isNew] = jobOfKey.try_emplace(key, jobs.size());
  if (isNew) {
    Job &job = jobs.emplace_back();
    job.name = kernel.getSymName().str();
    job.key = key;
    job.result.entrySymbol = "k_" + hexDigest({printKernel(kernel, "kernel")}).substr(0, 16);
    job.text = printKernel(kernel, job.result.entrySymbol);
  }
  return entry->second;
}

Error Compilation::compileInWorker(Job &job) {
  std::string arguments[] = {kernelWorkerFlag.str(), target.name, emitKindName(options.emit).str()};
  Expected<WorkerResult> worker = runWorkerProcess(executable, arguments, job.text);
  if (!worker)
    return worker.takeError();
  StringRef errors = StringRef(worker->errors).trim();
  if (worker->signal)
    return createStringError("the code generator crashed (" + Twine(strsignal(worker->signal)) +
                             ")" + (errors.empty() ? "" : ":\n") + errors);
  if (worker->exitCode != 0)
    return createStringError(errors.empty() ? "the code generator failed without a reason"
                                            : errors);
  if (worker->output.empty())
    return createStringError("the code generator wrote nothing");
  job.result.code = std::move(worker->output);
  return Error::success();
}

void Compilation::runJob(Job &job) {
  std::string warning;
  if (std::optional<std::string> code = cache.load(job.key)) {
    job.result.code = std::move(*code);
    job.result.fromCache = true;
  } else {
    auto start = std::chrono::steady_clock::now();
    if (Error error = compileInWorker(job)) {
      job.error = toString(std::move(error));
      failed = true;
      return;
    }
    job.result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (Error error = cache.store(job.key, job.result.code))
      warning = toString(std::move(error));
  }
  std::lock_guard lock(mutex);
  ++done;
  if (!warning.empty() && options.warn && !std::exchange(warnedOfCache, true))
    options.warn(warning);
  if (options.progress)
    options.progress(job.name, done, jobs.size());
}

// After a failure no new worker starts; those that run come to their end.
void Compilation::runJobs() {
  auto work = [this] {
    for (size_t i; !failed && (i = nextJob++) < jobs.size();)
      runJob(jobs[i]);
  };
  std::vector<std::thread> threads;
  size_t count = std::min<size_t>(std::max(options.jobs, 1u), jobs.size());
  for (size_t i = 1; i < count; ++i)
    threads.emplace_back(work);
  work();
  for (std::thread &thread : threads)
    thread.join();
}

Expected<std::vector<CompiledKernel>> Compilation::run(ArrayRef<KernelOp> kernels) {
  if (Error error = identifyCompiler())
    return error;
  std::vector<size_t> jobOfKernel;
  for (KernelOp kernel : kernels)
    jobOfKernel.push_back(addJob(kernel));
  runJobs();
  for (const Job &job : jobs)
    if (!job.error.empty())
      return createStringError("kernel '" + job.name + "': " + job.error);
  if (any_of(jobs, [](const Job &job) { return !job.result.fromCache; }))
    cache.trim();
  std::vector<CompiledKernel> results;
  for (size_t job : jobOfKernel)
    results.push_back(jobs[job].result);
  return results;
}

} // namespace

StringRef emitKindName(EmitKind kind) {
  for (const auto &[candidate, name] : emitKinds)
    if (candidate == kind)
      return name;
  llvm_unreachable("EmitKind without a name");
}

std::optional<EmitKind> parseEmitKind(StringRef name) {
  for (const auto &[kind, candidate] : emitKinds)
    if (candidate == name)
      return kind;
  return std::nullopt;
}

Expected<std::vector<CompiledKernel>> compileKernels(ArrayRef<KernelOp> kernels,
                                                     const TargetInfo &target,
                                                     const KernelCompileOptions &options) {
  return Compilation(target, options).run(kernels);
}

} // namespace tern
