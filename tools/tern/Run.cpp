// tern run: one prompt, one continuation, streamed to stdout; or several prompts (RunSeveral.h).
#include "tools/tern/Generate.h"
#include "tools/tern/InputError.h"
#include "tools/tern/PromptCache.h"
#include "tools/tern/RunSeveral.h"
#include "tools/tern/Stream.h"
#include "tools/tern/Subcommands.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

namespace tern::cli {

namespace {

struct RunOptions {
  EngineOptions engine;
  SamplingOptions sampling;
  std::vector<std::string> prompts; ///< texts, from -p
  std::string promptFile;           ///< of texts; empty: none
  std::string tokens;               ///< where there is no text
  std::string promptCache;          ///< empty: none
  bool chat = false;
  bool stats = false;
};

std::vector<int32_t> tokensOfIds(const Model &model, const std::string &ids) {
  std::vector<int32_t> tokens = parseTokens(ids);
  if (tokens.empty())
    throw InputError("--tokens", "the prompt is empty; give at least one token id");
  model.requireTokens(tokens);
  return tokens;
}

std::vector<int32_t> tokensOfText(const Model &model, const std::string &text, bool chat) {
  if (text.empty())
    throw InputError("-p", "the prompt is empty; give some text, or token ids with --tokens");
  if (chat && text.find('\0') != std::string::npos)
    throw InputError("--prompts", "a text with a NUL byte cannot be put into a chat template");
  return chat ? model.chatTokens({{"user", text.c_str()}}) : model.tokenize(text, 0);
}

/// One JSON line for each token, one for the finish.
class LogProbabilityWriter {
public:
  explicit LogProbabilityWriter(const Model &model) : model(model) {}

  void write(const tern_piece &piece) {
    text.append(piece.text, piece.text_size);
    if (piece.token >= 0) {
      nlohmann::ordered_json line = describe(piece.token, piece.logprob);
      nlohmann::ordered_json &top = line["top"] = nlohmann::ordered_json::array();
      for (size_t i = 0; i < piece.top_count; ++i)
        top.push_back(describe(piece.top[i].token, piece.top[i].logprob));
      writeStandardOutput(line.dump() + "\n", true);
    }
    if (piece.finish != TERN_FINISH_NONE) {
      nlohmann::ordered_json line = {{"finish", finishName(piece.finish)}};
      if (model.info().has_tokenizer)
        line["text"] = text;
      writeStandardOutput(line.dump() + "\n", true);
    }
  }

private:
  nlohmann::ordered_json describe(int32_t token, float logprob) const {
    nlohmann::ordered_json result = {{"token", token}};
    if (model.info().has_tokenizer)
      result["text"] = model.detokenize({token});
    result["logprob"] = logprob;
    return result;
  }

  const Model &model;
  std::string text;
};

/// Streams text; for a model without tokenizer the ids, separated by spaces.
class PieceWriter {
public:
  explicit PieceWriter(bool asText) : asText(asText) {}

  void write(const tern_piece &piece) {
    writePiece(piece);
    if (piece.finish != TERN_FINISH_NONE)
      writeStandardOutput("\n", true);
  }

private:
  void writePiece(const tern_piece &piece) {
    if (asText)
      return writeStandardOutput({piece.text, piece.text_size}, piece.text_size > 0);
    if (piece.token < 0)
      return;
    writeStandardOutput((first ? "" : " ") + std::to_string(piece.token), true);
    first = false;
  }

