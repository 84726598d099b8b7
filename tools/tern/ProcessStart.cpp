#include "tools/tern/ProcessStart.h"

#include <ctime>

namespace tern::cli {

namespace {
Clock::time_point start;
}

void markProcessStart() {
  start = Clock::now();
  timespec used;
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0)
    start -= std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

Clock::time_point processStart() { return start; }

} // namespace tern::cli
