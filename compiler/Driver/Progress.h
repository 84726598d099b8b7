// Progress on a terminal, and the wall time of each stage.
#ifndef TERN_COMPILER_DRIVER_PROGRESS_H
#define TERN_COMPILER_DRIVER_PROGRESS_H

#include "llvm/ADT/StringRef.h"
#include <chrono>
#include <string>
#include <vector>

namespace tern {

/// One line on standard error that is rewritten in place: "packing 120 / 290 MB, 410 MB/s, 1 s
/// left".
class ProgressLine {
public:
  explicit ProgressLine(bool enabled) : enabled(enabled) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine &) = delete;
  ProgressLine &operator=(const ProgressLine &) = delete;

  /// Starts a stage whose amounts are counted in `unit`, shown divided by `scale`.
  void begin(llvm::StringRef stage, llvm::StringRef unit, double scale = 1);
  void update(uint64_t done, uint64_t total);
  void clear();

private:
  using Clock = std::chrono::steady_clock;
  bool enabled;
  bool visible = false;
  std::string stage, unit;
  double scale = 1;
  Clock::time_point started, shown;
};

/// Wall seconds of consecutive stages.
class StageTimer {
public:
  /// Ends the stage before and starts the next.
  void begin(llvm::StringRef stage);
  void end();
  struct Stage {
    std::string name;
    double seconds;
  };
  const std::vector<Stage> &stages() const { return done; }
  double total() const;

private:
  std::vector<Stage> done;
  std::string current;
  std::chrono::steady_clock::time_point started;
};

} // namespace tern
#endif
