// tern bench --trace: one generation as a Chrome trace, which Perfetto and chrome://tracing open.
#ifndef TERN_TOOLS_TERN_TRACE_H
#define TERN_TOOLS_TERN_TRACE_H

#include "tools/tern/Model.h"
#include "tools/tern/OutputFile.h"

#include <vector>

namespace tern::cli {

/// Generates `tokens` tokens after the first one behind `prompt` in a session of its own, and
/// writes what each worker did when: a track with the prompt and each token, then a track for each
/// worker with the pieces of calls that it ran, named by kernel and weight.
void writeTrace(OutputFile &file, const Model &model, const EngineOptions &engine,
                const std::vector<int32_t> &prompt, uint32_t tokens);

} // namespace tern::cli

#endif
