#include "tools/tern/Options.h"

#include <charconv>
#include <cmath>

namespace tern::cli {

namespace {

constexpr uint32_t maxThreads = 1024;

/// A finite number within [low, high]; CLI::Range lets NaN pass.
CLI::Validator numberWithin(double low, double high, const std::string &description) {
  return CLI::Validator(
      [=](std::string &text) -> std::string {
        double value = 0;
        if (CLI::detail::lexical_cast(text, value) && std::isfinite(value) && value >= low &&
            value <= high)
          return {};
        return "'" + text + "' is not " + description;
      },
      "");
}

tern_weights_mode parseWeights(const std::string &text) {
  for (const tern_weights_mode mode : {TERN_WEIGHTS_AUTO, TERN_WEIGHTS_MAP, TERN_WEIGHTS_COPY})
    if (text == weightsName(mode))
      return mode;
  if (text.rfind("stream", 0) == 0)
    throw CLI::ValidationError("--weights",
                               "streaming weights is not implemented; use auto, map or copy");
  throw CLI::ValidationError("--weights", "'" + text + "' is not auto, map or copy");
}

} // namespace

const char *weightsName(tern_weights_mode mode) {
  switch (mode) {
  case TERN_WEIGHTS_MAP:
    return "map";
  case TERN_WEIGHTS_COPY:
    return "copy";
  case TERN_WEIGHTS_STREAM:
    return "stream";
  default:
    return "auto";
  }
}

void addModelArgument(CLI::App &command, std::string &model) {
  command.add_option("MODEL", model, "Compiled model, a .tern file")->required()->type_name("");
}

void addThreadsOption(CLI::App &command, uint32_t &threads) {
  command
      .add_option("--threads", threads,
                  "Threads that compute, 1 to 1024 (default: the CPUs this process may run on)")
      ->type_name("N")
      ->check(CLI::Range(1u, maxThreads).description(""));
}

void addContextOption(CLI::App &command, uint32_t &context) {
  command
      .add_option("--context", context,
                  "Positions to make room for, in tokens (default: the smaller of the model's "
                  "length and 4096)")
      ->type_name("N")
      ->check(CLI::Range(1u, maxContext).description(""));
}

void addWeightsOption(CLI::App &command, tern_weights_mode &weights) {
  command
      .add_option_function<std::string>(
          "--weights", [&weights](const std::string &text) { weights = parseWeights(text); },
          "auto (default): the runtime chooses; map: used where the file is mapped; copy: read "
          "into 2 MB pages")
      ->type_name("auto|map|copy");
}

void addEngineOptions(CLI::App &command, EngineOptions &options) {
  addModelArgument(command, options.model);
  addContextOption(command, options.context);
  addThreadsOption(command, options.threads);
  addWeightsOption(command, options.weights);
}

void addSamplingOptions(CLI::App &command, SamplingOptions &options, uint32_t defaultMaxTokens) {
  options.maxTokens = defaultMaxTokens;
  const std::string untilEnd = "0: until an end token or a full context";
  command
      .add_option("-n", options.maxTokens,
                  "Most tokens to generate; " + untilEnd +
                      " (default: " + std::to_string(defaultMaxTokens) + ")")
      ->type_name("N");
  command
      .add_option("-t", options.temperature,
                  "Temperature, 0 to 100; 0: always the most likely token (default: 0.7)")
      ->type_name("T")
      ->check(numberWithin(0, 100, "a temperature from 0 to 100"));
  command
      .add_option("--top-p", options.topP,
                  "Sample among the most likely tokens that together reach this probability, above "
                  "0 to 1; 1: all (default: 0.9)")
      ->type_name("P")
      ->check(numberWithin(1e-9, 1, "a probability above 0, at most 1"));
  command
      .add_option("--top-k", options.topK,
                  "Sample among the K most likely tokens; 0: all (default: 0)")
      ->type_name("K");
  command
      .add_option("--seed", options.seed,
                  "Start of the random numbers; the same seed gives the same text (default: 0)")
      ->type_name("S")
      ->check(CLI::NonNegativeNumber.description("")); // CLI11 wraps a negative 64-bit number
}

std::vector<int32_t> parseTokens(const std::string &text) {
  std::vector<int32_t> tokens;
  if (text.empty())
    return tokens;
  const char *at = text.data(), *end = at + text.size();
  while (true) {
    while (at != end && *at == ' ')
      ++at;
    int32_t token = 0;
    const auto [next, error] = std::from_chars(at, end, token);
    if (error != std::errc())
      throw CLI::ValidationError("--tokens", "'" + std::string(at, std::min(end, at + 16)) +
                                                 "' is not a token id; write 1,2,3");
    tokens.push_back(token);
    at = next;
    while (at != end && *at == ' ')
      ++at;
    if (at == end)
      return tokens;
    if (*at++ != ',')
      throw CLI::ValidationError("--tokens", "expected ',' before '" +
                                                 std::string(at - 1, std::min(end, at + 15)) +
                                                 "'; write 1,2,3");
  }
}

} // namespace tern::cli
