#include "tools/tern/PromptCache.h"
#include "tools/tern/InputError.h"
#include "tools/tern/OutputFile.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace tern::cli {

namespace {

constexpr const char *remedy = "; delete it, or give --prompt-cache another name";

struct FileCloser {
  void operator()(std::FILE *file) const { std::fclose(file); }
};

/// Null if there is no file. Only a regular file is read: opening a pipe, or reading a terminal,
/// would wait for somebody.
std::unique_ptr<std::FILE, FileCloser> openRegularFile(const std::string &path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0 && errno == ENOENT)
    return nullptr;
  if (descriptor < 0)
    throw InputError(path, std::string("cannot open: ") + std::strerror(errno));
  struct stat info;
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor);
    throw InputError(path, "not a regular file; give --prompt-cache another name");
  }
  std::unique_ptr<std::FILE, FileCloser> file(fdopen(descriptor, "rb"));
  if (!file) {
    close(descriptor);
    throw InputError(path, "cannot open: out of memory");
  }
  return file;
}

int readBytes(void *file, void *data, size_t size) {
  return std::fread(data, 1, size, static_cast<std::FILE *>(file)) == size ? 0 : 1;
}

/// Exceptions do not pass through the runtime: a failure waits here.
struct Target {
  OutputFile file;
  std::exception_ptr failure;
};

int writeBytes(void *context, const void *data, size_t size) {
  Target &target = *static_cast<Target *>(context);
  try {
    target.file.write(data, size);
    return 0;
  } catch (...) {
    target.failure = std::current_exception();
    return 1;
  }
}

} // namespace

void PromptCache::load(tern_session *session) {
  const std::unique_ptr<std::FILE, FileCloser> file = openRegularFile(path);
  if (!file)
    return;
  tern_error error = TERN_ERROR_INIT;
  if (tern_slot_load(session, 0, readBytes, file.get(), &error) != TERN_OK)
    throw InputError(path, std::string(error.message) + remedy);
  if (std::fgetc(file.get()) != EOF)
    throw InputError(path, std::string("the saved slot has something appended") + remedy);
  const int32_t *tokens = tern_slot_tokens(session, 0);
  loaded.assign(tokens, tokens + tern_slot_length(session, 0));
}

void PromptCache::save(tern_session *session, const std::vector<int32_t> &prompt) const {
  if (loaded.size() >= prompt.size() && std::equal(prompt.begin(), prompt.end(), loaded.begin()))
    return;
  Target target{OutputFile(path), {}};
  tern_error error = TERN_ERROR_INIT;
  const tern_status status = tern_slot_save(session, 0, writeBytes, &target, &error);
  if (target.failure)
    std::rethrow_exception(target.failure);
  check(status, error, path);
  target.file.commit();
}

} // namespace tern::cli
