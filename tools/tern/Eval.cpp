// tern eval: perplexity of a text by llama.cpp's protocol, and distance from another model's
// logits.
//
// The text is cut into whole chunks of --context tokens, the rest is left out. Where the model's
// tokenizer adds a token at the beginning, it takes the place of each chunk's first. A chunk is
// evaluated by itself; of its tokens those behind the first half + 1 are scored, so that each has
// at least half a chunk before it.
#include "tools/tern/InputError.h"
#include "tools/tern/Model.h"
#include "tools/tern/Report.h"
#include "tools/tern/SavedLogits.h"
#include "tools/tern/Stream.h"
#include "tools/tern/Subcommands.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <unistd.h>

namespace tern::cli {

namespace {

constexpr uint32_t defaultChunk = 512;

struct EvalOptions {
  EngineOptions engine;
  std::string text;
  uint32_t chunks = 0; ///< 0: all
  std::string save, compare;
  bool json = false;
};

/// A mean with its standard error.
class Mean {
public:
  void add(double value) {
    ++count;
    const double difference = value - average; // Welford
    average += difference / double(count);
    squares += difference * (value - average);
  }
  size_t size() const { return count; }
  double value() const { return average; }
  /// Of the mean, as llama.cpp's perplexity has it: sqrt(population variance / (n - 1)).
  double standardError() const {
    return count > 1 ? std::sqrt(squares / double(count) / double(count - 1)) : 0;
  }

private:
  size_t count = 0;
  double average = 0, squares = 0;
};

/// Logarithms of the softmax of logits.
class LogSoftmax {
public:
  explicit LogSoftmax(std::span<const float> logits) : logits(logits) {
    largest = double(*std::max_element(logits.begin(), logits.end()));
    double sum = 0;
    for (const float logit : logits)
      sum += std::exp(double(logit) - largest);
    logSum = std::log(sum);
  }
  double operator[](size_t i) const { return double(logits[i]) - largest - logSum; }
  size_t size() const { return logits.size(); }

private:
  std::span<const float> logits;
  double largest, logSum;
};

size_t mostLikely(std::span<const float> logits) {
  return size_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// Statistics of all scored positions.
struct Scores {
  Mean loss;       ///< negative log-likelihood
  Mean savedLoss;  ///< of the saved logits
  Mean divergence; ///< KL(saved || this)
  std::vector<double> divergences;
  Mean agreement;

  void add(std::span<const float> logits, int32_t next) {
    loss.add(-LogSoftmax(logits)[size_t(next)]);
  }
  void compare(std::span<const float> logits, std::span<const float> saved, int32_t next) {
    const LogSoftmax q(logits), p(saved);
    savedLoss.add(-p[size_t(next)]);
    double sum = 0;
    for (size_t i = 0; i < p.size(); ++i)
      if (const double probability = std::exp(p[i]); probability > 0)
        sum += probability * (p[i] - q[i]);
    divergence.add(sum);
    divergences.push_back(sum);
    agreement.add(mostLikely(logits) == mostLikely(saved) ? 1 : 0);
  }
};

std::string readText(const std::string &path) {
  requireReadableFile(path);
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file)
    throw InputError(path, std::string("cannot read: ") + std::strerror(errno));
  return text;
}

/// The token that the model's tokenizer puts before a text.
std::optional<int32_t> beginToken(const Model &model) {
  const std::vector<int32_t> with = model.tokenize("a", 0),
                             without = model.tokenize("a", TERN_TOKENIZE_NO_BOS);
  if (with.size() > without.size() && std::equal(without.begin(), without.end(), with.begin() + 1))
    return with.front();
  return std::nullopt;
}

EvaluationText evaluationText(const Model &model, const EvalOptions &options) {
  EvaluationText result;
  result.vocabulary = model.info().vocabulary_size;
  result.context = options.engine.context ? options.engine.context
                                          : std::min(defaultChunk, model.info().context_length);
  result.tokens =
      model.tokenize(readText(options.text), TERN_TOKENIZE_NO_BOS | TERN_TOKENIZE_NO_PARSE_SPECIAL);
  const std::optional<int32_t> begin = beginToken(model);
  if (begin)
    result.tokens.insert(result.tokens.begin(), *begin);
  if (result.tokens.size() < result.context)
    throw InputError(options.text,
                     formatText("the text has %zu tokens, a chunk %u; give a longer text or a "
                                "smaller --context",
                                result.tokens.size(), result.context));
  if (options.chunks > result.chunks())
    throw InputError(options.text, formatText("the text has %u chunks of %u tokens, --chunks asks "
                                              "for %u",
                                              result.chunks(), result.context, options.chunks));
  result.tokens.resize(size_t(options.chunks ? options.chunks : result.chunks()) * result.context);
  for (size_t at = 0; begin && at < result.tokens.size(); at += result.context)
    result.tokens[at] = *begin;
  return result;
}

/// Calls `score(logits, next token)` for each scored position of a chunk.
void evaluateChunk(const Model &model, tern_session *session, const EvaluationText &text,
                   uint32_t chunk,
                   const std::function<void(std::span<const float>, int32_t)> &score) {
  const int32_t *tokens = &text.tokens[size_t(chunk) * text.context];
  const uint32_t first = text.firstScored(), end = text.context - 1;
  const std::vector<uint8_t> wantNone(model.info().max_batch, 0),
      wantAll(model.info().max_batch, 1);
  tern_error error = TERN_ERROR_INIT;
  check(tern_slot_truncate(session, 0, 0, &error), error, model.path());
  for (uint32_t at = 0; at < end;) {
    const bool scored = at >= first;
    tern_batch batch = TERN_BATCH_INIT;
    batch.rows = scored ? std::min({model.info().max_batch, model.info().max_wanted, end - at})
                        : std::min(model.info().max_batch, first - at);
    batch.tokens = tokens + at;
    batch.want = scored ? wantAll.data() : wantNone.data();
    tern_logits logits = TERN_LOGITS_INIT;
    check(tern_forward(session, &batch, &logits, &error), error, model.path());
    for (size_t row = 0; row < logits.rows; ++row)
      score({logits.logits + row * logits.stride, text.vocabulary}, tokens[at + row + 1]);
    at += uint32_t(batch.rows);
  }
}

nlohmann::ordered_json toJson(const EvaluationText &text, const Scores &scores) {
  const double perplexity = std::exp(scores.loss.value());
  nlohmann::ordered_json report = {{"perplexity", perplexity},
                                   {"standard_error", perplexity * scores.loss.standardError()},
                                   {"negative_log_likelihood", scores.loss.value()},
                                   {"tokens", scores.loss.size()},
                                   {"chunks", text.chunks()},
                                   {"context", text.context}};
  if (scores.divergence.size() == 0)
    return report;
  Samples sorted;
  for (const double value : scores.divergences)
    sorted.add(value);
  report["saved_perplexity"] = std::exp(scores.savedLoss.value());
  report["kl_divergence"] = {{"mean", scores.divergence.value()},
                             {"standard_error", scores.divergence.standardError()},
                             {"median", sorted.median()},
                             {"p99", sorted.percentile(99)},
                             {"max", sorted.max()}};
  report["top1_agreement"] = {{"mean", scores.agreement.value()},
                              {"standard_error", scores.agreement.standardError()}};
  return report;
}

std::string toText(const nlohmann::ordered_json &report) {
  const auto number = [](const nlohmann::ordered_json &value) { return value.get<double>(); };
  std::string text = formatText(
      "perplexity       %.4f +/- %.4f\nscored           %llu tokens in %u chunks of %u\n",
      number(report["perplexity"]), number(report["standard_error"]),
      report["tokens"].get<unsigned long long>(), report["chunks"].get<unsigned>(),
      report["context"].get<unsigned>());
  if (!report.contains("kl_divergence"))
    return text;
  const nlohmann::ordered_json &divergence = report["kl_divergence"],
                               &agreement = report["top1_agreement"];
  return text + formatText("saved logits     perplexity %.4f\n"
                           "KL divergence    %.6f +/- %.6f, median %.6f, P99 %.6f, maximum %.6f\n"
                           "top-1 agreement  %.3f %% +/- %.3f %%\n",
                           number(report["saved_perplexity"]), number(divergence["mean"]),
                           number(divergence["standard_error"]), number(divergence["median"]),
                           number(divergence["p99"]), number(divergence["max"]),
                           100 * number(agreement["mean"]),
                           100 * number(agreement["standard_error"]));
}

void evaluate(const EvalOptions &options) {
  const Model model(options.engine.model, options.engine.weights, options.engine.requireKey);
  const EvaluationText text = evaluationText(model, options);
  EngineOptions engine = options.engine;
  engine.context = text.context;
  const SessionHandle session = model.createSession(engine);
  std::optional<LogitsReader> saved;
  if (!options.compare.empty())
    saved.emplace(options.compare, text);
  std::optional<LogitsWriter> writer;
  if (!options.save.empty()) {
    std::vector<std::string> inputs = options.engine.inputs();
    inputs.push_back(options.text);
    requireNoInput(options.save, inputs);
    writer.emplace(options.save, text);
  }
  const bool progress = isatty(STDERR_FILENO);
  Scores scores;
  for (uint32_t chunk = 0; chunk < text.chunks(); ++chunk) {
    evaluateChunk(model, session.get(), text, chunk,
                  [&](std::span<const float> logits, int32_t next) {
                    scores.add(logits, next);
                    if (saved)
                      scores.compare(logits, saved->read(), next);
                    if (writer)
                      writer->write(logits);
                  });
    if (progress)
      std::fprintf(stderr, "\r\033[Kchunk %u of %u, perplexity %.4f +/- %.4f", chunk + 1,
                   text.chunks(), std::exp(scores.loss.value()),
                   std::exp(scores.loss.value()) * scores.loss.standardError());
  }
  if (progress)
    std::fputs("\r\033[K", stderr);
  if (writer)
    writer->commit();
  if (!std::isfinite(scores.loss.value()))
    throw InputError(model.path(), "the model gives a token of the text no probability at all; its "
                                   "perplexity is not a number");
  const nlohmann::ordered_json report = toJson(text, scores);
  writeStandardOutput(options.json ? report.dump(2) + "\n" : toText(report));
}

} // namespace

void addEval(CLI::App &program) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App *command = program.add_subcommand("eval", "Measure the perplexity of a text");
  command->footer(
      "The text is cut into chunks of --context tokens, each evaluated by itself with the model's\n"
      "begin token, if it has one, in the first place; the second half of each is scored.\n"
      "+/- is one standard error. Special tokens in the text are plain text.");
  addModelArgument(*command, options->engine.model);
  command->add_option("--text", options->text, "The text, UTF-8")
      ->required()
      ->type_name("FILE")
      ->check(requireName());
  command
      ->add_option("--context", options->engine.context,
                   "Tokens of a chunk, at least 4 (default: the smaller of 512 and the model's "
                   "length)")
      ->type_name("N")
      ->check(CLI::Range(4u, maxContext).description(""));
  command->add_option("--chunks", options->chunks, "Only the first N chunks (default: all)")
      ->type_name("N")
      ->check(CLI::Range(1u, 1u << 30).description(""));
  addThreadsOption(*command, options->engine.threads);
  addPinOption(*command, options->engine.pin);
  addWeightsOption(*command, options->engine.weights);
  addRequireKeyOption(*command, options->engine.requireKey);
  CLI::Option *save =
      command
          ->add_option("--save-logits", options->save,
                       "Write the logits of all scored positions, 4 bytes for each entry of the "
                       "vocabulary")
          ->type_name("FILE")
          ->check(requireOutputName());
  command
      ->add_option("--compare-logits", options->compare,
                   "Compare with logits that another model saved for the same text: KL divergence "
                   "from them, top-1 agreement")
      ->type_name("FILE")
      ->check(requireName())
      ->excludes(save);
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options] { evaluate(*options); });
}

} // namespace tern::cli
