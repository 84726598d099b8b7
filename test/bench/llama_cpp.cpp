// Measures llama.cpp through its C interface, for compare.py: JSON on standard output. A program in
// C++, so that a process's start and memory are those of the library and of nothing else.
//
//   llama_cpp MODEL threads=2 prompt=128 generate=32 runs=3 latency=0 context=4096 repack=1
//   llama_cpp MODEL first=1 ...      evaluates one token, writes one byte and ends
//
// Speeds are tokens/s, a value a run after one run of warm-up; steps choose the most likely token.
#include <llama.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

[[noreturn]] void fail(const char *what) {
  std::fprintf(stderr, "llama_cpp: %s\n", what);
  std::exit(1);
}

struct Engine {
  llama_model *model;
  llama_context *context;
  int vocabulary;

  /// Evaluates tokens behind those the context holds; gives the most likely next one.
  llama_token evaluate(llama_token *tokens, size_t count) {
    if (llama_decode(context, llama_batch_get_one(tokens, int32_t(count))) != 0)
      fail("llama_decode failed");
    const float *logits = llama_get_logits_ith(context, -1);
    return llama_token(std::max_element(logits, logits + vocabulary) - logits);
  }
  void truncate(int position) {
    if (!llama_memory_seq_rm(llama_get_memory(context), 0, position, -1))
      fail("cannot truncate the context");
  }
};

Engine load(const char *path, std::map<std::string, int> &options) {
  llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
  llama_model_params modelOptions = llama_model_default_params();
  modelOptions.use_extra_bufts = options["repack"] != 0;
  Engine engine;
  engine.model = llama_model_load_from_file(path, modelOptions);
  if (!engine.model)
    fail("cannot load the model");
  llama_context_params contextOptions = llama_context_default_params();
  contextOptions.n_ctx = uint32_t(options["context"]);
  contextOptions.n_batch = std::max(512u, std::min(2048u, contextOptions.n_ctx));
  contextOptions.n_threads = contextOptions.n_threads_batch = options["threads"];
  engine.context = llama_init_from_model(engine.model, contextOptions);
  if (!engine.context)
    fail("cannot make a context");
  engine.vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(engine.model));
  return engine;
}

long peakResidentKilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0)
      return std::atol(line.c_str() + 6);
  return 0;
}

void print(const char *name, const std::vector<double> &values, const char *end) {
  std::printf("\"%s\": [", name);
  for (size_t i = 0; i < values.size(); ++i)
    std::printf("%s%.6g", i ? ", " : "", values[i]);
  std::printf("]%s", end);
}

} // namespace

int main(int argc, char **argv) {
  const Clock::time_point start = Clock::now();
  std::map<std::string, int> options{{"threads", 1}, {"prompt", 128}, {"generate", 32},
                                     {"runs", 3},    {"latency", 0},  {"context", 4096},
                                     {"repack", 1},  {"first", 0}};
  if (argc < 2)
    fail("needs a model");
  for (int i = 2; i < argc; ++i) {
    const char *equals = std::strchr(argv[i], '=');
    const std::string name(argv[i], equals ? size_t(equals - argv[i]) : std::strlen(argv[i]));
    if (!equals || !options.count(name))
      fail((std::string("unknown option ") + argv[i]).c_str());
    options[name] = std::atoi(equals + 1);
  }
  Engine engine = load(argv[1], options);
  const double loadMs = milliseconds(Clock::now() - start);
  std::mt19937 random(1);
  std::vector<llama_token> prompt(size_t(options["first"] ? 1 : options["prompt"]));
  for (llama_token &token : prompt)
    token = llama_token(random() % unsigned(engine.vocabulary));
  if (options["first"]) {
    engine.evaluate(prompt.data(), 1);
    std::fputc('x', stdout);
    return 0;
  }

  std::vector<double> prefill, decode, steps;
  for (int run = 0; run <= options["runs"]; ++run) {
    engine.truncate(0);
    const Clock::time_point begin = Clock::now();
    llama_token token = engine.evaluate(prompt.data(), prompt.size());
    const Clock::time_point middle = Clock::now();
    for (int i = 0; i < options["generate"]; ++i)
      token = engine.evaluate(&token, 1);
    if (run == 0)
      continue; // warm-up
    prefill.push_back(double(prompt.size()) * 1e3 / milliseconds(middle - begin));
    if (options["generate"])
      decode.push_back(options["generate"] * 1e3 / milliseconds(Clock::now() - middle));
  }
  for (int i = 0; i < options["latency"]; ++i) {
    engine.truncate(int(prompt.size()));
    llama_token token = prompt[size_t(i) % prompt.size()];
    const Clock::time_point begin = Clock::now();
    engine.evaluate(&token, 1);
    steps.push_back(milliseconds(Clock::now() - begin));
  }
  std::printf("{");
  print("prefill", prefill, ", ");
  print("decode", decode, ", ");
  print("latency_ms", steps, ", ");
  std::printf("\"load_ms\": %.6g, \"peak_resident_bytes\": %ld}\n", loadMs,
              peakResidentKilobytes() * 1024);
  return 0;
}
