// tern embed: hidden states of texts, as a NumPy file.
#include "tools/tern/Generate.h"
#include "tools/tern/InputError.h"
#include "tools/tern/Model.h"
#include "tools/tern/NpyFile.h"
#include "tools/tern/OutputFile.h"
#include "tools/tern/Report.h"
#include "tools/tern/Subcommands.h"

#include <algorithm>
#include <cmath>
#include <memory>

namespace tern::cli {

namespace {

enum class Pooling { mean, last, none };

Pooling parsePooling(const std::string &text) {
  if (text == "mean")
    return Pooling::mean;
  if (text == "last")
    return Pooling::last;
  if (text == "none")
    return Pooling::none;
  throw CLI::ValidationError("--pooling", "'" + text + "' is not mean, last or none");
}

struct EmbedOptions {
  EngineOptions engine;
  std::vector<std::string> texts;
  std::string tokens, output;
  Pooling pooling = Pooling::mean;
  bool normalize = false;
};

class Embedder {
public:
  Embedder(const Model &model, const EmbedOptions &options, uint32_t context)
      : model(model), options(options), size(size_t(model.info().hidden_size)) {
    EngineOptions engine = options.engine;
    engine.context = context;
    session = model.createSession(engine);
  }

  /// Rows of `size` floats: one, or with Pooling::none one for each token.
  std::vector<float> embed(const std::vector<int32_t> &tokens) {
    tern_error error = TERN_ERROR_INIT;
    check(tern_slot_truncate(session.get(), 0, 0, &error), error, model.path());
    std::vector<float> rows;
    std::vector<double> sums(size);
    // Only wanted rows come back, and of these a call has few.
    const bool all = options.pooling != Pooling::last;
    const size_t rowsPerCall =
        all ? std::min(model.info().max_batch, model.info().max_wanted) : model.info().max_batch;
    const std::vector<uint8_t> wantAll(rowsPerCall, 1);
    for (size_t at = 0; at < tokens.size(); at += rowsPerCall) {
      tern_batch batch = TERN_BATCH_INIT;
      batch.rows = std::min(rowsPerCall, tokens.size() - at);
      batch.tokens = tokens.data() + at;
      batch.want = all ? wantAll.data() : nullptr;
      tern_hidden hidden = TERN_HIDDEN_INIT;
      check(tern_forward_hidden(session.get(), &batch, &hidden, &error), error, model.path());
      for (size_t row = 0; row < hidden.rows; ++row) {
        const float *state = hidden.states + row * hidden.stride;
        if (options.pooling == Pooling::last)
          rows.clear();
        if (options.pooling != Pooling::mean)
          rows.insert(rows.end(), state, state + size);
        for (size_t i = 0; i < size; ++i)
          sums[i] += state[i];
      }
    }
    if (options.pooling == Pooling::mean)
      for (double sum : sums)
        rows.push_back(float(sum / double(tokens.size())));
    if (options.normalize)
      for (size_t row = 0; row < rows.size(); row += size)
        normalize(rows.data() + row);
    return rows;
  }

private:
  void normalize(float *row) const {
    double squares = 0;
    for (size_t i = 0; i < size; ++i)
      squares += double(row[i]) * row[i];
    for (size_t i = 0; i < size; ++i)
      row[i] = squares > 0 ? float(row[i] / std::sqrt(squares)) : row[i];
  }

  const Model &model;
  const EmbedOptions &options;
  SessionHandle session;
  size_t size;
};

void writeEmbeddings(const EmbedOptions &options) {
  const Model model(options.engine.model, options.engine.weights, options.engine.requireKey);
  if (model.info().hidden_size == 0)
    throw InputError(model.path(), "the artifact gives no hidden states; compile it again");
  std::vector<std::vector<int32_t>> prompts;
  if (options.texts.empty())
    prompts.push_back(parseTokens(options.tokens));
  for (const std::string &text : options.texts)
    prompts.push_back(model.tokenize(text, 0));
  const uint32_t context = model.contextFor(options.engine.context);
  size_t rows = 0;
  for (const std::vector<int32_t> &prompt : prompts) {
    if (prompt.empty())
      throw InputError("the prompt", "has no tokens, and so no embedding");
    model.requireTokens(prompt);
    requireRoom(model, prompt.size(), context);
    rows += options.pooling == Pooling::none ? prompt.size() : 1;
  }
  Embedder embedder(model, options, context);
  requireNoInput(options.output, options.engine.inputs());
  OutputFile output(options.output);
  const std::string header = npyHeader(rows, size_t(model.info().hidden_size));
  output.write(header.data(), header.size());
  for (const std::vector<int32_t> &prompt : prompts) {
    const std::vector<float> states = embedder.embed(prompt);
    output.write(states.data(), states.size() * sizeof(float));
  }
  output.commit();
}

} // namespace

void addEmbed(CLI::App &program) {
  auto options = std::make_shared<EmbedOptions>();
  CLI::App *command =
      program.add_subcommand("embed", "Write hidden states of texts to a NumPy file");
  command->footer(
      "The file holds float32 [texts, hidden size], with --pooling none [tokens, hidden size]. "
      "Hidden\nstates are what the model's last norm gives.");
  addEngineOptions(*command, options->engine);
  CLI::Option_group *prompt = command->add_option_group("prompt");
  prompt->add_option("-p", options->texts, "A text; can be repeated")
      ->type_name("TEXT")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  prompt->add_option("--tokens", options->tokens, "Token ids: 1,2,3; nothing is added")
      ->type_name("IDS");
  prompt->require_option(1);
  command
      ->add_option_function<std::string>(
          "--pooling",
          [options](const std::string &text) { options->pooling = parsePooling(text); },
          "mean (default): of all tokens; last: of the last token; none: a row for each")
      ->type_name("mean|last|none");
  command->add_flag("--normalize", options->normalize, "Divide each row by its Euclidean length");
  command
      ->add_option("-o", options->output,
                   "Output file; it appears under this name when it is complete")
      ->required()
      ->type_name("OUT.npy")
      ->check(requireOutputName());
  command->callback([options] { writeEmbeddings(*options); });
}

} // namespace tern::cli
