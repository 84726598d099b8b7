// The runtime runs the plan; after each call of a linear layer its input still lies where the call
// read it, and is summed there, row by row, on the one thread that runs the plan.
#include "compiler/Calibrate/ActivationStatistics.h"

#include "compiler/Kernels/ExpertRows.h"
#include "runtime/session/Handles.h"
#include "llvm/Support/Errno.h"
#include "llvm/Support/FileSystem.h"

#include <cmath>
#include <fcntl.h>
#include <unistd.h>

using llvm::ArrayRef;
using llvm::createStringError;
using llvm::Expected;
using llvm::StringRef;
using llvm::Twine;

namespace tern {
namespace {

constexpr uint32_t wholeChunk = 512;
/// Tokens below which the figures of a text say too little.
constexpr uint32_t fewestTokens = 128;

struct RuntimeDeleter {
  void operator()(tern_runtime *runtime) const { tern_runtime_destroy(&runtime); }
};
struct ModelDeleter {
  void operator()(tern_model *model) const { tern_model_destroy(&model); }
};
struct SessionDeleter {
  void operator()(tern_session *session) const { tern_session_destroy(&session); }
};

llvm::Error failure(tern_status status, const tern_error &error) {
  return createStringError("calibration: the float model cannot be run: " +
                           Twine(error.message[0] ? error.message : tern_status_name(status)));
}

/// A linear layer with its sums so far.
struct Layer {
  const LinearInput &input;
  ActivationSquares squares;
  bool seen = false; ///< in the call under way

  explicit Layer(const LinearInput &input) : input(input) {
    size_t parts = std::max(1u, input.experts);
    squares.columns = input.columns;
    squares.sums.resize(parts * input.columns);
    squares.rows.resize(parts);
  }

  void addRow(const float *row, size_t expert) {
    double *sums = squares.sums.data() + expert * input.columns;
    for (size_t k = 0; k < input.columns; ++k)
      sums[k] += double(row[k]) * double(row[k]);
    ++squares.rows[expert];
  }

  void addRows(const float *x, size_t count) {
    for (size_t row = 0; row < count; ++row)
      addRow(x + row * input.stride + input.first, 0);
    seen = true;
  }

  /// The rows of each expert, as their lists have them (compiler/Kernels/ExpertRows.h).
  void addExpertRows(const float *x, const int32_t *lists, size_t callRows) {
    ExpertRowsLayout layout(input.experts, input.used);
    const size_t pairs = callRows * input.used;
    for (unsigned c = 0; c < ExpertRowsLayout::classes; ++c) {
      const int32_t *pairOf = lists + layout.head() + pairs * ExpertRowsLayout::pairsAt[c];
      const int32_t *expertOf = lists + layout.head() + pairs * ExpertRowsLayout::expertsAt[c];
      const size_t block = ExpertRowsLayout::blockOf[c];
      for (size_t item = 0; item < size_t(lists[c]); ++item)
        for (size_t i = 0; i < block; ++i) {
          int32_t pair = pairOf[item * block + i];
          if (i > 0 && pair == pairOf[item * block])
            continue; // fills up the item
          size_t row = input.paired ? size_t(pair) : size_t(pair) / input.used;
          addRow(x + row * input.stride + input.first, size_t(expertOf[item]));
        }
    }
    seen = true;
  }
};

class TextRun {
public:
  TextRun(ArrayRef<LinearInput> inputs, const CalibrationText &text) : text(text) {
    for (const LinearInput &input : inputs)
      layers.emplace_back(input);
    for (Layer &layer : layers)
      byCommand[layer.input.command].push_back(&layer);
    // All that reads wanted rows reads the hidden states: the output layer need not be run.
    hiddenOnly = llvm::all_of(
        inputs, [](const LinearInput &input) { return !input.wanted || input.hidden; });
  }

  llvm::Error load(const std::string &path);
  llvm::Error tokenize();
  llvm::Error run(unsigned threads, llvm::function_ref<void(uint64_t, uint64_t)> progress);
  Expected<ActivationStatistics> statistics() const;

private:
  const CalibrationText &text;
  std::vector<Layer> layers;
  std::map<uint32_t, std::vector<Layer *>> byCommand;
  bool hiddenOnly;
  std::unique_ptr<tern_runtime, RuntimeDeleter> runtime;
  std::unique_ptr<tern_model, ModelDeleter> model;
  std::unique_ptr<tern_session, SessionDeleter> session;
  tern_model_info info = TERN_MODEL_INFO_INIT;
  std::vector<int32_t> tokens;
  uint32_t chunk = 0;
  size_t callRows = 0; ///< of the call under way; all are wanted

