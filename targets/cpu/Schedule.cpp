// Schedules on CPUs: what is computed where, and which loops become vectors.
//
// Kernels over rows: one loop over rows shared by all outputs, everything computed inside it.
// Linear layers: one loop over tiles of 32 outputs; see scheduleLinear.
#include "targets/cpu/Schedule.h"

#include "targets/cpu/AttentionSchedule.h"

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
      : stages(stages), target(target),
        floatLanes(int(stages.singleRow ? 32 : target.vectorBytes) / 4), lane(stages.lane),
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
    stage.split(lane, lane, vector, width, TailStrategy::RoundUp).vectorize(vector).unroll(lane);
  }
  void rowStage(const RowStage &stage);

  /// Loop order of a stage of a linear layer: `inner` and a vector of `width` lanes become the
  /// vector, the other lanes and the rows are unrolled, `outer` are the loops around (innermost
  /// first, rows among them).
  void overLanes(Halide::Stage stage, int width, const std::vector<VarOrRVar> &inner,
                 const std::vector<VarOrRVar> &outer) {
    stage.split(lane, lanes, vector, width);
    std::vector<VarOrRVar> order = inner;
    order.push_back(vector);
    order.push_back(lanes);
    order.insert(order.end(), outer.begin(), outer.end());
    stage.reorder(order);
    for (const VarOrRVar &v : inner)
      stage.vectorize(v);
    stage.vectorize(vector).unroll(lanes);
    for (const VarOrRVar &v : outer)
      if (v.name() == row.name())
        stage.unroll(row);
  }
  int lanesPerBlock() const { return target.outputsPerBlock(stages.rowBlock); }
  /// Short loops over the lines of a group are unrolled.
  template <typename Stage> void unrollLines(Stage stage, const RVar &line, int lines) {
    if (lines <= 8)
      stage.unroll(line);
  }
  LoopLevel items(Func out);
  void decodedLinear(LinearStages &s);
  LoopLevel superGroup(LinearStages &s, const LoopLevel &oneSuperGroup);
  void groupDot(LinearStages &s, const LoopLevel &oneGroup);
  void dot4(LinearStages &s, const LoopLevel &oneGroup);
  void pairSum16(LinearStages &s, const LoopLevel &oneGroup);
  void widened16(LinearStages &s, const LoopLevel &oneGroup);

  KernelStages &stages;
  const TargetInfo &target;
  int floatLanes;
  Var lane, part, tile, row, group;
  Var vector{"vector"}, lanes{"lanes"};
};

void Schedule::rowStage(const RowStage &stage) {
  Func f = stage.func;
  if (stage.consumer.defined())
    f.compute_at(stage.consumer, stage.at);
  else if (stage.forStore)
    f.compute_at(stages.kvStores.front().keys, stages.kvStores.front().keysRow);
  else
    f.compute_at(stages.outputs.front().func, row);
  // Halide puts constant allocations beyond 16 KiB on the heap, except "registers".
  if (stage.large)
    f.store_in(Halide::MemoryType::Register);
  vectorizeLanes(Halide::Stage(f), stage.lanes, floatLanes);
  if (stage.lanes <= 1)
    return;
  for (int i = 0; i < f.num_update_definitions(); ++i) {
    std::vector<VarOrRVar> order = {vector, lanes};
    for (const RVar &over : f.rvars(i))
      order.push_back(over);
    f.update(i).split(lane, lanes, vector, std::min(stage.lanes, floatLanes));
    f.update(i).reorder(order).vectorize(vector).unroll(lanes);
  }
}

void Schedule::rows() {
  for (OutputStage &output : stages.outputs) {
    vectorizeLanes(Halide::Stage(output.func), output.lanes, floatLanes);
    if (&output != &stages.outputs.front())
      output.func.compute_with(stages.outputs.front().func, row);
  }
  for (const RowStage &stage : stages.rowStages)
    rowStage(stage);
}