  bool asText;
  bool first = true;
};

void runOne(const Model &model, const RunOptions &options, const std::vector<int32_t> &prompt) {
  const uint32_t context = model.contextFor(options.engine.context);
  requireRoom(model, prompt.size(), context);
  const SessionHandle session = model.createSession(options.engine);

  PieceWriter textWriter(model.info().has_tokenizer);
  LogProbabilityWriter lineWriter(model);
  PromptCache cache(options.promptCache);
  if (!options.promptCache.empty())
    cache.load(session.get());
  bool saved = options.promptCache.empty();
  const auto writePiece = [&](const tern_piece &piece) {
    if (!std::exchange(saved, true)) {
      // Saving is a call on the session, which may end the life of the piece's text.
      const std::string text(piece.text, piece.text_size);
      cache.save(session.get(), prompt);
      tern_piece kept = piece;
      kept.text = text.data();
      options.sampling.logprobs ? lineWriter.write(kept) : textWriter.write(kept);
      return;
    }
    options.sampling.logprobs ? lineWriter.write(piece) : textWriter.write(piece);
  };
  const GenerationRecord record =
      generate(model, session.get(), options.sampling, /*ignoreEnd=*/false, prompt,
               {.onHandle = {}, .onPiece = writePiece});
  if (record.finish == TERN_FINISH_SLOT_FULL)
    std::fprintf(stderr,
                 "tern: stopped: the context of %u positions is full; raise --context (the model's "
                 "own length is %u), or use --context-shift\n",
                 context, model.info().context_length);
  if (options.stats && !options.promptCache.empty())
    std::fprintf(stderr, "prompt cache  %zu of %zu prompt tokens reused\n", record.reusedTokens,
                 prompt.size());
  if (options.stats)
    printStatistics(record);
}

/// Several answers are no stream: options about one answer do not go with them.
void requireOneAnswer(const RunOptions &options) {
  const auto refuse = [](const char *option) {
    throw CLI::ValidationError(option, "goes with one prompt only");
  };
  if (options.sampling.logprobs)
    refuse("--logprobs");
  if (!options.promptCache.empty())
    refuse("--prompt-cache");
  if (options.stats)
    refuse("--stats");
}

void run(const RunOptions &options) {
  const bool several = options.prompts.size() > 1 || !options.promptFile.empty();
  const bool hasText = several || !options.prompts.empty();
  // Wrong usage is found before the model is loaded.
  if (!hasText)
    parseTokens(options.tokens);
  if (several)
    requireOneAnswer(options);
  options.sampling.requireConsistent();
  const Model model(options.engine.model, options.engine.weights, options.engine.requireKey);
  std::vector<std::vector<int32_t>> prompts;
  if (!hasText)
    prompts.push_back(tokensOfIds(model, options.tokens));
  for (const std::string &text :
       options.promptFile.empty() ? options.prompts : readPrompts(options.promptFile))
    prompts.push_back(tokensOfText(model, text, options.chat));
  if (several)
    runSeveral(model, options.engine, options.sampling, prompts);
  else
    runOne(model, options, prompts.front());
  options.sampling.noteOptionsWithoutEffect();
}

} // namespace

void addRun(CLI::App &program) {
  auto options = std::make_shared<RunOptions>();
  CLI::App *command = program.add_subcommand("run", "Continue a prompt; the text goes to stdout");
  command->footer(
      "The text is printed as it is made, a newline follows it. Several prompts are decoded\n"
      "together, each as if it were alone, and give a JSON line each. Running a .tern file "
      "executes the\n"
      "machine code inside it: run only files you trust.");
  addEngineOptions(*command, options->engine);
  CLI::Option_group *input = command->add_option_group("prompt");
  input
      ->add_option("-p", options->prompts,
                   "The prompt: raw text, special tokens are recognised; can be repeated")
      ->type_name("TEXT")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  input->add_option("--prompts", options->promptFile, "Prompts from a file, one a line")
      ->type_name("FILE")
      ->check(requireName());
  CLI::Option *ids = input
                         ->add_option("--tokens", options->tokens,
                                      "The prompt as token ids: 1,2,3; nothing is added")
                         ->type_name("IDS")
                         ->expected(1);
  input->require_option(1);
  command
      ->add_flag("--chat", options->chat,
                 "Put each text into the model's chat template as the user's message")
      ->excludes(ids);
  addSamplingOptions(*command, options->sampling, 32);
  command
      ->add_option("--prompt-cache", options->promptCache,
                   "Keep the evaluated prompt in this file; the next run evaluates only what its "
                   "prompt does not share with it")
      ->type_name("FILE")
      ->check(requireOutputName());
  command->add_flag("--context-shift", options->sampling.contextShift,
                    "When the context is full, forget the older half of it and go on, instead of "
                    "stopping");
  command
      ->add_option("--keep", options->sampling.shiftKeep,
                   "First tokens that a context shift keeps (default: 0)")
      ->type_name("N")
      ->check(CLI::Range(0u, maxContext).description(""));
  command
      ->add_option("--logprobs", options->sampling.logprobs,
                   "Print JSON lines instead of text: each token with its log-probability and the "
                   "N most likely tokens, 0 to 20")
      ->type_name("N")
      ->check(CLI::Range(0, int(TERN_MAX_TOP_LOGPROBS)).description(""));
  command->add_flag(
      "--stats", options->stats,
      "Afterwards speed (tokens/s), start to first token, latency P50 and P99 (ms) and "
      "memory on stderr");
  command->callback([options] { run(*options); });
}

} // namespace tern::cli
