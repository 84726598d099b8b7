#include "tools/tern/Options.h"
#include "tools/tern/Signature.h"

#include <charconv>
#include <cmath>
#include <cstdio>

namespace tern::cli {

namespace {

constexpr uint32_t maxThreads = 1024;
constexpr float defaultTopP = 0.9f;

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

/// CLI11 wraps negative 64-bit numbers and cuts off large ones.
CLI::Validator seedNumber() {
  return CLI::Validator(
      [](std::string &text) -> std::string {
        uint64_t value = 0;
        const char *end = text.data() + text.size();
        const auto [last, error] = std::from_chars(text.data(), end, value);
        if (error == std::errc() && last == end)
          return {};
        return "'" + text + "' is not a whole number from 0 to 18446744073709551615";
      },
      "");
}

/// "15043+1.5", "15043-2", "15043-inf".
tern_logit_bias parseLogitBias(const std::string &text) {
  constexpr double maxBias = 1e6;
  const char *end = text.data() + text.size();
  tern_logit_bias bias = {};
  const auto [sign, tokenError] = std::from_chars(text.data(), end, bias.token);
  if (tokenError == std::errc() && bias.token >= 0 && sign != end &&
      (*sign == '+' || *sign == '-')) {
    double magnitude = 0;
    const auto [last, error] = std::from_chars(sign + 1, end, magnitude);
    const bool excludes = *sign == '-' && std::isinf(magnitude);
    if (error == std::errc() && last == end && !std::signbit(magnitude) &&
        (magnitude <= maxBias || excludes)) {
      bias.bias = float(*sign == '-' ? -magnitude : magnitude);
      return bias;
    }
  }
  throw CLI::ValidationError("--logit-bias", "'" + text +
                                                 "' is not a token id, a sign and a number up to "
                                                 "1e6; write 15043+1 or 15043-inf");
}

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

/// "600M" and the like in powers of 1000, as ternc's budget:SIZE; 0 if it is no size.
uint64_t parseSize(std::string_view text) {
  constexpr double largest = 1e15;
  double scale = 1;
  for (const auto &[letter, power] : {std::pair('K', 1e3), {'M', 1e6}, {'G', 1e9}})
    if (text.ends_with(letter))
      scale = power;
  if (scale != 1)
    text.remove_suffix(1);
  double value = 0;
  const char *begin = text.data(), *end = begin + text.size();
  const auto [last, error] = std::from_chars(begin, end, value, std::chars_format::fixed);
  const double bytes = value * scale;
  return error == std::errc() && last == end && bytes >= 1 && bytes <= largest ? uint64_t(bytes)
                                                                               : 0;
}

WeightsChoice parseWeights(const std::string &text) {
  for (const tern_weights_mode mode : {TERN_WEIGHTS_AUTO, TERN_WEIGHTS_MAP, TERN_WEIGHTS_COPY})
    if (text == weightsName(mode))
      return {mode, 0};
  constexpr std::string_view stream = "stream:";
  if (text.starts_with(stream))
    if (const uint64_t bytes = parseSize(std::string_view(text).substr(stream.size())))
      return {TERN_WEIGHTS_STREAM, bytes};
  throw CLI::ValidationError("--weights", "'" + text +
                                              "' is not auto, map, copy or stream:SIZE; write a "
                                              "size as 600M or 1.5G (K, M, G: powers of 1000)");
}

void addPenaltyOptions(CLI::App &command, SamplingOptions &options) {
  constexpr double maxPenalty = 100;
  command
      .add_option("--repeat-penalty", options.repetitionPenalty,
                  "Divide the logits of recent tokens by R (multiply negative ones), 1e-6 to 100; "
                  "1: off (default: 1)")
      ->type_name("R")
      ->check(numberWithin(1e-6, maxPenalty, "a number from 1e-6 to 100"));
  command
      .add_option("--frequency-penalty", options.frequencyPenalty,
                  "Subtract F from the logits of recent tokens for each time they occur, -100 to "
                  "100 (default: 0)")
      ->type_name("F")
      ->check(numberWithin(-maxPenalty, maxPenalty, "a number from -100 to 100"));
  command
      .add_option("--presence-penalty", options.presencePenalty,
                  "Subtract F from the logits of recent tokens once, -100 to 100 (default: 0)")
      ->type_name("F")
      ->check(numberWithin(-maxPenalty, maxPenalty, "a number from -100 to 100"));
  command
      .add_option("--repeat-last-n", options.penaltyWindow,
                  "Recent tokens of prompt and text that the penalties look at; -1: all "
                  "(default: 64)")
      ->type_name("N")
      ->check(CLI::Range(int64_t(-1), int64_t(maxContext)).description(""));
  command
      .add_option_function<std::vector<std::string>>(
          "--logit-bias",
          [&options](const std::vector<std::string> &texts) {
            for (const std::string &text : texts)
              options.logitBiases.push_back(parseLogitBias(text));
          },
          "Add a number to a token's logit: 15043+1 or 15043-2.5; 15043-inf excludes the token; "
          "numbers up to 1e6, up to 512 times")
      ->type_name("TOKEN(+/-)BIAS")
      ->allow_extra_args(false);
}

} // namespace

std::vector<std::string> EngineOptions::inputs() const {
  std::vector<std::string> result = {model};
  if (!requireKey.empty())
    result.insert(result.end(), {requireKey, signatureName(model)});
  return result;
}

void SamplingOptions::requireConsistent() const {
  if (penaltyWindow && repetitionPenalty == 1 && frequencyPenalty == 0 && presencePenalty == 0)
    throw CLI::ValidationError("--repeat-last-n",
                               "has no effect without --repeat-penalty, --frequency-penalty or "
                               "--presence-penalty");
  if (logitBiases.size() > TERN_MAX_LOGIT_BIASES)
    throw CLI::ValidationError(
        "--logit-bias", "can be given at most " + std::to_string(TERN_MAX_LOGIT_BIASES) + " times");
  if (shiftKeep && !contextShift)
    throw CLI::ValidationError("--keep", "has no effect without --context-shift");
  if (stops.size() > TERN_MAX_STOP_STRINGS)
    throw CLI::ValidationError("--stop", "can be given at most " +
                                             std::to_string(TERN_MAX_STOP_STRINGS) + " times");
  for (const std::string &text : stops)
    if (text.empty() || text.size() > TERN_MAX_STOP_STRING_BYTES)
      throw CLI::ValidationError("--stop", "a text has " + std::to_string(text.size()) +
                                               " bytes, expected 1 to " +
                                               std::to_string(TERN_MAX_STOP_STRING_BYTES));
}

void SamplingOptions::noteOptionsWithoutEffect() const {
  if (temperature != 0)
    return;
  std::string names;
  const auto add = [&](bool given, const char *name) {
    if (given)
      names += std::string(names.empty() ? "" : ", ") + name;
  };
  add(topK.has_value(), "--top-k");
  add(topP.has_value(), "--top-p");
  add(minP.has_value(), "--min-p");
  add(seed.has_value(), "--seed");
  if (!names.empty())
    std::fprintf(stderr, "tern: -t 0 always takes the most likely token; without effect: %s\n",
                 names.c_str());
}

GenerateOptions::GenerateOptions(const SamplingOptions &sampling)
    : biases(sampling.logitBiases), stopTexts(sampling.stops) {
  value.max_tokens = sampling.maxTokens;
  value.temperature = sampling.temperature;
  value.top_p = sampling.topP.value_or(defaultTopP);
  value.top_k = sampling.topK.value_or(0);
  value.min_p = sampling.minP.value_or(0);
  value.seed = sampling.seed.value_or(0);
  value.repetition_penalty = sampling.repetitionPenalty;
  value.frequency_penalty = sampling.frequencyPenalty;
  value.presence_penalty = sampling.presencePenalty;
  if (sampling.penaltyWindow)
    value.penalty_window =
        *sampling.penaltyWindow < 0 ? UINT32_MAX : uint32_t(*sampling.penaltyWindow);
  value.logit_biases = biases.data();
  value.logit_bias_count = biases.size();
  for (const std::string &text : stopTexts)
    stopPointers.push_back(text.c_str());
  value.stop_strings = stopPointers.data();
  value.stop_string_count = stopPointers.size();
  value.context_shift = sampling.contextShift;
  value.shift_keep = sampling.shiftKeep.value_or(0);
  value.logprobs = sampling.logprobs.has_value();
  value.top_logprobs = sampling.logprobs.value_or(0);
}

std::string weightsText(const WeightsChoice &weights) {
  const std::string size =
      weights.mode == TERN_WEIGHTS_STREAM ? ":" + std::to_string(weights.streamBytes) : "";
  return weightsName(weights.mode) + size;
}

static_assert(TERN_MAX_LOGIT_BIASES == 512 && TERN_MAX_STOP_STRINGS == 16 &&
                  TERN_MAX_STOP_STRING_BYTES == 256,
              "the help and docs/command-line.md have these numbers");

CLI::Validator requireName() {
  return CLI::Validator(
      [](std::string &text) {
        return text.empty() ? std::string("needs the name of a file") : std::string();
      },
      "");
}

CLI::Validator requireOutputName() {
  return CLI::Validator(
      [](std::string &text) -> std::string {
        if (text.empty())
          return "needs the name of a file";
        if (text == "-")
          return "'-' is no file; write /dev/stdout for standard output";
        return {};
      },
      "");
}

void addModelArgument(CLI::App &command, std::string &model) {
  command.add_option("MODEL", model, "Compiled model, a .tern file")
      ->required()
      ->type_name("")
      ->check(requireName());
}

void addThreadsOption(CLI::App &command, uint32_t &threads) {
  command
      .add_option("--threads", threads,
                  "Threads that compute, 1 to 1024 (default: the CPUs this process may run on)")
      ->type_name("N")
      ->check(CLI::Range(1u, maxThreads).description(""));
}

void addPinOption(CLI::App &command, bool &pin) {
  command.add_flag("--pin", pin,
                   "Pin each of these threads to a CPU of its own, one of each core first; an "
                   "error if there are more threads than CPUs (Linux only)");
}

void addContextOption(CLI::App &command, uint32_t &context) {
  command
      .add_option("--context", context,
                  "Positions to make room for, in tokens (default: the smaller of the model's "
                  "length and 4096)")
      ->type_name("N")
      ->check(CLI::Range(1u, maxContext).description(""));
}

void addWeightsOption(CLI::App &command, WeightsChoice &weights) {
  command
      .add_option_function<std::string>(
          "--weights", [&weights](const std::string &text) { weights = parseWeights(text); },
          "auto (default): the runtime chooses; map: used where the file is mapped; copy: read "
          "into 2 MB pages; stream:SIZE: at most SIZE bytes of them in memory (600M, 1.5G), the "
          "rest read again in every step")
      ->type_name("auto|map|copy|stream:SIZE");
}

void addRequireKeyOption(CLI::App &command, std::string &key) {
  command
      .add_option("--require-key", key,
                  "Refuse the model unless MODEL.tern.sig is a signature of it by this Ed25519 "
                  "public key (PEM); code and all weights are checked before anything is used")
      ->type_name("FILE")
      ->check(requireName());
}

void addEngineOptions(CLI::App &command, EngineOptions &options) {
  addModelArgument(command, options.model);
  addContextOption(command, options.context);
  addThreadsOption(command, options.threads);
  addPinOption(command, options.pin);
  addWeightsOption(command, options.weights);
  addRequireKeyOption(command, options.requireKey);
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
                  "Temperature, 0 to 100; 0: always the most likely token, whatever --top-p, "
                  "--top-k, --min-p and --seed say (default: 0.7)")
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
      .add_option("--min-p", options.minP,
                  "Of these sample among the tokens at least P times as likely as the most likely "
                  "one, 0 to 1; 0: all (default: 0)")
      ->type_name("P")
      ->check(numberWithin(0, 1, "a number from 0 to 1"));
  addPenaltyOptions(command, options);
  command
      .add_option(
          "--stop", options.stops,
          "End before this text, wherever it appears in the answer; up to 16 times, of at most "
          "256 bytes each")
      ->type_name("TEXT")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      .add_option("--seed", options.seed,
                  "Start of the random numbers, a whole number; the same seed gives the same text "
                  "(default: 0)")
      ->type_name("S")
      ->check(seedNumber());
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
