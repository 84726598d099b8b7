// The progress line and the stage timer.
#include "compiler/Driver/Progress.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace tern;

static double secondsBetween(std::chrono::steady_clock::time_point from,
                             std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

void ProgressLine::begin(llvm::StringRef name, llvm::StringRef unitName, double scaleBy) {
  stage = name.str();
  unit = unitName.str();
  scale = scaleBy;
  started = Clock::now();
  shown = {};
}

void ProgressLine::update(uint64_t done, uint64_t total) {
  if (!enabled)
    return;
  Clock::time_point now = Clock::now();
  if (done < total && secondsBetween(shown, now) < 0.1)
    return;
  shown = now;
  double seconds = secondsBetween(started, now);
  double rate = seconds > 0 ? static_cast<double>(done) / scale / seconds : 0;
  llvm::errs() << "\r\033[K" << stage << ' '
               << llvm::format("%.0f / %.0f %s", static_cast<double>(done) / scale,
                               static_cast<double>(total) / scale, unit.c_str());
  if (rate > 0 && done < total)
    llvm::errs() << llvm::format(", %.1f %s/s, %.0f s left", rate, unit.c_str(),
                                 static_cast<double>(total - done) / scale / rate);
  llvm::errs().flush();
  visible = true;
}

void ProgressLine::clear() {
  if (visible)
    llvm::errs() << "\r\033[K";
  visible = false;
}

void StageTimer::begin(llvm::StringRef stage) {
  end();
  current = stage.str();
  started = std::chrono::steady_clock::now();
}

void StageTimer::end() {
  if (!current.empty())
    done.push_back({current, secondsBetween(started, std::chrono::steady_clock::now())});
  current.clear();
}

double StageTimer::total() const {
  double sum = 0;
  for (const Stage &stage : done)
    sum += stage.seconds;
  return sum;
}
