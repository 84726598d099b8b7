// tern run with several prompts: decoded together, one JSON line each.
#ifndef TERN_TOOLS_TERN_RUNSEVERAL_H
#define TERN_TOOLS_TERN_RUNSEVERAL_H

#include "tools/tern/Model.h"

#include <string>
#include <vector>

namespace tern::cli {

/// The lines of a file; throws InputError if there are none, or one is empty.
std::vector<std::string> readPrompts(const std::string &path);

/// Continues each prompt as if it were alone, in as many slots as may want logits in one call, and
/// prints the results in the order of the prompts.
void runSeveral(const Model &model, const EngineOptions &engine, const SamplingOptions &sampling,
                const std::vector<std::vector<int32_t>> &prompts);

} // namespace tern::cli

#endif
