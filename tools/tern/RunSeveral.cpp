#include "tools/tern/RunSeveral.h"
#include "tools/tern/Generate.h"
#include "tools/tern/InputError.h"
#include "tools/tern/Stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

namespace tern::cli {

std::vector<std::string> readPrompts(const std::string &path) {
  requireReadableFile(path);
  std::ifstream file(path);
  std::vector<std::string> prompts;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r')
      line.pop_back();
    if (line.empty())
      throw InputError(path, "line " + std::to_string(prompts.size() + 1) +
                                 " is empty; each line is a prompt");
    prompts.push_back(line);
  }
  if (file.bad())
    throw InputError(path, std::string("cannot read: ") + std::strerror(errno));
  if (prompts.empty())
    throw InputError(path, "has no line; each line is a prompt");
  return prompts;
}

namespace {

struct Answer {
  std::string text;
  std::vector<int32_t> tokens;
  tern_finish finish = TERN_FINISH_NONE;
};

class Slots {
public:
  Slots(const Model &model, tern_session *session, const SamplingOptions &sampling,
        const std::vector<std::vector<int32_t>> &prompts)
      : model(model), session(session), options(sampling), prompts(prompts),
        answers(prompts.size()) {}

  /// Begins the next prompt in a slot; false if there is none left.
  bool begin(uint32_t slot) {
    if (begun == prompts.size())
      return false;
    const std::vector<int32_t> &prompt = prompts[begun];
    options.value.slot = slot;
    tern_error error = TERN_ERROR_INIT;
    tern_generation *generation = nullptr;
    check(tern_generate_begin(session, &options.value, prompt.data(), prompt.size(), &generation,
                              &error),
          error, model.path());
    running.push_back({generation, slot, begun++});
    return true;
  }

  /// One token for every running prompt; prints answers that are complete.
  void step() {
    std::vector<tern_generation *> generations;
    for (const Running &each : running)
      generations.push_back(each.generation);
    tern_error error = TERN_ERROR_INIT;
    check(tern_evaluate_together(session, generations.data(), generations.size(), &error), error,
          model.path());
    const std::vector<Running> before = std::move(running);
    running.clear();
    for (const Running &each : before) {
      Answer &answer = answers[each.prompt];
      tern_piece piece = TERN_PIECE_INIT;
      check(tern_next(each.generation, &piece, &error), error, model.path());
      answer.text.append(piece.text ? piece.text : "", piece.text_size);
      if (piece.token >= 0)
        answer.tokens.push_back(piece.token);
      answer.finish = piece.finish;
      if (piece.finish == TERN_FINISH_NONE)
        running.push_back(each);
      else
        begin(each.slot);
    }
    printComplete();
  }

  bool done() const { return running.empty(); }

private:
  struct Running {
    tern_generation *generation;
    uint32_t slot;
    size_t prompt;
  };

  void printComplete() {
    for (; printed < answers.size() && answers[printed].finish != TERN_FINISH_NONE; ++printed) {
      Answer &answer = answers[printed];
      const nlohmann::ordered_json line = {{"prompt", printed},
                                           {"text", answer.text},
                                           {"tokens", answer.tokens},
                                           {"finish", finishName(answer.finish)}};
      writeStandardOutput(line.dump() + "\n", true);
      answer = {.text = {}, .tokens = {}, .finish = answer.finish};
    }
  }

  const Model &model;
  tern_session *session;
  GenerateOptions options;
  const std::vector<std::vector<int32_t>> &prompts;
  std::vector<Answer> answers;
  std::vector<Running> running;
  size_t begun = 0, printed = 0;
};

} // namespace

void runSeveral(const Model &model, const EngineOptions &engine, const SamplingOptions &sampling,
                const std::vector<std::vector<int32_t>> &prompts) {
  for (const std::vector<int32_t> &prompt : prompts)
    requireRoom(model, prompt.size(), model.contextFor(engine.context));
  const uint32_t count = uint32_t(
      std::min<size_t>(prompts.size(), std::min(model.info().max_wanted, model.info().max_batch)));
  const SessionHandle session = model.createSession(engine, count);
  Slots slots(model, session.get(), sampling, prompts);
  for (uint32_t slot = 0; slot < count; ++slot)
    slots.begin(slot);
  while (!slots.done())
    slots.step();
}

} // namespace tern::cli
