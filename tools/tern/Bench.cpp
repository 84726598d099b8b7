// tern bench: speed of prefill and of single-token steps, start-up time and memory.
//
// Each run is a generation through the same calls as `tern run`: prompt of random token ids, first
// token, then timed single-token steps. The start of a process is measured on a process: `tern run`
// is started with a one-token prompt and timed from before its creation to its first output.
#include "tools/tern/BenchKernels.h"
#include "tools/tern/Generate.h"
#include "tools/tern/InputError.h"
#include "tools/tern/MemoryUse.h"
#include "tools/tern/OutputFile.h"
#include "tools/tern/Stream.h"
#include "tools/tern/Subcommands.h"
#include "tools/tern/Trace.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

extern char **environ;

namespace tern::cli {

namespace {

using Json = nlohmann::ordered_json;

struct BenchOptions {
  EngineOptions engine;
  uint32_t prompt = 128, generate = 32, runs = 5;
  uint32_t latencySteps = 0; ///< 0: the latency is that of the generated tokens
  std::string json, trace;
  bool kernels = false;
};

uint32_t availableCpus() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
    return uint32_t(CPU_COUNT(&allowed));
  return std::thread::hardware_concurrency();
}

struct Measurement {
  Samples promptRate, generateRate; ///< tokens/s, one value a run
  Samples promptToFirstTokenMs;     ///< one value a run
  Samples startToFirstTokenMs;      ///< one value a run
  Samples stepMs;                   ///< every step of every run, or those at one position
  double loadMs = 0;                ///< model and session
  uint64_t peakPrivateBytes = 0;
};

std::vector<int32_t> randomTokens(size_t count, uint32_t vocabulary) {
  std::mt19937_64 random(1); // NOLINT(bugprone-random-generator-seed): the same tokens every time
  std::vector<int32_t> tokens(count);
  for (int32_t &token : tokens)
    token = int32_t(random() % vocabulary);
  return tokens;
}

/// Milliseconds from before the creation of a process that runs `arguments` to its first byte on
/// standard output.
double firstOutputMs(std::vector<std::string> arguments, const std::string &model) {
  int ends[2];
  if (pipe(ends) != 0)
    throw InputError("pipe", std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  posix_spawn_file_actions_addclose(&actions, ends[1]);
  std::vector<char *> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string &argument : arguments)
    argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  const Clock::time_point before = Clock::now();
  const int failure =
      posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  char byte;
  const bool answered = failure == 0 && read(ends[0], &byte, 1) == 1;
  const double elapsed = milliseconds(Clock::now() - before);
  while (answered && read(ends[0], &byte, 1) == 1)
    ;
  close(ends[0]);
  if (failure != 0)
    throw InputError("/proc/self/exe", std::string("cannot start: ") + std::strerror(failure));
  int status = 0;
  waitpid(child, &status, 0);
  if (!answered || status != 0)
    throw InputError(model, "'tern run' failed while its start was measured");
  return elapsed;
}

std::vector<std::string> startCommand(const BenchOptions &options, uint32_t context) {
  std::vector<std::string> command = {"tern", "run", "--tokens", "0", "-n", "1", "-t", "0"};
  command.push_back("--context=" + std::to_string(context));
  command.push_back("--weights=" + weightsText(options.engine.weights));
  if (options.engine.threads)
    command.push_back("--threads=" + std::to_string(options.engine.threads));
  if (options.engine.pin)
    command.push_back("--pin");
  if (!options.engine.requireKey.empty())
    command.push_back("--require-key=" + options.engine.requireKey);
  command.push_back("--");
  command.push_back(options.engine.model);
  return command;
}

/// Single tokens evaluated behind the prompt, all at the same position; each is the most likely one
/// behind its predecessor.
Samples stepsAtOnePosition(const BenchOptions &options, const Model &model, tern_session *session,
                           const std::vector<int32_t> &prompt) {
  tern_error error = TERN_ERROR_INIT;
  // Layers with a window have dropped what the generations before went past.
  check(tern_slot_truncate(session, 0, 0, &error), error, model.path());
  SamplingOptions greedy;
  greedy.temperature = 0;
  greedy.maxTokens = 1;
  generate(model, session, greedy, /*ignoreEnd=*/true, prompt, {});
  Samples steps;
  int32_t token = 0;
  for (uint32_t step = 0; step < options.latencySteps; ++step) {
    check(tern_slot_truncate(session, 0, options.prompt, &error), error, model.path());
    tern_batch batch = TERN_BATCH_INIT;
    batch.rows = 1;
    batch.tokens = &token;
    tern_logits logits = TERN_LOGITS_INIT;
    const Clock::time_point before = Clock::now();
    check(tern_forward(session, &batch, &logits, &error), error, model.path());
    const float *end = logits.logits + model.info().vocabulary_size;
    token = int32_t(std::max_element(logits.logits, end) - logits.logits);
    steps.add(milliseconds(Clock::now() - before));
  }
  return steps;
}

Measurement measure(const BenchOptions &options, const Model &model, uint32_t context,
                    Clock::time_point loadBegin) {
  const SessionHandle session = model.createSession(options.engine);
  const double loadMs = milliseconds(Clock::now() - loadBegin);
  const std::vector<int32_t> prompt = randomTokens(options.prompt, model.info().vocabulary_size);
  SamplingOptions greedy;
  greedy.temperature = 0;
  greedy.maxTokens = options.generate + 1; // the first token belongs to the prompt's time

  Measurement result;
  result.loadMs = loadMs;
  for (uint32_t run = 0; run <= options.runs; ++run) {
    tern_error error = TERN_ERROR_INIT;
    check(tern_slot_truncate(session.get(), 0, 0, &error), error, model.path());
    const GenerationRecord record =
        generate(model, session.get(), greedy, /*ignoreEnd=*/true, prompt, {});
    if (run == 0)
      continue; // warm-up
    result.promptRate.add(double(options.prompt) * 1000 / record.promptMs);
    result.promptToFirstTokenMs.add(record.promptMs);
    if (options.generate > 0)
      result.generateRate.add(double(options.generate) * 1000 / record.stepMsSum);
    if (options.latencySteps == 0)
      result.stepMs.add(record.stepMs);
  }
  if (options.latencySteps > 0)
    result.stepMs = stepsAtOnePosition(options, model, session.get(), prompt);
  result.peakPrivateBytes = privateBytes(); // a session's memory only grows
  for (uint32_t run = 0; run < options.runs; ++run)
    result.startToFirstTokenMs.add(firstOutputMs(startCommand(options, context), model.path()));
  return result;
}

Json rateJson(uint32_t tokens, const Samples &rate) {
  Json result{{"tokens", tokens}, {"tokens_per_second", nullptr}};
  if (!rate.empty())
    result["tokens_per_second"] = {
        {"median", rate.median()}, {"min", rate.min()}, {"max", rate.max()}};
  return result;
}

Json toJson(const BenchOptions &options, const Model &model, uint32_t threads,
            const Measurement &measured) {
  Json latency;
  if (!measured.stepMs.empty())
    latency = {{"p50", measured.stepMs.percentile(50)},
               {"p99", measured.stepMs.percentile(99)},
               {"max", measured.stepMs.max()}};
  return {{"model", model.path()},
          {"target", model.info().target},
          {"threads", threads},
          {"pinned", options.engine.pin},
          {"context", model.contextFor(options.engine.context)},
          {"runs", options.runs},
          {"prompt", rateJson(options.prompt, measured.promptRate)},
          {"generate", rateJson(options.generate, measured.generateRate)},
          {"prompt_to_first_token_ms", measured.promptToFirstTokenMs.median()},
          {"start_to_first_token_ms", measured.startToFirstTokenMs.median()},
          {"token_latency_ms", latency},
          {"load_ms", measured.loadMs},
          {"weight_bytes_per_token", model.info().weight_bytes_per_token},
          {"peak_resident_bytes", peakResidentBytes()},
          {"peak_private_bytes", measured.peakPrivateBytes},
          {"mapped_weight_bytes", model.info().mapped_weight_bytes}};
}

/// The engine's options with the number of threads that a session then has.
EngineOptions withThreads(EngineOptions engine, uint32_t threads) {
  engine.threads = threads;
  return engine;
}

Json kernelsJson(const BenchOptions &options, const Model &model, uint32_t threads) {
  KernelBenchOptions kernels;
  kernels.engine = withThreads(options.engine, threads);
  // The last position that --prompt and --generate reach has room for one more row.
  kernels.position = options.generate > 0 ? options.prompt : options.prompt - 1;
  kernels.singleRows = options.runs * std::max(1u, options.generate);
  kernels.batches = options.runs;
  return benchKernels(model, kernels);
}

void printTable(const Json &json) {
  const auto line = [](const char *label, const std::string &text) {
    writeStandardOutput(formatText("%-22s%s\n", label, text.c_str()));
  };
  const auto rate = [&](const char *label, const Json &value) {
    const Json &speed = value["tokens_per_second"];
    if (!speed.is_null())
      line(label, formatText("%u tokens: %.1f tokens/s (%.1f to %.1f)",
                             value["tokens"].get<unsigned>(), speed["median"].get<double>(),
                             speed["min"].get<double>(), speed["max"].get<double>()));
  };
  line("threads", formatText("%u%s, %s", json["threads"].get<unsigned>(),
                             json["pinned"].get<bool>() ? " pinned" : "",
                             json["target"].get<std::string>().c_str()));
  rate("prompt", json["prompt"]);
  rate("generate", json["generate"]);
  line("prompt to first token",
       formatText("%.2f ms", json["prompt_to_first_token_ms"].get<double>()));
  line("load", formatText("%.2f ms", json["load_ms"].get<double>()));
  line("start to first token",
       formatText("%.2f ms", json["start_to_first_token_ms"].get<double>()));
  if (const Json &latency = json["token_latency_ms"]; !latency.is_null()) {
    const double p50 = latency["p50"], p99 = latency["p99"], max = latency["max"];
    line("token latency", formatText("P50 %.3f ms, P99 %.3f ms, P99/P50 %.2f, maximum %.3f ms", p50,
                                     p99, p99 / p50, max));
  }
  line("weights per token", bytesText(json["weight_bytes_per_token"].get<uint64_t>()));
  line("memory", "peak " + bytesText(json["peak_resident_bytes"].get<uint64_t>()) + " resident, " +
                     bytesText(json["peak_private_bytes"].get<uint64_t>()) + " private; " +
                     bytesText(json["mapped_weight_bytes"].get<uint64_t>()) + " of weights mapped");
  if (json.contains("kernels"))
    printKernels(json["kernels"]);
}

void bench(const BenchOptions &options) {
  if (options.kernels && options.engine.weights.mode == TERN_WEIGHTS_STREAM)
    throw CLI::ValidationError("--kernels", "measures kernels on weights that lie in memory; use "
                                            "it with --weights=map or copy");
  if (!options.json.empty() && options.json != "-" && !options.trace.empty() &&
      leadToOneFile(options.json, options.trace))
    throw CLI::ValidationError("--json", "names the file of --trace");
  const Clock::time_point loadBegin = Clock::now();
  const Model model(options.engine.model, options.engine.weights, options.engine.requireKey);
  const uint32_t context = model.contextFor(options.engine.context);
  const uint32_t steps = std::max(options.generate, std::min(1u, options.latencySteps));
  if (uint64_t(options.prompt) + steps > context)
    throw InputError(
        model.path(),
        formatText("a prompt of %u tokens and %u steps behind it do not fit a context of %u "
                   "positions; make --prompt or --generate shorter or raise --context",
                   options.prompt, steps, context));
  // Before the measurement: what cannot be written should not cost its time.
  std::optional<OutputFile> trace, figures;
  if (!options.trace.empty()) {
    requireNoInput(options.trace, options.engine.inputs());
    trace.emplace(options.trace);
  }
  if (!options.json.empty() && options.json != "-") {
    requireNoInput(options.json, options.engine.inputs());
    figures.emplace(options.json);
  }
  const Measurement measured = measure(options, model, context, loadBegin);
  const uint32_t threads = options.engine.threads ? options.engine.threads : availableCpus();
  Json json = toJson(options, model, threads, measured);
  if (options.kernels)
    json["kernels"] = kernelsJson(options, model, threads);
  if (trace)
    writeTrace(*trace, model, withThreads(options.engine, threads),
               randomTokens(options.prompt, model.info().vocabulary_size), options.generate);
  // The name of a file may be any bytes; JSON is UTF-8.
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  if (options.json == "-")
    return writeStandardOutput(text);
  if (figures) {
    figures->write(text.data(), text.size());
    figures->commit();
  }
  printTable(json);
}

} // namespace

