// tern chat: a conversation, one message a line. The whole conversation is given to the runtime
// each turn, which computes only what the slot does not already hold.
#include "tools/tern/Generate.h"
#include "tools/tern/InputError.h"
#include "tools/tern/Stream.h"
#include "tools/tern/Subcommands.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <deque>
#include <iostream>
#include <memory>
#include <unistd.h>

namespace tern::cli {

namespace {

struct ChatOptions {
  EngineOptions engine;
  SamplingOptions sampling;
  std::string system;
  bool hasSystem = false;
  bool stats = false;
};

constexpr int exitInterrupted = 128 + SIGINT;

/// What Ctrl-C stops; null between turns, when it ends the program.
std::atomic<tern_generation *> running;

void interrupt(int) {
  if (tern_generation *generation = running.load())
    tern_cancel(generation);
  else
    _exit(exitInterrupted);
}

class Conversation {
public:
  void add(const char *role, std::string content) {
    contents.push_back(std::move(content));
    messages.push_back({role, contents.back().c_str()});
  }
  const std::vector<tern_chat_message> &get() const { return messages; }

private:
  std::deque<std::string> contents; ///< a deque never moves what it holds
  std::vector<tern_chat_message> messages;
};

/// The next line of input without its end; false at the end of input.
bool readMessage(bool interactive, std::string &line) {
  if (interactive)
    std::fputs("> ", stderr);
  if (!std::getline(std::cin, line)) {
    if (interactive)
      std::fputc('\n', stderr);
    return false;
  }
  if (!line.empty() && line.back() == '\r')
    line.pop_back();
  return true;
}

void chat(const ChatOptions &options) {
  options.sampling.requireConsistent();
  const Model model(options.engine.model, options.engine.weights, options.engine.requireKey);
  if (!model.info().has_chat_template)
    model.chatTokens({{"user", "."}}); // throws: says what is missing and what to do instead
  Conversation conversation;
  if (options.hasSystem)
    conversation.add("system", options.system);
  const uint32_t context = model.contextFor(options.engine.context);
  const SessionHandle session = model.createSession(options.engine);
  options.sampling.noteOptionsWithoutEffect();
  const bool interactive = isatty(STDIN_FILENO);
  if (interactive)
    std::fputs("Ctrl-C stops an answer, Ctrl-D ends.\n", stderr);
  std::signal(SIGINT, interrupt);

  std::string line;
  while (readMessage(interactive, line)) {
    if (line.empty())
      continue;
    if (line.find('\0') != std::string::npos)
      throw InputError("standard input",
                       "a message holds a NUL byte, which cannot be put into a chat template");
    conversation.add("user", line);
    const std::vector<int32_t> prompt = model.chatTokens(conversation.get());
    if (prompt.size() >= context)
      throw InputError(model.path(),
                       formatText("the conversation now has %zu tokens, the context %u positions; "
                                  "begin a new one, or raise --context",
                                  prompt.size(), context));
    std::string answer;
    const GenerationHooks hooks{
        .onHandle = [](tern_generation *generation) { running = generation; },
        .onPiece =
            [&](const tern_piece &piece) {
              answer.append(piece.text, piece.text_size);
              writeStandardOutput({piece.text, piece.text_size}, piece.text_size > 0);
            }};
    const GenerationRecord record =
        generate(model, session.get(), options.sampling, /*ignoreEnd=*/false, prompt, hooks);
    writeStandardOutput("\n", true);
    if (record.finish == TERN_FINISH_SLOT_FULL)
      std::fprintf(stderr, "tern: the context of %u positions is full; raise --context\n", context);
    if (options.stats)
      printStatistics(record);
    conversation.add("assistant", std::move(answer));
  }
  if (std::cin.bad())
    throw InputError("standard input", "cannot read");
}

} // namespace

void addChat(CLI::App &program) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App *command = program.add_subcommand("chat", "Converse with a model, one message a line");
  command->footer(
      "The model's chat template is applied; answers go to stdout. Ctrl-C stops an answer, Ctrl-D "
      "ends.\n"
      "Running a .tern file executes the machine code inside it: run only files you trust.");
  addEngineOptions(*command, options->engine);
  const CLI::Option *system =
      command
          ->add_option("--system", options->system,
                       "System message (default: the template's own, if it has one)")
          ->type_name("TEXT");
  addSamplingOptions(*command, options->sampling, 0);
  command->add_flag("--stats", options->stats,
                    "After each answer speed (tokens/s), latency P50 and P99 (ms) and memory on "
                    "stderr");
  command->callback([options, system] {
    options->hasSystem = system->count() > 0;
    chat(*options);
  });
}

} // namespace tern::cli
