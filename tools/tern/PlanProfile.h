// The forward plan of a loaded model as a list of what takes time in it, with what each entry
// costs; and the times of its parts in a call of tern_forward. Reads the runtime's own tables.
#ifndef TERN_TOOLS_TERN_PLANPROFILE_H
#define TERN_TOOLS_TERN_PLANPROFILE_H

#include "tools/tern/MachinePeak.h"
#include "tools/tern/Model.h"

#include <vector>

namespace tern::cli {

/// A kernel's call, a copy, or the wait for weights that are streamed.
struct PlanCall {
  static constexpr int32_t copy = -1, fetch = -2;
  uint32_t command = 0;    ///< its number in the plan
  int32_t kernel = copy;   ///< number in the variant
  std::string layer;       ///< weight unit: "blk.0", "output"
  std::string description; ///< "linear_3 blk.0.ffn_down.weight"
};

struct PlanKernel {
  std::string name, description;
  enum class Arithmetic { other, integer, floating } arithmetic; ///< of the matrix it multiplies by
};

/// What a call reads and computes.
struct CallCost {
  uint64_t weightBytes = 0, cacheBytes = 0, activationBytes = 0, operations = 0;
};

class PlanProfile {
public:
  explicit PlanProfile(const Model &model);

  const std::vector<PlanCall> &calls() const { return list; }
  const std::vector<PlanKernel> &kernels() const { return kernelList; }
  /// Of `rows` rows of one slot, the first at `position`, the last of them wanted. Throws
  /// InputError if the artifact does not say what its kernels cost.
  CallCost cost(const PlanCall &call, uint32_t rows, uint32_t position) const;
  /// The weights that the plan uses, where they lie.
  std::vector<MemoryRange> weights() const;

private:
  const Model &model;
  std::vector<PlanCall> list;
  std::vector<PlanKernel> kernelList;
};

/// A piece of work: a command as a whole, or a worker's share of one.
struct TimedWork {
  uint32_t command;
  uint64_t begin, end; ///< nanoseconds of the clock that Clock reads
};

/// Records what a session's forward calls do while it lives.
class PlanRecorder {
public:
  PlanRecorder(tern_session *session, uint32_t threads);
  PlanRecorder(const PlanRecorder &) = delete;
  PlanRecorder &operator=(const PlanRecorder &) = delete;
  ~PlanRecorder();

  void clear();
  const std::vector<TimedWork> &commands() const { return commandWork; }
  const std::vector<TimedWork> &tasks(uint32_t worker) const { return workerWork[worker]; }
  uint32_t workers() const { return uint32_t(workerWork.size()); }

private:
  struct Observer;
  tern_session *session;
  std::unique_ptr<Observer> observer;
  std::vector<TimedWork> commandWork;
  std::vector<std::vector<TimedWork>> workerWork; ///< each written by its worker alone
};

} // namespace tern::cli

#endif
