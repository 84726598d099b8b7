// One generation from a prompt to its finish, with the times of its steps. Used by run, chat and
// bench.
#ifndef TERN_TOOLS_TERN_GENERATE_H
#define TERN_TOOLS_TERN_GENERATE_H

#include "tools/tern/Model.h"
#include "tools/tern/ProcessStart.h"
#include "tools/tern/Report.h"

#include <functional>

namespace tern::cli {

struct GenerationRecord {
  size_t promptTokens = 0;
  size_t reusedTokens = 0; ///< of the prompt, those that the slot held already
  size_t tokens = 0;       ///< generated; an end token counts
  double promptMs = 0;     ///< evaluating the prompt and choosing the first token
  Samples stepMs;          ///< each further token
  double stepMsSum = 0;
  Clock::time_point firstToken; ///< when it was known
  tern_finish finish = TERN_FINISH_NONE;
};

struct GenerationHooks {
  /// Called with the handle before the first step, for tern_cancel; and with null at the end.
  std::function<void(tern_generation *)> onHandle;
  /// Called with each step's result; text may be empty.
  std::function<void(const tern_piece &)> onPiece;
};

/// Generates in slot 0. What the slot already holds of the prompt is not computed again. With
/// `ignoreEnd` end tokens do not stop it.
GenerationRecord generate(const Model &model, tern_session *session,
                          const SamplingOptions &sampling, bool ignoreEnd,
                          const std::vector<int32_t> &prompt, const GenerationHooks &hooks);

/// The word for a finish in JSON output.
const char *finishName(tern_finish finish);

/// Throws unless a prompt of `promptTokens` fits `context` positions.
void requireRoom(const Model &model, size_t promptTokens, uint32_t context);

/// Speed, latency and memory on stderr, one figure a line.
void printStatistics(const GenerationRecord &record);

} // namespace tern::cli

#endif
