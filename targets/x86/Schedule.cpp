// Schedules on x86-64: what is computed where, and which loops become vectors.
//
// Kernels over rows: one loop over rows shared by all outputs, everything computed inside it.
// Linear layers: one loop over tiles of 32 outputs; see scheduleLinear.
#include "targets/x86/Schedule.h"

using Halide::Func;
using Halide::LoopLevel;
using Halide::RVar;
using Halide::TailStrategy;
using Halide::Var;
using Halide::VarOrRVar;

namespace tern {
namespace {

class Schedule {
public:
  Schedule(KernelStages &stages, const TargetInfo &target)
      : stages(stages), floatLanes(int(target.vectorBytes) / 4), lane(stages.lane),
        part(stages.part), tile(stages.tile), row(stages.row), group(stages.group) {}

  void rows();
  void linear(LinearStages &s);

private:
  /// Splits the lanes of one stage into vectors; the rest is unrolled.
  template <typename Stage> void vectorizeLanes(Stage stage, int lanes, int width) {
    if (lanes <= 1)
      return;
    if (lanes <= width) {
      stage.vectorize(lane);
      return;
    }
    Var vector("vector");
    stage.split(lane, lane, vector, width, TailStrategy::RoundUp).vectorize(vector).unroll(lane);
  }
  void rowStage(const RowStage &stage, Func rowConsumer);

  KernelStages &stages;
  int floatLanes;
  Var lane, part, tile, row, group;
};

void Schedule::rowStage(const RowStage &stage, Func rowConsumer) {
  Func f = stage.func;
  if (stage.consumer.defined())
    f.compute_at(stage.consumer, stage.at);
  else
    f.compute_at(rowConsumer, row);
  // Halide puts constant allocations beyond 16 KiB on the heap, except "registers".
  if (stage.large)
    f.store_in(Halide::MemoryType::Register);
  vectorizeLanes(Halide::Stage(f), stage.lanes, floatLanes);
  for (int i = 0; i < f.num_update_definitions(); ++i) {
    if (stage.lanes <= 1)
      continue;
    Var vector("vector");
    auto update = f.update(i);
    if (stage.lanes <= floatLanes)
      update.vectorize(lane);
    else
      update.split(lane, lane, vector, floatLanes).reorder(vector, lane).vectorize(vector).unroll(lane);
  }
}

void Schedule::rows() {
  Func first = stages.outputs.front().func;
  for (OutputStage &output : stages.outputs) {
    vectorizeLanes(Halide::Stage(output.func), output.lanes, floatLanes);
    if (output.func.name() != first.name())
      output.func.compute_with(first, row);
  }
  for (const RowStage &stage : stages.rowStages)
    rowStage(stage, first);
}

void Schedule::linear(LinearStages &s) {
  Func out = stages.outputs.front().func;
  Var vector("vector"), lanes("lanes"), rowInner("rowInner");
  bool single = stages.singleRow;
  int width = floatLanes;
  LoopLevel block;
  if (single) {
    out.reorder(lane, row, tile).split(lane, lanes, vector, width).vectorize(vector).unroll(lanes);
    block = LoopLevel(out, tile);
  } else {
    out.split(row, row, rowInner, stages.rowBlock, TailStrategy::ShiftInwards)
        .split(lane, lanes, vector, width)
        .reorder(vector, rowInner, lanes, row, tile)
        .vectorize(vector)
        .unroll(rowInner);
    block = LoopLevel(out, lanes);
  }
  // Rows are unrolled in every stage: their sums live in registers.
  auto tileOver = [&](Halide::Stage stage) {
    if (single)
      stage.split(lane, lanes, vector, width).vectorize(vector).unroll(lanes).unroll(part);
    else
      stage.vectorize(lane).unroll(row).unroll(part);
  };
  s.sum.compute_at(block);
  tileOver(s.sum);
  auto over = s.sum.update();
  if (single)
    over.split(lane, lanes, vector, width).reorder(vector, lanes, part, row, s.sumOver);
  else
    over.reorder(lane, row, part, s.sumOver);
  over.vectorize(single ? vector : lane);
  if (single)
    over.unroll(lanes);
  else
    over.unroll(row);
  over.unroll(part);
  if (s.form == DotForm::Float)
    return;
}

} // namespace

void scheduleX86(KernelStages &stages, const TargetInfo &target) {
  Schedule schedule(stages, target);
  if (stages.linear.empty())
    schedule.rows();
  else
    for (LinearStages &linear : stages.linear)
      schedule.linear(linear);
}

} // namespace tern
