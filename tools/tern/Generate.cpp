#include "tools/tern/Generate.h"
#include "tools/tern/InputError.h"
#include "tools/tern/MemoryUse.h"

#include <cstdio>

namespace tern::cli {

namespace {

/// Tells the owner of the handle when it is no longer valid, on every way out.
class HandleScope {
public:
  HandleScope(const GenerationHooks &hooks, tern_generation *handle) : hooks(hooks) {
    if (hooks.onHandle)
      hooks.onHandle(handle);
  }
  HandleScope(const HandleScope &) = delete;
  HandleScope &operator=(const HandleScope &) = delete;
  ~HandleScope() {
    if (hooks.onHandle)
      hooks.onHandle(nullptr);
  }

private:
  const GenerationHooks &hooks;
};

} // namespace

GenerationRecord generate(const Model &model, tern_session *session,
                          const SamplingOptions &sampling, bool ignoreEnd,
                          const std::vector<int32_t> &prompt, const GenerationHooks &hooks) {
  GenerateOptions options(sampling);
  options.value.ignore_end = ignoreEnd;
  tern_error error = TERN_ERROR_INIT;
  tern_generation *generation = nullptr;
  check(tern_generate_begin(session, &options.value, prompt.data(), prompt.size(), &generation,
                            &error),
        error, model.path());
  const HandleScope scope(hooks, generation);

  GenerationRecord record;
  record.promptTokens = prompt.size();
  record.reusedTokens = tern_slot_length(session, 0);
  while (record.finish == TERN_FINISH_NONE) {
    tern_piece piece = TERN_PIECE_INIT;
    const Clock::time_point before = Clock::now();
    check(tern_next(generation, &piece, &error), error, model.path());
    const Clock::time_point after = Clock::now();
    if (piece.token >= 0) {
      if (record.tokens++ == 0) {
        record.promptMs = milliseconds(after - before);
        record.firstToken = after;
      } else {
        record.stepMs.add(milliseconds(after - before));
        record.stepMsSum += milliseconds(after - before);
      }
    }
    record.finish = piece.finish;
    if (hooks.onPiece)
      hooks.onPiece(piece);
  }
  return record;
}

const char *finishName(tern_finish finish) {
  switch (finish) {
  case TERN_FINISH_END_TOKEN:
    return "end_token";
  case TERN_FINISH_MAX_TOKENS:
    return "max_tokens";
  case TERN_FINISH_SLOT_FULL:
    return "context_full";
  case TERN_FINISH_CANCELLED:
    return "cancelled";
  case TERN_FINISH_STOP_STRING:
    return "stop";
  default:
    return "none";
  }
}

void requireRoom(const Model &model, size_t promptTokens, uint32_t context) {
  if (promptTokens > context)
    throw InputError(model.path(),
                     formatText("the prompt has %zu tokens, the context %u positions; "
                                "shorten it or raise --context (the model's own "
                                "length is %u)",
                                promptTokens, context, model.info().context_length));
}

void printStatistics(const GenerationRecord &record) {
  const auto print = [](const char *label, const std::string &text) {
    std::fprintf(stderr, "%-14s%s\n", label, text.c_str());
  };
  if (record.tokens > 0) {
    print("prompt",
          formatText("%zu tokens in %.2f ms, %.1f tokens/s", record.promptTokens, record.promptMs,
                     double(record.promptTokens) * 1000 / record.promptMs));
    print("first token", formatText("%.1f ms after the program's start",
                                    milliseconds(record.firstToken - processStart())));
  }
  if (!record.stepMs.empty()) {
    print("generated", formatText("%zu tokens, %.1f tokens/s after the first", record.tokens,
                                  double(record.tokens - 1) * 1000 / record.stepMsSum));
    const double p50 = record.stepMs.percentile(50), p99 = record.stepMs.percentile(99);
    print("token latency", formatText("P50 %.3f ms, P99 %.3f ms, P99/P50 %.2f, maximum %.3f ms",
                                      p50, p99, p99 / p50, record.stepMs.max()));
  } else {
    print("generated", formatText("%zu tokens", record.tokens));
  }
  print("memory", "peak " + bytesText(peakResidentBytes()) + " resident, " +
                      bytesText(privateBytes()) + " private");
}

} // namespace tern::cli