// One row: a tile of 32 outputs at a time, all its sums in registers, weights read once in memory
// order. Several rows: a vector of outputs times a block of rows; each decoded vector of weights
// serves the block. Groups of a stacked weight lie part by part, and so does the loop over them.
void Schedule::linear(LinearStages &s) {
  Func out = stages.outputs.front().func;
  LoopLevel block;
  if (s.codes.defined())
    return decodedLinear(s);
  if (stages.expertItems.defined()) {
    block = items(out);
  } else if (stages.singleRow) {
    out.reorder(lane, row, tile)
        .split(lane, lanes, vector, floatLanes)
        .vectorize(vector)
        .unroll(lanes);
    block = LoopLevel(out, tile);
  } else {
    Var rowInner("rowInner");
    Var laneBlock("laneBlock");
    out.split(row, row, rowInner, stages.rowBlock, TailStrategy::RoundUp)
        .split(lane, laneBlock, lane, lanesPerBlock())
        .split(lane, lanes, vector, floatLanes)
        .reorder(vector, lanes, rowInner, laneBlock, row, tile)
        .vectorize(vector)
        .unroll(lanes)
        .unroll(rowInner);
    block = LoopLevel(out, laneBlock);
  }
  s.sum.compute_at(block);
  overLanes(Halide::Stage(s.sum), floatLanes, {}, {row, part});
  overLanes(s.sum.update(), floatLanes, {}, {row, part, s.sumOver});
  // Of several rows LLVM would take lines of both parts in turn, which the processor fetches no
  // longer ahead: two rows of int8 took 1.7 to 2.2 times of one row, int4 1.5 to 2.
  if (stages.singleRow)
    s.sum.update().unroll(part);

  LoopLevel oneGroup(s.sum, part);
  if (s.superDot.defined())
    oneGroup = superGroup(s, oneGroup);
  groupDot(s, oneGroup);
}

void Schedule::groupDot(LinearStages &s, const LoopLevel &oneGroup) {
  if (!s.dot.defined())
    return;
  switch (s.form) {
  case DotForm::Float:
    return;
  case DotForm::Dot4:
    return dot4(s, oneGroup);
  case DotForm::PairSum16:
    return pairSum16(s, oneGroup);
  case DotForm::Widened16:
    return widened16(s, oneGroup);
  }
}

// Many rows: a step over K decodes its part of a tile once, then all blocks of rows take it. The
// sums of all rows lie on the stack; those of a block stay in registers during a step.
void Schedule::decodedLinear(LinearStages &s) {
  Func out = stages.outputs.front().func;
  out.reorder(lane, row, tile)
      .split(lane, lanes, vector, floatLanes)
      .vectorize(vector)
      .unroll(lanes);
  Var rowInner("rowInner"), laneBlock("laneBlock");
  RVar chunk("chunk"), groupInner("groupInner");
  s.sum.compute_at(out, tile)
      .store_in(Halide::MemoryType::Stack)
      .bound_storage(row, stages.maxRows)
      .align_extent(row, stages.rowBlock);
  overLanes(Halide::Stage(s.sum), floatLanes, {}, {part});
  s.sum.update()
      .split(s.sumOver, chunk, groupInner, s.chunk)
      .split(row, row, rowInner, stages.rowBlock)
      .split(lane, laneBlock, lane, lanesPerBlock())
      .split(lane, lanes, vector, floatLanes)
      .reorder(vector, lanes, rowInner, groupInner, row, laneBlock, part, chunk)
      .vectorize(vector)
      .unroll(lanes)
      .unroll(rowInner);
  LoopLevel oneChunk(s.sum, part), oneGroup(s.sum, groupInner);

  Var i = s.codes.args()[0], plane = s.codes.args()[2], line = s.codes.args()[3],
      inner = s.codes.args()[4];
  s.codes.compute_at(oneChunk)
      .store_in(Halide::MemoryType::Stack)
      .split(lane, lanes, vector, floatLanes)
      .reorder(i, vector, plane, line, lanes)
      .vectorize(i)
      .vectorize(vector)
      .unroll(plane)
      .unroll(lanes);
  if (s.splitCodes)
    s.codes.unroll(line).unroll(inner);
  if (s.innerScales.defined())
    s.innerScales.compute_at(oneChunk)
        .store_in(Halide::MemoryType::Stack)
        .split(lane, lanes, vector, floatLanes)
        .reorder(vector, lanes, s.innerScales.args()[1])
        .vectorize(vector)
        .unroll(lanes)
        .unroll(s.innerScales.args()[1]);
  if (s.starts.defined()) {
    int width = 1;
    while (width < floatLanes && s.startsOfStep % (2 * width) == 0)
      width *= 2;
    s.starts.compute_at(s.sum, chunk)
        .store_in(Halide::MemoryType::Stack)
        .bound_storage(row, stages.maxRows);
    if (width > 1)
      s.starts.vectorize(s.starts.args()[0], width);
  }
  if (s.minimumPairs.defined()) {
    Var half = s.minimumPairs.args()[0], pair = s.minimumPairs.args()[2];
    s.minimumPairs.compute_at(oneChunk)
        .store_in(Halide::MemoryType::Stack)
        .split(lane, lanes, vector, floatLanes)
        .reorder(half, vector, lanes, pair)
        .vectorize(vector)
        .unroll(half)
        .unroll(lanes)
        .unroll(pair);
    s.sumPairs.compute_at(s.sum, chunk)
        .store_in(Halide::MemoryType::Stack)
        .bound_storage(row, stages.maxRows)
        .vectorize(s.sumPairs.args()[0]);
  }
  if (s.superDot.defined())
    oneGroup = superGroup(s, oneGroup);
  groupDot(s, oneGroup);
}

