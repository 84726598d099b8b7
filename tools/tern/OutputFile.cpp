#include "tools/tern/OutputFile.h"
#include "tools/tern/InputError.h"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace tern::cli {

namespace {

constexpr size_t maxOutputFiles = 2;

/// What the signal handler removes; empty: nothing. Written while these signals are blocked.
char pendingNames[maxOutputFiles][PATH_MAX];

void removePendingFiles(int signal) {
  for (const char *name : pendingNames)
    if (name[0])
      unlink(name);
  std::signal(signal, SIG_DFL);
  raise(signal);
}

constexpr int endingSignals[] = {SIGINT, SIGTERM, SIGHUP};

constexpr int maxLinks = 40; ///< as Linux has it

bool areSame(const struct stat &one, const struct stat &other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/// The file that a symbolic link leads to, there or to be created, so that the link stays; other
/// names, and links in a circle, as they are.
std::string followLinks(const std::string &path) {
  if (char *resolved = realpath(path.c_str(), nullptr)) {
    std::string result = resolved;
    std::free(resolved);
    return result;
  }
  std::filesystem::path target = path;
  for (int links = 0; links < maxLinks; ++links) {
    std::error_code error;
    const std::filesystem::path next = std::filesystem::read_symlink(target, error);
    if (error)
      return target;
    target = target.parent_path() / next;
  }
  return path;
}

/// The standard stream that `path` leads to, by whatever name: -1 if none.
int standardStreamOf(const std::string &path) {
  struct stat file, stream;
  if (stat(path.c_str(), &file) == 0)
    for (const int descriptor : {STDOUT_FILENO, STDERR_FILENO})
      if (fstat(descriptor, &stream) == 0 && areSame(file, stream))
        return descriptor;
  return -1;
}

char *freePendingName() {
  for (char (&name)[PATH_MAX] : pendingNames)
    if (!name[0])
      return name;
  return nullptr;
}

/// Blocks the signals that end a program for a scope.
class SignalsBlocked {
public:
  SignalsBlocked() {
    sigset_t ending;
    sigemptyset(&ending);
    for (const int signal : endingSignals)
      sigaddset(&ending, signal);
    pthread_sigmask(SIG_BLOCK, &ending, &before);
  }
  SignalsBlocked(const SignalsBlocked &) = delete;
  SignalsBlocked &operator=(const SignalsBlocked &) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }

private:
  sigset_t before;
};

} // namespace

bool leadToOneFile(const std::string &one, const std::string &other) {
  const std::filesystem::path first = followLinks(one), second = followLinks(other);
  struct stat here, there;
  if (stat(first.c_str(), &here) == 0 && stat(second.c_str(), &there) == 0)
    return areSame(here, there);
  const auto folder = [](const std::filesystem::path &file) {
    return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  };
  return first.filename() == second.filename() && stat(folder(first).c_str(), &here) == 0 &&
         stat(folder(second).c_str(), &there) == 0 && areSame(here, there);
}

void requireNoInput(const std::string &output, const std::vector<std::string> &inputs) {
  struct stat written, read;
  if (stat(output.c_str(), &written) != 0 || !S_ISREG(written.st_mode))
    return;
  for (const std::string &input : inputs)
    if (!input.empty() && stat(input.c_str(), &read) == 0 && areSame(read, written))
      throw InputError(output, "is read by this command too, as " + input +
                                   "; name another file for the output");
}

OutputFile::OutputFile(std::string name) : path(std::move(name)), target(followLinks(path)) {
  struct stat info;
  const int error = stat(path.c_str(), &info) == 0 ? 0 : errno;
  if (error == ELOOP)
    fail("cannot follow the link", error);
  if (const int stream = standardStreamOf(path); stream >= 0) {
    // Opened anew it would be written from its beginning, and a file would be replaced.
    const int descriptor = fcntl(stream, F_DUPFD_CLOEXEC, 0);
    file = descriptor < 0 ? nullptr : fdopen(descriptor, "wb");
  } else if (error == 0 && (!S_ISREG(info.st_mode) || info.st_nlink == 0)) { // no name to take
    file = std::fopen(path.c_str(), "wb");
  } else {
    createTemporary();
  }
  if (!file)
    fail("cannot open for writing", errno);
}

void OutputFile::createTemporary() {
  temporary = target + ".XXXXXX";
  pending = freePendingName();
  if (!pending || temporary.size() >= sizeof pendingNames[0])
    throw InputError(path, pending ? "the name is too long" : "too many outputs at once");
  int descriptor, reason;
  {
    // A signal between the file's creation and the handler that removes it would leave it behind.
    const SignalsBlocked blocked;
    descriptor = mkstemp(temporary.data());
    reason = errno;
    if (descriptor >= 0) {
      std::memcpy(pending, temporary.c_str(), temporary.size() + 1);
      for (const int signal : endingSignals)
        std::signal(signal, removePendingFiles);
    }
  }
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
  if (pending)
    pending[0] = 0;
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
  if (std::rename(temporary.c_str(), target.c_str()) != 0)
    fail("cannot rename the finished file", errno);
  temporary.clear();
  pending[0] = 0;
}

} // namespace tern::cli
