#include "compiler/CodeGen/WorkerProcess.h"
#include "compiler/Kernels/AnonymousFile.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallVector.h"
#include <cerrno>
#include <cstdio>
#include <spawn.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

extern char **environ;

using namespace llvm;

namespace tern {
namespace {

Error systemError(int code, const Twine &what) {
  std::error_code error(code, std::generic_category());
  return createStringError(error, what + ": " + error.message());
}

Expected<std::string> readAll(FILE *file) {
  int fd = fileno(file);
  off_t size = lseek(fd, 0, SEEK_END);
  if (size < 0)
    return systemError(errno, "cannot read a worker's output");
  std::string bytes(size, '\0');
  for (size_t done = 0; done < bytes.size();) {
    ssize_t count = pread(fd, bytes.data() + done, bytes.size() - done, off_t(done));
    if (count <= 0)
      return systemError(count ? errno : EIO, "cannot read a worker's output");
    done += size_t(count);
  }
  return bytes;
}

} // namespace

Expected<WorkerResult> runWorkerProcess(const std::string &executable,
                                        ArrayRef<std::string> arguments, StringRef input) {
  AnonymousFile files[3];
  for (AnonymousFile &file : files) {
    Expected<AnonymousFile> created = createAnonymousFile();
    if (!created)
      return created.takeError();
    file = std::move(*created);
  }
  if (fwrite(input.data(), 1, input.size(), files[0].get()) != input.size() ||
      fseek(files[0].get(), 0, SEEK_SET) != 0)
    return systemError(errno, "cannot write a worker's input");

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  llvm::scope_exit destroyActions([&] { posix_spawn_file_actions_destroy(&actions); });
  for (int fd = 0; fd < 3; ++fd)
    posix_spawn_file_actions_adddup2(&actions, fileno(files[fd].get()), fd);

  SmallVector<char *> argv = {const_cast<char *>(executable.c_str())};
  for (const std::string &argument : arguments)
    argv.push_back(const_cast<char *>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t child;
  if (int code = posix_spawn(&child, executable.c_str(), &actions, nullptr, argv.data(), environ))
    return systemError(code, "cannot start " + executable);

  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR)
      return systemError(errno, "cannot wait for a worker");

  WorkerResult result;
  if (WIFSIGNALED(status))
    result.signal = WTERMSIG(status);
  else
    result.exitCode = WEXITSTATUS(status);
  for (auto [file, text] : {std::pair{&files[1], &result.output}, {&files[2], &result.errors}}) {
    Expected<std::string> bytes = readAll(file->get());
    if (!bytes)
      return bytes.takeError();
    *text = std::move(*bytes);
  }
  return result;
}

} // namespace tern
