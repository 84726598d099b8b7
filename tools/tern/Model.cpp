#include "tools/tern/Model.h"
#include "tools/tern/InputError.h"
#include "tools/tern/Signature.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace tern::cli {

namespace {

void printWarning(void *, tern_log_level level, const char *message) {
  if (level == TERN_LOG_WARNING)
    std::fprintf(stderr, "tern: warning: %s\n", message);
}

/// Calls a function that stores a sequence, first with room for `guess` elements, again if that
/// was too little. `call(data, capacity, &count, &error)` is one of the C interface's.
template <typename Container, typename Call>
Container storeSequence(size_t guess, const std::string &object, Call call) {
  Container result;
  result.resize(guess);
  tern_error error = TERN_ERROR_INIT;
  size_t count = 0;
  tern_status status = call(result.data(), result.size(), &count, &error);
  if (status == TERN_BUFFER_TOO_SMALL) {
    result.resize(count);
    status = call(result.data(), result.size(), &count, &error);
  }
  check(status, error, object);
  result.resize(count);
  return result;
}

} // namespace

void check(tern_status status, const tern_error &error, const std::string &object) {
  if (status == TERN_OK)
    return;
  // Functions that take a path begin their message with its last 80 bytes; here it is named whole.
  std::string_view message = error.message[0] ? error.message : tern_status_name(status);
  const std::string end = object.substr(object.size() - std::min<size_t>(object.size(), 80)) + ": ";
  if (message.starts_with(end))
    message.remove_prefix(end.size());
  throw InputError(object, std::string(message));
}

RuntimeHandle createRuntime() {
  tern_runtime_options options = TERN_RUNTIME_OPTIONS_INIT;
  options.log = printWarning;
  tern_error error = TERN_ERROR_INIT;
  tern_runtime *runtime = nullptr;
  check(tern_runtime_create(&options, &runtime, &error), error, "runtime");
  return RuntimeHandle(runtime);
}

FileDescriptor::FileDescriptor(const std::string &path)
    : descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) { // a pipe would wait
  if (descriptor < 0)
    throw InputError(path, std::string("cannot open: ") + std::strerror(errno));
  struct stat info;
  const bool regular = fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode);
  if (!regular) {
    close(descriptor);
    throw InputError(path, "not a regular file; give one");
  }
  bytes = uint64_t(info.st_size);
}

FileDescriptor::~FileDescriptor() { close(descriptor); }

void requireReadableFile(const std::string &path) { const FileDescriptor file(path); }

void requireSigned(tern_runtime *runtime, const FileDescriptor &file, const std::string &path,
                   const std::string &keyFile) {
  requireSignature(file.get(), path, keyFile);
  tern_error error = TERN_ERROR_INIT;
  check(tern_verify_fd(runtime, file.get(), 0, file.size(), &error), error, path);
}

Model::Model(std::string path, const WeightsChoice &weights, const std::string &requireKey)
    : name(std::move(path)), runtime(createRuntime()) {
  const FileDescriptor file(name); // one for all: another file may take the name in between
  if (!requireKey.empty())
    requireSigned(runtime.get(), file, name, requireKey);
  tern_model_options options = TERN_MODEL_OPTIONS_INIT;
  options.weights = weights.mode;
  options.stream_bytes = weights.streamBytes;
  tern_error error = TERN_ERROR_INIT;
  tern_model *loaded = nullptr;
  check(tern_model_load_fd(runtime.get(), file.get(), 0, file.size(), &options, &loaded, &error),
        error, name);
  model.reset(loaded);
  check(tern_model_get_info(loaded, &figures, &error), error, name);
}

uint32_t Model::contextFor(uint32_t requested) const {
  return requested ? requested : std::min(figures.context_length, defaultContext);
}

SessionHandle Model::createSession(const EngineOptions &options, uint32_t slots) const {
  tern_session_options settings = TERN_SESSION_OPTIONS_INIT;
  settings.slots = slots;
  settings.context = contextFor(options.context);
  settings.threads = options.threads;
  settings.flags = options.pin ? TERN_SESSION_PIN_THREADS : 0;
  tern_error error = TERN_ERROR_INIT;
  tern_session *session = nullptr;
  check(tern_session_create(model.get(), &settings, &session, &error), error, name);
  return SessionHandle(session);
}

tern_memory_estimate Model::estimate(uint32_t context, uint32_t threads) const {
  tern_session_options settings = TERN_SESSION_OPTIONS_INIT;
  settings.context = contextFor(context);
  settings.threads = threads;
  tern_memory_estimate result = TERN_MEMORY_ESTIMATE_INIT;
  tern_error error = TERN_ERROR_INIT;
  check(tern_session_estimate(model.get(), &settings, &result, &error), error, name);
  return result;
}

std::vector<int32_t> Model::tokenize(std::string_view text, uint32_t flags) const {
  return storeSequence<std::vector<int32_t>>(
      text.size() + 8, name, [&](int32_t *data, size_t capacity, size_t *count, tern_error *error) {
        return tern_tokenize(model.get(), text.data(), text.size(), flags, data, capacity, count,
                             error);
      });
}

std::string Model::detokenize(const std::vector<int32_t> &tokens) const {
  return storeSequence<std::string>(
      tokens.size() * 8 + 64, name,
      [&](char *data, size_t capacity, size_t *size, tern_error *error) {
        return tern_detokenize(model.get(), tokens.data(), tokens.size(), data, capacity, size,
                               error);
      });
}

std::vector<int32_t> Model::chatTokens(const std::vector<tern_chat_message> &messages) const {
  size_t guess = 256;
  for (const tern_chat_message &message : messages)
    guess += std::strlen(message.content) + 32;
  return storeSequence<std::vector<int32_t>>(
      guess, name, [&](int32_t *data, size_t capacity, size_t *count, tern_error *error) {
        return tern_chat_tokenize(model.get(), messages.data(), messages.size(), data, capacity,
                                  count, error);
      });
}

void Model::requireTokens(const std::vector<int32_t> &tokens) const {
  for (const int32_t token : tokens)
    if (token < 0 || uint32_t(token) >= figures.vocabulary_size)
      throw InputError(name, "token " + std::to_string(token) + " is out of range; ids are 0 to " +
                                 std::to_string(figures.vocabulary_size - 1));
}

} // namespace tern::cli
