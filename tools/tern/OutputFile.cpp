#include "tools/tern/OutputFile.h"
#include "tools/tern/InputError.h"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace tern::cli {

namespace {

/// What the signal handler removes; empty: nothing. Written before the handlers are installed.
char pendingName[PATH_MAX];

void removePendingFile(int signal) {
  if (pendingName[0])
    unlink(pendingName);
  std::signal(signal, SIG_DFL);
  raise(signal);
}

constexpr int endingSignals[] = {SIGINT, SIGTERM, SIGHUP};

} // namespace

OutputFile::OutputFile(std::string target) : path(std::move(target)) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    file = std::fopen(path.c_str(), "wb");
    if (!file)
      fail("cannot open for writing", errno);
    return;
  }
  temporary = path + ".XXXXXX";
  if (temporary.size() >= sizeof pendingName)
    throw InputError(path, "the name is too long");
  // A signal between the file's creation and the handler that removes it would leave it behind.
  sigset_t ending, before;
  sigemptyset(&ending);
  for (const int signal : endingSignals)
    sigaddset(&ending, signal);
  pthread_sigmask(SIG_BLOCK, &ending, &before);
  const int descriptor = mkstemp(temporary.data());
  const int reason = errno;
  if (descriptor >= 0) {
    std::memcpy(pendingName, temporary.c_str(), temporary.size() + 1);
    for (const int signal : endingSignals)
      std::signal(signal, removePendingFile);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (descriptor < 0) {
    temporary.clear();
    fail("cannot create a file beside it", reason);
  }
  std::signal(SIGXFSZ, SIG_IGN); // a file size limit is then an error of write()
  const mode_t mask = umask(0);
  umask(mask);
  file = fchmod(descriptor, 0666 & ~mask) == 0 ? fdopen(descriptor, "wb") : nullptr;
  if (!file)
    fail("cannot open for writing", errno);
}

OutputFile::~OutputFile() { abandon(); }

void OutputFile::abandon() {
  if (file)
    std::fclose(std::exchange(file, nullptr));
  if (!temporary.empty())
    unlink(temporary.c_str());
  temporary.clear();
  pendingName[0] = 0;
}

void OutputFile::fail(const std::string &action, int error) {
  abandon();
  throw InputError(path,
                   action + ": " + std::strerror(error) + "; choose another place for the output");
}

void OutputFile::write(const void *data, size_t size) {
  if (std::fwrite(data, 1, size, file) != size)
    fail("cannot write", errno);
}

void OutputFile::commit() {
  if (std::fflush(file) != 0)
    fail("cannot write", errno);
  if (std::fclose(std::exchange(file, nullptr)) != 0)
    fail("cannot write", errno);
  if (temporary.empty())
    return;
  if (std::rename(temporary.c_str(), path.c_str()) != 0)
    fail("cannot rename the finished file", errno);
  temporary.clear();
  pendingName[0] = 0;
}

} // namespace tern::cli