// Items of one row: each reads its expert's tiles in memory order. Of larger items several may have
// the same expert: all read a tile before the next.
LoopLevel Schedule::items(Func out) {
  RVar rowOfItem = stages.itemRows.x, item = stages.itemRows.y;
  Halide::Stage update = out.update();
  if (stages.singleRow) {
    update.split(lane, lanes, vector, floatLanes)
        .reorder(vector, lanes, rowOfItem, tile, item)
        .vectorize(vector)
        .unroll(lanes);
    return LoopLevel(out, tile);
  }
  Var laneBlock("laneBlock");
  update.split(lane, laneBlock, lane, lanesPerBlock())
      .split(lane, lanes, vector, floatLanes)
      .reorder(vector, lanes, rowOfItem, laneBlock, item, tile)
      .vectorize(vector)
      .unroll(lanes)
      .unroll(rowOfItem);
  return LoopLevel(out, laneBlock);
}

// The groups of a cell are unrolled, so that where their scales lie in a byte is constant; scales
// that are decoded already need no unrolling. Returns the level at which one group is computed.
LoopLevel Schedule::superGroup(LinearStages &s, const LoopLevel &oneSuperGroup) {
  auto sumOverGroups = [&](Func f, const Halide::RDom &over, bool unrolled) {
    f.compute_at(oneSuperGroup);
    overLanes(Halide::Stage(f), floatLanes, {}, {row});
    overLanes(f.update(), floatLanes, {}, {row, over.x, over.y});
    if (unrolled)
      f.update().unroll(over.x);
  };
  if (s.dot.defined()) {
    sumOverGroups(s.superDot, s.superDotOver, /*unrolled=*/!s.innerScales.defined());
  } else {
    const Halide::RDom &over = s.superDotOver;
    s.superDot.compute_at(oneSuperGroup);
    overLanes(Halide::Stage(s.superDot), floatLanes, {}, {row});
    overLanes(s.superDot.update().atomic(), floatLanes, {over[0]},
              {row, over[1], over[2], over[3], over[4]});
    s.superDot.update().unroll(over[1]);
    unrollLines(s.superDot.update(), over[2], s.lines);
  }
  if (s.minimumPairs.defined()) {
    s.minimumDot.compute_at(oneSuperGroup);
    overLanes(Halide::Stage(s.minimumDot), floatLanes, {}, {row});
    overLanes(s.minimumDot.update().atomic(), floatLanes, {s.minimumDotOver.x},
              {row, s.minimumDotOver.y});
    s.minimumDot.update().unroll(s.minimumDotOver.y);
  } else if (s.minimumDot.defined())
    sumOverGroups(s.minimumDot, s.minimumDotOver, /*unrolled=*/true);
  return LoopLevel(s.superDot, s.superDotOver.x);
}

