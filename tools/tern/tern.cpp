// tern: runs, measures and inspects compiled models. Each subcommand is in a file of its own; this
// one maps outcomes to exit statuses: 0 done, 1 the input or the machine is at fault (one line on
// stderr), 2 wrong usage.
#include "tools/tern/InputError.h"
#include "tools/tern/ProcessStart.h"
#include "tools/tern/Stream.h"
#include "tools/tern/Subcommands.h"

#include <cctype>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <iostream>
#include <new>
#include <unistd.h>

namespace {

constexpr int exitInputError = 1;
constexpr int exitWrongUsage = 2;

constexpr const char *description =
    "Runs models that ternc compiled.\n\n"
    "A .tern file contains machine code for this CPU: running one is running a program. Its\n"
    "structure and digests are checked against damage, not against malice. Run only files you\n"
    "trust, or compile them yourself: ternc MODEL.gguf -o MODEL.tern\n\n"
    "Results go to stdout; progress and statistics to stderr. Exit status: 0 done, 1 the input or\n"
    "the machine is at fault, 2 wrong usage.";

/// CLI11's messages can span lines, and names of files hold any byte; an error is one line that
/// does nothing to a terminal.
void printError(std::string message) {
  for (char &c : message)
    if (std::iscntrl(static_cast<unsigned char>(c)))
      c = c == '\n' || c == '\r' ? ' ' : '?';
  std::fprintf(stderr, "tern: %s\n", message.c_str());
}

/// Where standard streams are closed, the next file to be opened would take their place, and be
/// read, or written into, as if it were one. Reading this input and writing this output fail;
/// messages go nowhere.
void occupyClosedStreams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(stream, F_GETFD) < 0)
      (void)open("/dev/null", stream == STDOUT_FILENO ? O_RDONLY : O_WRONLY);
}

int runProgram(int argc, char **argv) {
  CLI::App program(description, "tern");
  program.set_version_flag("--version", "tern " TERN_PROGRAM_VERSION);
  program.require_subcommand(1);
  program.get_formatter()->column_width(28);
  using namespace tern::cli;
  addRun(program);
  addChat(program);
  addLogits(program);
  addEmbed(program);
  addTokenize(program);
  addDetokenize(program);
  addBench(program);
  addEval(program);
  addInspect(program);
  addVerify(program);
  try {
    program.parse(argc, argv);
    finishStandardOutput();
  } catch (const CLI::Success &request) { // --help, --version
    const int status = program.exit(request);
    if (std::cout.flush())
      return status;
    printError("standard output: cannot be written");
    return exitInputError;
  } catch (const CLI::ParseError &error) {
    printError(std::string(error.what()) + "; see tern --help, tern SUBCOMMAND --help");
    return exitWrongUsage;
  } catch (const InputError &error) {
    printError(error.what());
    return exitInputError;
  }
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  tern::cli::markProcessStart();
  occupyClosedStreams();
  try {
    return runProgram(argc, argv);
  } catch (const std::bad_alloc &) {
    std::fputs("tern: out of memory\n", stderr);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "tern: internal error: %s\n", error.what());
  }
  return exitInputError;
}
