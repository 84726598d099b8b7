// Options that several subcommands share, and the checks CLI11 has no validator for.
#ifndef TERN_TOOLS_TERN_OPTIONS_H
#define TERN_TOOLS_TERN_OPTIONS_H

#include "runtime/core/KernelABI.h"
#include "tern/tern.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tern::cli {

/// Most positions any option asks for, those of any model; a model's own limit is checked when it
/// is open.
inline constexpr uint32_t maxContext = TERN_MAX_POSITIONS;

/// Where weights lie while a model runs.
struct WeightsChoice {
  tern_weights_mode mode = TERN_WEIGHTS_AUTO;
  uint64_t streamBytes = 0; ///< of TERN_WEIGHTS_STREAM
};

/// The model file and how it is executed.
struct EngineOptions {
  std::string model;
  uint32_t threads = 0; ///< 0: the CPUs this process may run on
  bool pin = false;     ///< each of them to a CPU
  uint32_t context = 0; ///< 0: the smaller of the model's length and 4096
  WeightsChoice weights;
  std::string requireKey; ///< public key file that must fit the model's signature; empty: none

  /// All files that are read: no output may replace them.
  std::vector<std::string> inputs() const;
};

/// How the next token is chosen, and when to stop.
struct SamplingOptions {
  uint32_t maxTokens = 0; ///< 0: until an end token or a full context
  float temperature = 0.7f;
  std::optional<float> topP;    ///< 0.9 if not given
  std::optional<uint32_t> topK; ///< 0: all
  std::optional<float> minP;    ///< 0: all
  std::optional<uint64_t> seed; ///< 0
  float repetitionPenalty = 1;
  float frequencyPenalty = 0;
  float presencePenalty = 0;
  std::optional<int64_t> penaltyWindow; ///< -1: the whole history
  std::vector<tern_logit_bias> logitBiases;
  std::vector<std::string> stops;
  bool contextShift = false;
  std::optional<uint32_t> shiftKeep;
  std::optional<uint32_t> logprobs; ///< most likely tokens to report beside the chosen one

  /// Throws CLI::ValidationError for options that have no effect without others.
  void requireConsistent() const;
  /// Temperature 0 leaves nothing to draw. Options about drawing are no error there, as in other
  /// programs; one line on stderr names those that were given.
  void noteOptionsWithoutEffect() const;
};

/// tern_generate_options with what they point to.
class GenerateOptions {
public:
  explicit GenerateOptions(const SamplingOptions &sampling);
  GenerateOptions(const GenerateOptions &) = delete;
  GenerateOptions &operator=(const GenerateOptions &) = delete;

  tern_generate_options value = TERN_GENERATE_OPTIONS_INIT;

private:
  std::vector<tern_logit_bias> biases;
  std::vector<std::string> stopTexts;
  std::vector<const char *> stopPointers;
};

/// For options that name a file: empty names would be taken for an absent option.
CLI::Validator requireName();
/// For options that name a file to write: '-' would be a file of this name, too.
CLI::Validator requireOutputName();
void addModelArgument(CLI::App &command, std::string &model);
void addThreadsOption(CLI::App &command, uint32_t &threads);
void addPinOption(CLI::App &command, bool &pin);
void addContextOption(CLI::App &command, uint32_t &context);
void addWeightsOption(CLI::App &command, WeightsChoice &weights);
void addRequireKeyOption(CLI::App &command, std::string &key);
/// All six of the above.
void addEngineOptions(CLI::App &command, EngineOptions &options);
void addSamplingOptions(CLI::App &command, SamplingOptions &options, uint32_t defaultMaxTokens);

/// "1,2,3" as token ids; throws CLI::ValidationError. Empty text gives no tokens.
std::vector<int32_t> parseTokens(const std::string &text);
/// The option's spelling of a choice.
std::string weightsText(const WeightsChoice &weights);

} // namespace tern::cli

#endif