void Schedule::dot4(LinearStages &s, const LoopLevel &oneGroup) {
  if (s.planeDot.defined()) {
    Var plane = s.planeDot.args()[1];
    s.planeDot.compute_at(oneGroup);
    overLanes(Halide::Stage(s.planeDot), floatLanes, {}, {plane, row});
    s.planeDot.unroll(plane);
    const Halide::RDom &over = s.planeDotOver;
    const RVar &line = over[over.dimensions() - 1];
    std::vector<VarOrRVar> loops = {plane, row, line};
    if (over.dimensions() == 3)
      loops.insert(loops.begin() + 1, over.y);
    overLanes(s.planeDot.update().atomic(), floatLanes, {over.x}, loops);
    s.planeDot.update().unroll(plane);
    if (over.dimensions() == 3)
      s.planeDot.update().unroll(over.y);
    // Parts multiply the same activations, of which a group has few enough to stay in registers, or
    // else they would be spilled from one part to the next.
    if (s.parts == 1 || s.planes * s.lines <= 8)
      unrollLines(s.planeDot.update(), line, s.lines);
    return;
  }
  s.dot.compute_at(oneGroup);
  overLanes(Halide::Stage(s.dot), floatLanes, {}, {row});
  overLanes(s.dot.update().atomic(), floatLanes, {s.dotOver.x}, {row, s.dotOver.y, s.dotOver.z});
  s.dot.update().unroll(s.dotOver.y);
  unrollLines(s.dot.update(), s.dotOver.z, s.lines);
}

void Schedule::pairSum16(LinearStages &s, const LoopLevel &oneGroup) {
  Var half = s.half.args()[0];
  RVar chunk = s.dotOver.y, plane = s.halfOver.x, line = s.halfOver.y;
  s.dot.compute_at(oneGroup);
  overLanes(Halide::Stage(s.dot), floatLanes, {}, {row});
  overLanes(s.dot.update().atomic(), floatLanes, {s.dotOver.x}, {row, chunk});
  // Where the high bits of a code lie follows from its line.
  if (s.splitCodes)
    s.dot.update().unroll(chunk);
  s.half.compute_at(s.dot, chunk);
  overLanes(Halide::Stage(s.half), floatLanes, {half}, {row});
  overLanes(s.half.update(), floatLanes, {half}, {row, plane, line});
  s.half.update().unroll(plane);
  unrollLines(s.half.update(), line, s.lines);
  // Plain additions of the pairs: saturating ones run at half the rate.
  s.product.compute_at(s.half, lanes);
  overLanes(Halide::Stage(s.product), floatLanes, {half}, {});
  overLanes(s.product.update().atomic(/*override_associativity_test=*/true), floatLanes,
            {s.productOver.x, half}, {});
}

void Schedule::widened16(LinearStages &s, const LoopLevel &oneGroup) {
  Var half = s.half.args()[0];
  s.dot.compute_at(oneGroup);
  overLanes(Halide::Stage(s.dot), floatLanes, {}, {row});
  overLanes(s.dot.update().atomic(), floatLanes, {s.dotOver.x}, {row});
  s.half.compute_at(oneGroup);
  overLanes(Halide::Stage(s.half), floatLanes / 2, {half}, {row});
  overLanes(s.half.update().atomic(), floatLanes / 2, {s.halfOver.x, half},
            {row, s.halfOver.y, s.halfOver.z});
  s.half.update().unroll(s.halfOver.y);
}

} // namespace

void scheduleCpu(KernelStages &stages, const TargetInfo &target) {
  for (AttentionStages &attention : stages.attentions)
    scheduleAttentionCpu(attention, target);
  scheduleKvStoreCpu(stages, stages.outputs.empty() ? Func() : stages.outputs.front().func, target);
  Schedule schedule(stages, target);
  for (Func &func : stages.serial)
    func.compute_root().store_in(Halide::MemoryType::Stack);
  if (!stages.serial.empty())
    return;
  if (stages.linear.empty())
    schedule.rows();
  else
    for (LinearStages &linear : stages.linear)
      schedule.linear(linear);
}

} // namespace tern