  Expected<std::vector<int32_t>> tokensOf(StringRef words, uint32_t flags) const;
  llvm::Error call(const int32_t *first, size_t rows);
  void observe(uint32_t command);
};

llvm::Error TextRun::load(const std::string &path) {
  tern_error error = TERN_ERROR_INIT;
  tern_runtime *newRuntime = nullptr;
  if (tern_status status = tern_runtime_create(nullptr, &newRuntime, &error))
    return failure(status, error);
  runtime.reset(newRuntime);
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return createStringError(path + ": cannot open: " + llvm::sys::StrError(errno));
  // The mapping keeps the bytes; without a name they go with this process, however it ends.
  (void)llvm::sys::fs::remove(path);
  tern_model_options options = TERN_MODEL_OPTIONS_INIT;
  options.weights = TERN_WEIGHTS_MAP;
  tern_model *newModel = nullptr;
  tern_status status = tern_model_load_fd(
      runtime.get(), file, 0, uint64_t(lseek(file, 0, SEEK_END)), &options, &newModel, &error);
  close(file);
  if (status)
    return failure(status, error);
  model.reset(newModel);
  if ((status = tern_model_get_info(model.get(), &info, &error)))
    return failure(status, error);
  return llvm::Error::success();
}

Expected<std::vector<int32_t>> TextRun::tokensOf(StringRef words, uint32_t flags) const {
  tern_error error = TERN_ERROR_INIT;
  std::vector<int32_t> result(words.size() + 8);
  size_t count = 0;
  tern_status status = tern_tokenize(model.get(), words.data(), words.size(), flags, result.data(),
                                     result.size(), &count, &error);
  if (status == TERN_BUFFER_TOO_SMALL) {
    result.resize(count);
    status = tern_tokenize(model.get(), words.data(), words.size(), flags, result.data(),
                           result.size(), &count, &error);
  }
  if (status)
    return createStringError(text.name + ": the text cannot be split into tokens: " +
                             (error.message[0] ? error.message : tern_status_name(status)));
  result.resize(count);
  return result;
}

llvm::Error TextRun::tokenize() {
  auto with = tokensOf("a", 0), without = tokensOf("a", TERN_TOKENIZE_NO_BOS);
  auto all = tokensOf(text.text, TERN_TOKENIZE_NO_BOS | TERN_TOKENIZE_NO_PARSE_SPECIAL);
  if (!with || !without || !all)
    return llvm::joinErrors(llvm::joinErrors(with.takeError(), without.takeError()),
                            all.takeError());
  tokens = std::move(*all);
  const bool begins = with->size() > without->size() &&
                      std::equal(without->begin(), without->end(), with->begin() + 1);
  if (begins)
    tokens.insert(tokens.begin(), with->front());
  const uint32_t whole = std::min(wholeChunk, info.context_length);
  const uint32_t fewest = std::min(fewestTokens, whole);
  if (tokens.size() < fewest)
    return createStringError(text.name + ": the text has " + Twine(tokens.size()) +
                             " tokens, too few for --calibration: give one of at least " +
                             Twine(fewest) + ", better some tens of thousands");
  chunk = uint32_t(std::min<size_t>(whole, tokens.size()));
  tokens.resize(tokens.size() / chunk * chunk);
  if (begins)
    for (size_t at = 0; at < tokens.size(); at += chunk)
      tokens[at] = with->front();
  return llvm::Error::success();
}

void TextRun::observe(uint32_t command) {
  auto found = byCommand.find(command);
  if (found == byCommand.end())
    return;
  void *const *buffers = session->session.callBuffers(command);
  for (Layer *layer : found->second) {
    const auto *x = static_cast<const float *>(buffers[layer->input.argument]);
    if (layer->input.experts)
      layer->addExpertRows(x, static_cast<const int32_t *>(buffers[layer->input.lists]), callRows);
    else
      layer->addRows(x, callRows * layer->input.times);
  }
}

llvm::Error TextRun::call(const int32_t *first, size_t rows) {
  const std::vector<uint8_t> wantAll(rows, 1);
  runtime::Batch batch;
  batch.rows = callRows = rows;
  batch.tokens = first;
  batch.want = wantAll.data();
  for (Layer &layer : layers)
    layer.seen = false;
  runtime::WantedRows result;
  Status status = session->session.forward(
      batch, &result, nullptr, hiddenOnly ? runtime::Output::hidden : runtime::Output::logits);
  if (!status.isOk()) {
    tern_error error = TERN_ERROR_INIT;
    tern_status code = runtime::report(status, &error);
    return failure(code, error);
  }
  for (Layer &layer : layers) {
    if (!layer.seen && layer.input.hidden)
      layer.addRows(result.data, result.rows);
    if (!layer.seen)
      return createStringError("calibration: the linear layer of '" + layer.input.weights.front() +
                               "' has not been run");
  }
  return llvm::Error::success();
}

llvm::Error TextRun::run(unsigned threads, llvm::function_ref<void(uint64_t, uint64_t)> progress) {
  tern_session_options options = TERN_SESSION_OPTIONS_INIT;
  options.context = chunk;
  options.threads = std::min(threads, runtime::ThreadPool::maxWorkers);
  tern_error error = TERN_ERROR_INIT;
  tern_session *newSession = nullptr;
  if (tern_status status = tern_session_create(model.get(), &options, &newSession, &error))
    return failure(status, error);
  session.reset(newSession);
  runtime::PlanObserver observer;
  observer.context = this;
  observer.ranCommand = [](void *context, uint32_t command, uint64_t, uint64_t) {
    static_cast<TextRun *>(context)->observe(command);
  };
  observer.ranTasks = [](void *, uint32_t, uint32_t, uint64_t, uint64_t) {};
  session->session.observe(&observer);
  const size_t most = std::min(info.max_batch, info.max_wanted);
  for (size_t at = 0; at < tokens.size();) {
    if (at % chunk == 0)
      if (tern_status status = tern_slot_truncate(session.get(), 0, 0, &error))
        return failure(status, error);
    const size_t rows = std::min(most, chunk - at % chunk);
    if (llvm::Error failed = call(tokens.data() + at, rows))
      return failed;
    at += rows;
    progress(at, tokens.size());
  }
  session.reset(); // before the observer
  return llvm::Error::success();
}

Expected<ActivationStatistics> TextRun::statistics() const {
  ActivationStatistics result;
  result.tokens = tokens.size();
  result.chunk = chunk;
  result.chunks = uint32_t(tokens.size() / chunk);
  for (const Layer &layer : layers)
    for (const std::string &name : layer.input.weights) {
      for (double sum : layer.squares.sums)
        if (!std::isfinite(sum))
          return createStringError("calibration: what weight '" + name +
                                   "' is multiplied with is not finite: the float model does not "
                                   "work on this text");
      auto [entry, isNew] = result.weights.try_emplace(name, layer.squares);
      if (isNew)
        continue;
      // A weight of several layers, such as one that all share.
      ActivationSquares &sum = entry->second;
      if (sum.sums.size() != layer.squares.sums.size() || sum.columns != layer.squares.columns)
        return createStringError("calibration: weight '" + name +
                                 "' is multiplied with rows of several sizes");
      for (auto [total, more] : llvm::zip_equal(sum.sums, layer.squares.sums))
        total += more;
      for (auto [total, more] : llvm::zip_equal(sum.rows, layer.squares.rows))
        total += more;
    }
  return result;
}

} // namespace

size_t ActivationSquares::unseenExperts() const { return size_t(llvm::count(rows, 0u)); }

std::vector<float> ActivationSquares::means() const {
  std::vector<float> result(sums.size());
  double total = 0;
  uint64_t seen = 0;
  for (auto [expert, count] : llvm::enumerate(rows)) {
    if (count == 0)
      continue;
    ++seen;
    for (size_t k = expert * columns; k < (expert + 1) * columns; ++k) {
      result[k] = float(sums[k] / double(count));
      total += double(result[k]);
    }
  }
  const float usual = total > 0 ? float(total / double(seen * columns)) : 1;
  for (auto [expert, count] : llvm::enumerate(rows))
    if (count == 0)
      std::fill_n(result.begin() + ptrdiff_t(expert * columns), columns, usual);
  return result;
}

Expected<ActivationStatistics>
gatherActivationStatistics(const std::string &path, ArrayRef<LinearInput> inputs,
                           const CalibrationText &text, unsigned threads,
                           llvm::function_ref<void(uint64_t, uint64_t)> progress) {
  TextRun run(inputs, text);
  if (llvm::Error error = run.load(path))
    return std::move(error);
  if (llvm::Error error = run.tokenize())
    return std::move(error);
  if (llvm::Error error = run.run(threads, progress))
    return std::move(error);
  return run.statistics();
}

} // namespace tern
