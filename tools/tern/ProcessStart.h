// When this process began, for "start to first token".
#ifndef TERN_TOOLS_TERN_PROCESSSTART_H
#define TERN_TOOLS_TERN_PROCESSSTART_H

#include <chrono>

namespace tern::cli {

using Clock = std::chrono::steady_clock;

/// First thing in main. The kernel records a process's start only to 10 ms, so what came before
/// main (exec, dynamic linking) is taken as the CPU time the process has used by then.
void markProcessStart();
Clock::time_point processStart();

inline double milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

} // namespace tern::cli

#endif