void addBench(CLI::App &program) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App *command = program.add_subcommand("bench", "Measure speed, start-up time and memory");
  command->footer(
      "Random token ids, one untimed warm-up, then the timed runs; medians over them. An end "
      "token\n"
      "does not stop a run. start_to_first_token_ms is that of a new process with a prompt of one\n"
      "token, prompt_to_first_token_ms that of --prompt tokens in a running one.");
  addEngineOptions(*command, options->engine);
  command
      ->add_option("--prompt", options->prompt,
                   "Tokens of the prompt; their time includes choosing the first token "
                   "(default: 128)")
      ->type_name("N")
      ->check(CLI::Range(1u, maxContext).description(""));
  command
      ->add_option("--generate", options->generate,
                   "Single-token steps timed after the prompt; 0: none (default: 32)")
      ->type_name("N");
  command
      ->add_option(
          "--latency", options->latencySteps,
          "Time N single-token steps at one position, behind the prompt, and report their "
          "latency in place of that of the generated tokens, whose position grows; 0: none "
          "(default: 0)")
      ->type_name("N");
  command->add_option("--runs", options->runs, "Timed runs (default: 5)")
      ->type_name("N")
      ->check(CLI::Range(1u, 1000000u).description(""));
  command->add_flag(
      "--kernels", options->kernels,
      "Time each kernel inside of single rows and of the largest batches; report what "
      "it reads and computes, and how near it comes to the read bandwidth and the "
      "arithmetic peak, which are measured too");
  command
      ->add_option("--trace", options->trace,
                   "Write one generation more to FILE as a Chrome trace (Perfetto opens it): the "
                   "kernels of each token on each thread")
      ->type_name("FILE")
      ->check(requireOutputName());
  command
      ->add_option("--json", options->json,
                   "Write the figures to FILE too; '-': to stdout instead of the table")
      ->type_name("FILE")
      ->check(requireName());
  command->callback([options] { bench(*options); });
}

} // namespace tern::cli
