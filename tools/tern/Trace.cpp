// Chrome's trace event format, complete events ("X"): times in microseconds, a track for each
// "tid".
#include "tools/tern/Trace.h"
#include "tools/tern/Generate.h"
#include "tools/tern/PlanProfile.h"

#include <map>
#include <nlohmann/json.hpp>

namespace tern::cli {

namespace {

constexpr uint32_t tokenTrack = 0, firstWorkerTrack = 1;

uint64_t nanoseconds(Clock::time_point time) {
  return uint64_t(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

std::string quoted(const std::string &text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Events one a line, written as they come.
class TraceWriter {
public:
  TraceWriter(OutputFile &file, uint64_t start) : file(file), start(start) {
    write("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n");
  }
  void nameTrack(uint32_t track, const std::string &name) {
    event(formatText("{\"ph\": \"M\", \"pid\": 1, \"tid\": %u, \"name\": \"thread_name\", "
                     "\"args\": {\"name\": %s}}",
                     track, quoted(name).c_str()));
  }
  /// `arguments`: members of an object, or empty.
  void span(uint32_t track, const std::string &name, uint64_t begin, uint64_t end,
            const std::string &arguments) {
    event(formatText("{\"ph\": \"X\", \"pid\": 1, \"tid\": %u, \"ts\": %.3f, \"dur\": %.3f, "
                     "\"name\": %s, \"args\": {%s}}",
                     track, double(begin - start) / 1000, double(end - begin) / 1000,
                     quoted(name).c_str(), arguments.c_str()));
  }
  void finish() {
    write("\n]}\n");
    file.commit();
  }

private:
  void write(const std::string &text) { file.write(text.data(), text.size()); }
  void event(const std::string &text) {
    write((any ? ",\n" : "") + text);
    any = true;
  }

  OutputFile &file;
  uint64_t start;
  bool any = false;
};

} // namespace

void writeTrace(OutputFile &file, const Model &model, const EngineOptions &engine,
                const std::vector<int32_t> &prompt, uint32_t tokens) {
  const PlanProfile profile(model);
  const SessionHandle session = model.createSession(engine);
  SamplingOptions greedy;
  greedy.temperature = 0;
  greedy.maxTokens = tokens + 1; // the first token belongs to the prompt
  generate(model, session.get(), greedy, /*ignoreEnd=*/true, prompt, {}); // warm-up
  tern_error error = TERN_ERROR_INIT;
  check(tern_slot_truncate(session.get(), 0, 0, &error), error, model.path());

  PlanRecorder recorder(session.get(), engine.threads);
  const uint64_t start = nanoseconds(Clock::now());
  std::vector<std::pair<int32_t, uint64_t>> ends; // of the steps that gave these tokens
  GenerationHooks hooks;
  hooks.onPiece = [&](const tern_piece &piece) {
    if (piece.token >= 0)
      ends.emplace_back(piece.token, nanoseconds(Clock::now()));
  };
  generate(model, session.get(), greedy, /*ignoreEnd=*/true, prompt, hooks);

  TraceWriter trace(file, start);
  trace.nameTrack(tokenTrack, "tokens");
  for (uint32_t worker = 0; worker < recorder.workers(); ++worker)
    trace.nameTrack(firstWorkerTrack + worker, formatText("worker %u", worker));
  uint64_t begin = start;
  for (size_t i = 0; i < ends.size(); ++i) {
    const auto [token, end] = ends[i];
    trace.span(tokenTrack,
               i == 0 ? formatText("prompt of %zu", prompt.size()) : formatText("token %zu", i),
               begin, end, formatText("\"token\": %d", token));
    begin = end;
  }
  std::map<uint32_t, const PlanCall *> callOf; // by command
  for (const PlanCall &call : profile.calls())
    callOf[call.command] = &call;
  const auto write = [&](uint32_t worker, const TimedWork &work) {
    const PlanCall &call = *callOf.at(work.command);
    trace.span(
        firstWorkerTrack + worker, call.description, work.begin, work.end,
        formatText("\"layer\": %s, \"command\": %u", quoted(call.layer).c_str(), work.command));
  };
  for (const TimedWork &work : recorder.commands())
    if (callOf.at(work.command)->kernel < 0)
      write(0, work);
  for (uint32_t worker = 0; worker < recorder.workers(); ++worker)
    for (const TimedWork &work : recorder.tasks(worker))
      write(worker, work);
  trace.finish();
}

} // namespace tern::cli
