// The integer sums over the groups of a super-group.
#include "compiler/Kernels/LinearBuilder.h"

using Halide::Expr;
using Halide::Func;
using Halide::RDom;

namespace tern {

// The integer sums over a super-group, whose decoded codes hold their inner scales.
void LinearBuilder::scaledSuperSums(const ActValue &x) {
  RDom r({{0, 4},
          {0, stages.planes},
          {0, stages.lines},
          {0, int(weight.shape.groups)},
          {0, int(weight.cells())}},
         "r");
  Expr start = fetchAhead();
  if (stages.starts.defined())
    start = start + stages.starts(group, row);
  Expr element = group * int(weight.encoding.superSize) + r[4] * int(weight.shape.elements) +
                 r[3] * int(weight.encoding.groupSize) + (r[2] * stages.planes + r[1]) * 4 + r[0];
  stages.superDot = Func("superDot");
  stages.superDot(lane, part, tile, row, group) = start;
  stages.superDot(lane, part, tile, row, group) += Halide::cast<int32_t>(
      Halide::widening_mul(stages.codes(r[0], lane, r[1], r[2], r[3], r[4], part, group, tile),
                           x.codes({element, 0, xRow})));
  stages.superDotOver = r;
}

// The integer sums over the groups of a super-group, each times its inner scale.
void LinearBuilder::superSums(const ActValue &x) {
  RDom s(0, int(weight.shape.groups), 0, int(weight.cells()), "s");
  Expr scale = stages.innerScales.defined()
                   ? stages.innerScales(lane, s.x, s.y, part, group, tile)
                   : innerScale(weight, {lane, s.x, s.y, part, group, weightTile});
  stages.superDot = Func("superDot");
  stages.superDotOver = s;
  Expr term = scale * stages.dot(lane, part, tile, row, s.x, s.y, group);
  if (!minimumsBesideScales()) {
    stages.superDot(lane, part, tile, row, group) = fetchAhead();
    stages.superDot(lane, part, tile, row, group) += term;
    return;
  }
  stages.superDot(lane, part, tile, row, group) = Halide::Tuple(0, 0);
  Halide::FuncRef sums = stages.superDot(lane, part, tile, row, group);
  Expr minimumTerm = innerMinimum(weight, {lane, s.x, s.y, part, group, weightTile}) *
                     groupSum(x, group, s.y, s.x);
  stages.superDot(lane, part, tile, row, group) =
      Halide::Tuple(sums[0] + term, sums[1] + minimumTerm);
}

// The inner minimums of a super-group times the sums of its groups.
void LinearBuilder::minimumSums(const ActValue &x) {
  int cells = int(weight.cells()), groups = int(weight.shape.groups);
  stages.minimumDot = Func("minimumDot");
  stages.minimumDot(lane, part, tile, row, group) = 0;
  if (stages.minimumPairs.defined()) {
    RDom p(0, 2, 0, groups * cells / 2, "p");
    stages.minimumDot(lane, part, tile, row, group) +=
        Halide::cast<int32_t>(stages.minimumPairs(p.x, lane, p.y, part, group, tile)) *
        Halide::cast<int32_t>(stages.sumPairs(p.y * 2 + p.x, row, group));
    stages.minimumDotOver = p;
    return;
  }
  RDom m(0, groups, 0, cells, "m");
  stages.minimumDot(lane, part, tile, row, group) +=
      innerMinimum(weight, {lane, m.x, m.y, part, group, weightTile}) *
      groupSum(x, group, m.y, m.x);
  stages.minimumDotOver = m;
}

} // namespace tern
