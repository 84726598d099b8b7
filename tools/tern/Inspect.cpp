// tern inspect: what a .tern or .gguf file holds.
#include "tools/tern/Inspect.h"
#include "tools/tern/InputError.h"
#include "tools/tern/Model.h"
#include "tools/tern/Report.h"
#include "tools/tern/Stream.h"
#include "tools/tern/Subcommands.h"

#include <cstring>
#include <fstream>
#include <memory>

namespace tern::cli {

namespace {

struct InspectOptions {
  EngineOptions engine; ///< for the memory estimate; `model` is the file
  bool json = false;
};

bool isGguf(const std::string &path) {
  char magic[4] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof magic);
  return std::memcmp(magic, "GGUF", sizeof magic) == 0;
}

void inspect(const InspectOptions &options) {
  const std::string &path = options.engine.model;
  requireReadableFile(path);
  const bool gguf = isGguf(path);
  if (gguf && (options.engine.context || options.engine.threads))
    throw CLI::ValidationError(options.engine.context ? "--context" : "--threads",
                               "is about the memory of a compiled model, and " + path +
                                   " is a GGUF file");
  const Json description = gguf ? describeGguf(path) : describeArtifact(options.engine);
  if (options.json)
    // Names in a file may be any bytes; JSON is UTF-8.
    writeStandardOutput(description.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  else if (gguf)
    printGguf(description);
  else
    printArtifact(description);
}

} // namespace

void printField(const std::string &name, const std::string &text) {
  writeStandardOutput(formatText("%-18s%s\n", name.c_str(), text.c_str()));
}

void addInspect(CLI::App &program) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App *command =
      program.add_subcommand("inspect", "Describe a .tern file, or the header of a .gguf file");
  command->footer("Of an artifact: targets, code, weights, and the memory a session will need with "
                  "--context and\n"
                  "--threads. Nothing in the file is executed.");
  command->add_option("FILE", options->engine.model, "A .tern or .gguf file")
      ->required()
      ->type_name("")
      ->check(requireName());
  addContextOption(*command, options->engine.context);
  addThreadsOption(*command, options->engine.threads);
  command->add_flag("--json", options->json, "Print everything as JSON; sizes in bytes");
  command->callback([options] { inspect(*options); });
}

} // namespace tern::cli
