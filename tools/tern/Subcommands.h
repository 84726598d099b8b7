// One function per subcommand: it declares the options and what happens once they are parsed.
// Failures are InputError (exit status 1) or CLI::ValidationError (wrong usage, 2).
#ifndef TERN_TOOLS_TERN_SUBCOMMANDS_H
#define TERN_TOOLS_TERN_SUBCOMMANDS_H

#include <CLI/CLI.hpp>

namespace tern::cli {

void addRun(CLI::App &program);
void addChat(CLI::App &program);
void addLogits(CLI::App &program);
void addEmbed(CLI::App &program);
void addTokenize(CLI::App &program);
void addDetokenize(CLI::App &program);
void addBench(CLI::App &program);
void addEval(CLI::App &program);
void addInspect(CLI::App &program);
void addVerify(CLI::App &program);

} // namespace tern::cli

#endif
