// tern logits: the model's output for every position of a token sequence, as a NumPy file.
#include "tools/tern/Generate.h"
#include "tools/tern/InputError.h"
#include "tools/tern/Model.h"
#include "tools/tern/NpyFile.h"
#include "tools/tern/OutputFile.h"
#include "tools/tern/Report.h"
#include "tools/tern/Subcommands.h"

#include <algorithm>
#include <memory>

namespace tern::cli {

namespace {

struct LogitsOptions {
  EngineOptions engine;
  std::string tokens, output;
};

void writeLogits(const LogitsOptions &options) {
  const std::vector<int32_t> tokens = parseTokens(options.tokens);
  const Model model(options.engine.model, options.engine.weights, options.engine.requireKey);
  if (tokens.empty())
    throw InputError("--tokens", "there are no tokens; give at least one id");
  model.requireTokens(tokens);
  EngineOptions engine = options.engine;
  engine.context = model.contextFor(engine.context);
  requireRoom(model, tokens.size(), engine.context);
  const SessionHandle session = model.createSession(engine);

  const size_t vocabulary = model.info().vocabulary_size;
  requireNoInput(options.output, options.engine.inputs());
  OutputFile output(options.output);
  const std::string header = npyHeader(tokens.size(), vocabulary);
  output.write(header.data(), header.size());
  // Every row wants logits, so a call takes as many rows as may want them.
  const size_t rowsPerCall = std::min(model.info().max_batch, model.info().max_wanted);
  const std::vector<uint8_t> wantAll(rowsPerCall, 1);
  for (size_t at = 0; at < tokens.size(); at += rowsPerCall) {
    tern_batch batch = TERN_BATCH_INIT;
    batch.rows = std::min(rowsPerCall, tokens.size() - at);
    batch.tokens = tokens.data() + at;
    batch.want = wantAll.data();
    tern_logits logits = TERN_LOGITS_INIT;
    tern_error error = TERN_ERROR_INIT;
    check(tern_forward(session.get(), &batch, &logits, &error), error, model.path());
    for (size_t row = 0; row < logits.rows; ++row)
      output.write(logits.logits + row * logits.stride, vocabulary * sizeof(float));
  }
  output.commit();
}

} // namespace

void addLogits(CLI::App &program) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App *command =
      program.add_subcommand("logits", "Write the logits after every token to a NumPy file");
  command->footer("The file holds float32 [tokens, vocabulary].");
  addEngineOptions(*command, options->engine);
  command->add_option("--tokens", options->tokens, "Token ids: 1,2,3; nothing is added")
      ->required()
      ->type_name("IDS");
  command
      ->add_option("-o", options->output,
                   "Output file; it appears under this name when it is complete")
      ->required()
      ->type_name("OUT.npy")
      ->check(requireOutputName());
  command->callback([options] { writeLogits(*options); });
}

} // namespace tern::cli
