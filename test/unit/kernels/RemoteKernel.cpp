#include "test/unit/kernels/RemoteKernel.h"

#include "gtest/gtest.h"
#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace tern {

void RemoteKernel::start(const std::string &command, const std::string &image, uint64_t entry) {
  signal(SIGPIPE, SIG_IGN); // a runner that has ended is reported where its answer is missing
  std::vector<std::string> words;
  for (std::istringstream stream(command); stream;)
    if (std::string word; stream >> word)
      words.push_back(word);
  std::vector<char *> arguments;
  for (std::string &word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int in[2], out[2];
  ASSERT_TRUE(!words.empty() && pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
  runner = fork();
  if (runner == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    execvp(arguments[0], arguments.data());
    perror(arguments[0]);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  toRunner = fdopen(in[1], "wb");
  fromRunner = fdopen(out[0], "rb");
  send(uint64_t(image.size()));
  send(entry);
  send(image.data(), image.size());
}

RemoteKernel::~RemoteKernel() {
  if (toRunner)
    fclose(toRunner);
  if (fromRunner)
    fclose(fromRunner);
  if (runner > 0)
    waitpid(runner, nullptr, 0);
}

void RemoteKernel::run(std::span<const std::span<uint8_t>> buffers,
                       const int32_t (&integers)[TERN_INT_COUNT], uint64_t scratchBytes, int tasks,
                       int step) {
  send(integers, sizeof integers);
  send(int32_t(tasks));
  send(int32_t(step));
  send(scratchBytes);
  send(uint64_t(buffers.size()));
  for (const std::span<uint8_t> &buffer : buffers)
    send(uint64_t(buffer.size()));
  for (const std::span<uint8_t> &buffer : buffers)
    send(buffer.data(), buffer.size());
  fflush(toRunner);
  for (const std::span<uint8_t> &buffer : buffers)
    ASSERT_EQ(fread(buffer.data(), 1, buffer.size(), fromRunner), buffer.size())
        << "the runner has ended; did the kernel leave its buffers?";
}

} // namespace tern
