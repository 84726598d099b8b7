// tern verify: every digest and every number of an artifact, without executing anything.
#include "tools/tern/Model.h"
#include "tools/tern/Stream.h"
#include "tools/tern/Subcommands.h"

#include <memory>

namespace tern::cli {

namespace {

void verify(const std::string &path) {
  requireReadableFile(path);
  const RuntimeHandle runtime = createRuntime();
  tern_error error = TERN_ERROR_INIT;
  check(tern_verify_file(runtime.get(), path.c_str(), &error), error, path);
  writeStandardOutput(path + ": intact\n");
}

} // namespace

void addVerify(CLI::App &program) {
  auto model = std::make_shared<std::string>();
  CLI::App *command = program.add_subcommand("verify", "Check a .tern file against damage");
  command->footer(
      "Checked: the structure, and the digests of the tables, of every target's code and of all\n"
      "weights. Nothing in the file is executed. This is no signature: whoever made the file made\n"
      "its digests too.");
  addModelArgument(*command, *model);
  command->callback([model] { verify(*model); });
}

} // namespace tern::cli
