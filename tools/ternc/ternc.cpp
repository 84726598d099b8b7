// ternc: the command line of the compiler. Checks options, then hands over to compiler/Driver.
#include "compiler/Artifact/OutputFile.h"
#include "compiler/CodeGen/KernelWorker.h"
#include "compiler/Driver/CompileOptions.h"
#include "compiler/Driver/Printable.h"
#include "compiler/Driver/Version.h"
#include "compiler/Transforms/QuantizationPolicy.h"
#include "runtime/core/KernelABI.h"
#include "targets/TargetInfo.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/Threading.h"
#include "llvm/Support/raw_ostream.h"
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

namespace cl = llvm::cl;
using namespace tern;

namespace {

constexpr int wrongUsage = 2;
constexpr unsigned maxJobs = 1024;

cl::OptionCategory category("ternc options");

cl::opt<std::string> input(cl::Positional, cl::desc("MODEL"), cl::value_desc("model.gguf"),
                           cl::cat(category));
cl::opt<std::string> output(
    "o", cl::desc("Output file; text kinds and obj go to standard output without it, or with '-'"),
    cl::value_desc("OUT.tern"), cl::cat(category));
cl::opt<std::string>
    target("target", cl::init("host"), cl::value_desc("NAME[,NAME...]"),
           cl::desc("Target, or several for one artifact with a variant each (default: host)"),
           cl::cat(category));
cl::opt<std::string> quantize(
    "quantize", cl::init("keep"), cl::value_desc("POLICY"),
    cl::desc(
        "keep (default) | f32 | f16 | bf16 | int8 | int4[:gN[:min]] | ternary | ternary-b3 | "
        "quaternary | a GGUF type: q8_0 q4_0 q4_1 q5_0 q5_1 q2_0 q2_k q3_k q4_k q5_k q6_k q8_k "
        "iq4_nl mxfp4 tq1_0 tq2_0 | budget:SIZE | bits:B (an encoding for each weight, so that all "
        "fit); PATTERN=POLICY pairs, comma-separated, override by weight name"),
    cl::cat(category));
cl::opt<std::string>
    imatrix("imatrix", cl::value_desc("FILE"),
            cl::desc("Importance matrix of llama-imatrix: weighs the errors of all integer "
                     "codes but ternary and quaternary"),
            cl::cat(category));
cl::opt<unsigned> i2sBlock("i2s-block", cl::init(128), cl::value_desc("128|64"),
                           cl::desc("Block of I2_S tensors, which files do not tell: 128 (default) "
                                    "as bitnet.cpp writes them on x86, 64 on Arm"),
                           cl::cat(category));
cl::opt<std::string>
    kv("kv", cl::init("f16"), cl::value_desc("f16|f32|q8"),
       cl::desc("Numbers in the key / value cache; q8: 8-bit codes, half the memory of "
                "f16 (default: f16)"),
       cl::cat(category));
cl::opt<int64_t> maxBatch("max-batch", cl::init(64), cl::value_desc("T"),
                          cl::desc("Most rows of one forward call, 1 to 512 (default: 64)"),
                          cl::cat(category));
cl::opt<std::string> emit(
    "emit", cl::init("tern"), cl::value_desc("KIND"),
    cl::desc(
        "tern (default) | tern-ir | quantized-ir | fused-ir | plan-ir | stmt | llvm | "
        "asm | obj (the linked kernels) | static-library (NAME.tern, and libNAME.a and NAME.h to "
        "link its kernels into an application; -o NAME)"),
    cl::cat(category));
cl::opt<std::string> calibration("calibration", cl::value_desc("FILE"),
                                 cl::desc("Text, UTF-8: run the model over it on this machine to "
                                          "gather what an importance matrix says"),
                                 cl::cat(category));
cl::list<std::string>
    dimensions("dim", cl::value_desc("NAME=VALUE"),
               cl::desc("Value of a symbolic dimension; models in GGUF files have none"),
               cl::cat(category));
cl::opt<unsigned>
    jobs("j", cl::Prefix, cl::init(0), cl::value_desc("N"),
         cl::desc("Worker processes and packing threads, 1 to 1024 (default: one per CPU)"),
         cl::cat(category));
cl::opt<std::string> progressMode("progress", cl::init("auto"), cl::value_desc("auto|off"),
                                  cl::desc("Progress on standard error; auto: if it is a terminal"),
                                  cl::cat(category));
cl::opt<bool> timing("timing", cl::desc("Print the seconds of each stage on standard error"),
                     cl::cat(category));
cl::opt<bool> json("json", cl::desc("Print a report on standard output"), cl::cat(category));
cl::opt<bool> listTargetNames("list-targets", cl::desc("Print the target names, one a line"),
                              cl::cat(category));

int usageError(const llvm::Twine &message) {
  llvm::errs() << "ternc: " << printable(message.str()) << "; see ternc --help\n";
  return wrongUsage;
}

/// Standard output that cannot be written is an error of the machine.
int finishStandardOutput() {
  llvm::Error error = writeStandardOutput("");
  if (!error)
    return 0;
  llvm::errs() << "ternc: " << llvm::toString(std::move(error)) << '\n';
  return 1;
}

/// --help and --version end the program within LLVM, which would report the output's failure in
/// words of its own, from the stream's destructor. What is registered here runs before that.
void finishStandardOutputAtExit() {
  (void)llvm::outs();
  std::atexit([] {
    if (int status = finishStandardOutput())
      _exit(status);
  });
}

/// The options and arguments given besides --list-targets.
std::string namesBesideTheList() {
  std::vector<std::string> names;
  for (const auto &[name, option] : cl::getRegisteredOptions())
    if (option->getNumOccurrences() > 0 && option != &listTargetNames)
      names.push_back((name.size() == 1 ? "-" : "--") + name.str());
  llvm::sort(names); // the table of options has no order
  if (input.getNumOccurrences())
    names.push_back("'" + input + "'");
  return llvm::join(names, ", ");
}

/// Where standard streams are closed, the next file to be opened would take their place. Reading
/// this input and writing this output fail; messages go nowhere.
void occupyClosedStreams() {
  const std::pair<int, int> streams[] = {
      {STDIN_FILENO, O_WRONLY}, {STDOUT_FILENO, O_RDONLY}, {STDERR_FILENO, O_WRONLY}};
  for (auto [stream, mode] : streams)
    if (fcntl(stream, F_GETFD) < 0)
      (void)open("/dev/null", mode);
}

/// Why no target of today has a kind that other targets will; empty if it is not one of those.
std::string kindOfOtherTargets(llvm::StringRef kind) {
  if (kind == "wat")
    return "--emit=wat shows WebAssembly, and the code for '" + target +
           "' is an ELF image; use asm "
           "or obj";
  if (kind == "ptx")
    return "--emit=ptx shows code for CUDA devices, and the code for '" + target +
           "' is for a CPU; use asm or obj";
  return {};
}

/// What is wrong with the --dim options; empty if there are none.
std::string dimensionsProblem() {
  for (llvm::StringRef text : dimensions) {
    auto [name, value] = text.split('=');
    uint64_t size;
    if (name.empty() || value.getAsInteger(10, size) || size == 0)
      return "--dim '" + text.str() + "' is not NAME=VALUE with a value of at least 1";
    return "--dim sets a symbolic dimension of a graph, and '" + input + "' has none named '" +
           name.str() +
           "': models in GGUF files have no symbolic dimensions but those of a call, which "
           "--max-batch bounds";
  }
  return {};
}

/// Why --calibration has no use with the other options; empty if it has.
std::string calibrationProblem(OutputKind kind) {
  if (calibration.empty())
    return "--calibration needs the name of a text file";
  if (imatrix.getNumOccurrences())
    return "--calibration gathers what --imatrix reads from a file; give one of the two";
  if (!writesArtifact(kind))
    return "--calibration chooses scales when weights are packed; it does not go with --emit=" +
           emit;
  if (quantize == "keep")
    return "--calibration weighs the errors of weights that are encoded anew; add "
           "--quantize=int4 or another policy";
  return {};
}

std::optional<OutputKind> parseKind(llvm::StringRef name) {
  return llvm::StringSwitch<std::optional<OutputKind>>(name)
      .Case("tern", OutputKind::Tern)
      .Case("tern-ir", OutputKind::TernIR)
      .Case("quantized-ir", OutputKind::QuantizedIR)
      .Case("fused-ir", OutputKind::FusedIR)
      .Case("plan-ir", OutputKind::PlanIR)
      .Case("stmt", OutputKind::Stmt)
      .Case("llvm", OutputKind::LLVM)
      .Case("asm", OutputKind::Assembly)
      .Case("obj", OutputKind::Object)
      .Case("static-library", OutputKind::StaticLibrary)
      .Default(std::nullopt);
}

/// Options of LLVM's that happen to be registered: code is generated in other processes, which do
/// not have them. Empty if none was given.
std::string optionOfLibraries() {
  for (const auto &[name, option] : cl::getRegisteredOptions())
    if (option->getNumOccurrences() > 0 && !llvm::is_contained(option->Categories, &category))
      return name.str();
  return {};
}

/// An option given more often than once, of which all but the last would count for nothing. Empty
/// if there is none.
std::string optionGivenTwice() {
  for (const auto &[name, option] : cl::getRegisteredOptions())
    if (option->getNumOccurrences() > 1 && name != dimensions.ArgStr)
      return name.str();
  return {};
}

/// Stages before an option's show nothing of it. That is no error, so that one command line can
/// look at all of them; a line on standard error says so.
void noteOptionsWithoutEffect(OutputKind kind) {
  const bool isBudget =
      llvm::StringRef(quantize).contains("budget:") || llvm::StringRef(quantize).contains("bits:");
  const std::pair<bool, const char *> unused[] = {
      {quantize.getNumOccurrences() && kind == OutputKind::TernIR, "--quantize"},
      {target.getNumOccurrences() &&
           (kind == OutputKind::TernIR || (kind == OutputKind::QuantizedIR && !isBudget)),
       "--target"},
      {maxBatch.getNumOccurrences() && kind != OutputKind::PlanIR && !writesArtifact(kind),
       "--max-batch"},
      {kv.getNumOccurrences() && llvm::StringRef(input).ends_with(".mlir"), "--kv"},
  };
  std::string names;
  for (auto [isUnused, name] : unused)
    if (isUnused)
      names += (names.empty() ? "" : ", ") + std::string(name);
  if (!names.empty())
    llvm::errs() << "ternc: without effect on --emit=" << emit << ": " << names << '\n';
}

/// Fills `options` from the command line; a status other than 0 ends the program.
int readOptions(CompileOptions &options) {
  if (input.empty())
    return usageError("no model given");
  options.input = input;
  if (std::string problem = dimensionsProblem(); !problem.empty())
    return usageError(problem);
  if (std::string problem = kindOfOtherTargets(emit); !problem.empty())
    return usageError(problem);
  std::optional<OutputKind> kind = parseKind(emit);
  if (!kind)
    return usageError("unknown --emit kind '" + llvm::Twine(emit) +
                      "'; known are tern, tern-ir, quantized-ir, fused-ir, plan-ir, stmt, llvm, "
                      "asm, obj and static-library");
  options.kind = *kind;
  if (output.empty() && writesArtifact(*kind))
    return usageError("no output given, add -o OUT.tern");
  if (output.empty() && output.getNumOccurrences())
    return usageError("-o needs the name of a file");
  options.output = output.empty() ? "-" : output.getValue();
  if (*kind != OutputKind::StaticLibrary && isStandardOutput(options.output))
    options.output = "-"; // /dev/stdout; a new file would take the place of the shell's
  if (*kind == OutputKind::StaticLibrary &&
      (options.output.ends_with("/") || options.output == ".tern" ||
       options.output.ends_with("/.tern")))
    return usageError("-o '" + options.output + "' has no name for a library");
  if (writesArtifact(*kind) && options.output == "-")
    return usageError("an artifact cannot go to standard output, name a file with -o");
  bool binary = *kind == OutputKind::Object;
  if (binary && options.output == "-" && llvm::sys::Process::StandardOutIsDisplayed())
    return usageError("an ELF image does not go to a terminal, name a file with -o");
  llvm::SmallVector<llvm::StringRef> names;
  llvm::StringRef(target).split(names, ',');
  std::vector<std::string> resolvedNames;
  for (llvm::StringRef name : names) {
    llvm::Expected<TargetInfo> known = lookupTarget(name);
    if (!known && name != "host") // that this CPU is too old for any target is no wrong usage
      return usageError(llvm::toString(known.takeError()));
    std::string resolved = known ? known->name : name.str();
    llvm::consumeError(known.takeError());
    if (llvm::is_contained(resolvedNames, resolved))
      return usageError("target " + resolved + " is named twice");
    resolvedNames.push_back(resolved);
    options.targets.push_back(name.str());
  }
  if (options.targets.size() > 1 && *kind != OutputKind::Tern)
    return usageError("--emit=" + llvm::Twine(emit) + " is for one target at a time");
  if (json && !writesArtifact(*kind))
    return usageError("--json reports on an artifact; it does not go with --emit=" +
                      llvm::Twine(emit));
  if (timing && !writesArtifact(*kind))
    return usageError("--timing reports on an artifact; it does not go with --emit=" +
                      llvm::Twine(emit));
  std::optional<KvElement> kvElement = parseKvElement(kv);
  if (!kvElement)
    return usageError("unknown --kv type '" + llvm::Twine(kv) + "', known are f16, f32 and q8");
  options.kv = *kvElement;
  if (i2sBlock != 128 && i2sBlock != 64)
    return usageError("--i2s-block must be 128 or 64");
  options.i2sBlock = i2sBlock;
  if (maxBatch < 1 || maxBatch > TERN_MAX_ROWS)
    return usageError("--max-batch must be 1 to " + llvm::Twine(TERN_MAX_ROWS));
  options.maxBatch = maxBatch;
  if (progressMode != "auto" && progressMode != "off")
    return usageError("--progress must be auto or off");
  options.showProgress = progressMode == "auto" && llvm::sys::Process::StandardErrIsDisplayed();
  if (auto policy = QuantizationPolicy::parse(quantize); !policy)
    return usageError(llvm::toString(policy.takeError()));
  options.quantize = quantize;
  if (imatrix.empty() && imatrix.getNumOccurrences())
    return usageError("--imatrix needs the name of a file");
  if (!imatrix.empty() && !writesArtifact(*kind))
    return usageError("--imatrix chooses scales when weights are packed; it does not go with "
                      "--emit=" +
                      llvm::Twine(emit));
  if (!imatrix.empty() && quantize == "keep")
    return usageError("--imatrix weighs the errors of weights that are encoded anew; add "
                      "--quantize=int4 or another policy");
  options.imatrix = imatrix;
  if (calibration.getNumOccurrences()) {
    if (std::string problem = calibrationProblem(*kind); !problem.empty())
      return usageError(problem);
    options.calibration = calibration;
  }
  if (jobs.getNumOccurrences() && (jobs < 1 || jobs > maxJobs))
    return usageError("-j must be 1 to " + llvm::Twine(maxJobs));
  options.jobs = jobs ? jobs : std::max(1u, llvm::hardware_concurrency().compute_thread_count());
  if (std::optional<std::string> limit = llvm::sys::Process::GetEnv("TERN_CACHE_LIMIT")) {
    std::optional<uint64_t> bytes = parseSize(*limit);
    if (!bytes)
      return usageError("TERN_CACHE_LIMIT is '" + *limit +
                        "', no size; write 256M or 1.5G (K, M, G: powers of 1000), or "
                        "TERN_CACHE_DIR= for no cache");
    options.kernelCacheBytes = *bytes;
  }
  options.timing = timing;
  options.json = json;
  noteOptionsWithoutEffect(*kind);
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  occupyClosedStreams();
  if (isKernelWorkerCommand(argc, argv))
    return runKernelWorker(argc, argv);
#ifdef SIGXFSZ
  // LLVM sets its handlers with the first file, one for this signal too: let it do so before.
  llvm::sys::RemoveFileOnSignal("");
  llvm::sys::DontRemoveFileOnSignal("");
  std::signal(SIGXFSZ, SIG_IGN); // a file-size limit is an error of the write that meets it
#endif
  finishStandardOutputAtExit();
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter([](llvm::raw_ostream &out) { out << TERN_PRODUCER << '\n'; });
  if (!cl::ParseCommandLineOptions(
          argc, argv,
          "Compiles a language model for one or several CPUs into a .tern artifact.\n"
          "\n  ternc model.gguf -o model.tern\n  tern run model.tern -p \"Once upon a time\"\n",
          &llvm::errs()))
    return wrongUsage;
  if (std::string name = optionOfLibraries(); !name.empty())
    return usageError("unknown option '" + name + "'");
  if (std::string name = optionGivenTwice(); !name.empty())
    return usageError((name.size() == 1 ? "-" : "--") + name + " is given more than once");
  if (listTargetNames) {
    if (std::string names = namesBesideTheList(); !names.empty())
      return usageError("--list-targets goes alone, without " + names);
    for (const std::string &name : listTargets())
      llvm::outs() << name << '\n';
    return finishStandardOutput();
  }
  CompileOptions options;
  if (int status = readOptions(options))
    return status;
  return compile(options);
}
