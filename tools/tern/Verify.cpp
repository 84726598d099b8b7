// tern verify: every digest and every number of an artifact, without executing anything.
#include "tools/tern/Model.h"
#include "tools/tern/Stream.h"
#include "tools/tern/Subcommands.h"

#include <memory>

namespace tern::cli {

namespace {

struct VerifyOptions {
  std::string model, requireKey;
};

void verify(const VerifyOptions &options) {
  const FileDescriptor file(options.model);
  const RuntimeHandle runtime = createRuntime();
  tern_error error = TERN_ERROR_INIT;
  if (options.requireKey.empty()) {
    check(tern_verify_fd(runtime.get(), file.get(), 0, file.size(), &error), error, options.model);
    return writeStandardOutput(options.model + ": intact\n");
  }
  requireSigned(runtime.get(), file, options.model, options.requireKey);
  writeStandardOutput(options.model + ": intact, signed by " + options.requireKey + "\n");
}

} // namespace

void addVerify(CLI::App &program) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App *command = program.add_subcommand("verify", "Check a .tern file against damage");
  command->footer(
      "Checked: the structure, and the digests of the tables, of every target's code and of all\n"
      "weights. Nothing in the file is executed. Digests are no signature: whoever made the file\n"
      "made them too. With --require-key the file must also be signed.");
  addModelArgument(*command, options->model);
  addRequireKeyOption(*command, options->requireKey);
  command->callback([options] { verify(*options); });
}

} // namespace tern::cli
