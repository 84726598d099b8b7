// The integer dot product of one group, in the forms of DotForm.
#include "compiler/Kernels/LinearBuilder.h"

using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Var;

namespace tern {

void LinearBuilder::dot4(const ActValue &x, const Expr &start) {
  RDom r(0, 4, 0, stages.planes, 0, stages.lines, "r");
  stages.dot(lane, part, tile, row, inner, cell, group) = start;
  stages.dot(lane, part, tile, row, inner, cell, group) += Halide::cast<int32_t>(
      Halide::widening_mul(code(r.x, r.y, r.z), activation(x, r.x, r.y, r.z)));
  stages.dotOver = r;
}

// A plane's codes stay where they are in the byte; its sum is shifted down once at the end.
void LinearBuilder::dot4InPlace(const ActValue &x, const Expr &start) {
  int bits = int(weight.encoding.codeBits()), mask = (1 << bits) - 1;
  Var plane("plane");
  RDom r(0, 4, 0, stages.lines, "r");
  Expr planeMask = Halide::cast<uint8_t>(Expr(mask) << (plane * bits));
  Expr byte = weight.codes(r.x, lane, inner * stages.lines + r.y, cell, part, group, weightTile);
  stages.planeDot = Func("planeDot");
  stages.planeDot(lane, plane, part, tile, row, inner, cell, group) =
      Halide::select(plane == 0, start, 0);
  stages.planeDot(lane, plane, part, tile, row, inner, cell, group) +=
      Halide::cast<int32_t>(Halide::widening_mul(byte & planeMask, activation(x, r.x, plane, r.y)));
  stages.planeDotOver = r;
  Expr total = stages.planeDot(lane, 0, part, tile, row, inner, cell, group);
  for (int i = 1; i < stages.planes; ++i)
    total = total + (stages.planeDot(lane, i, part, tile, row, inner, cell, group) >> (i * bits));
  stages.dot(lane, part, tile, row, inner, cell, group) = total;
}

// Five base-3 digits of a byte without extracting them: v(0) is the byte, v(k + 1) = 3 v(k) mod
// 256, and 256 digit(k) = 3 v(k) - v(k + 1). So the sum over digits is (3 sum0 - sum1) / 256 of
// sums over v(k) and v(k + 1), two dot products to a digit; buildLinear bounds the group.
void LinearBuilder::dot4Base3(const ActValue &x, const Expr &start) {
  Var next("next");
  RDom r(0, 4, 0, stages.planes, 0, stages.lines, "r");
  std::vector<Expr> v =
      base3Steps(weight.codes(r.x, lane, inner * stages.lines + r.z, cell, part, group, weightTile),
                 stages.planes + 1);
  stages.planeDot = Func("planeDot");
  stages.planeDot(lane, next, part, tile, row, inner, cell, group) = 0;
  stages.planeDot(lane, next, part, tile, row, inner, cell, group) += Halide::cast<int32_t>(
      Halide::widening_mul(Halide::mux(r.y + next, v), activation(x, r.x, r.y, r.z)));
  stages.planeDotOver = r;
  auto sum = [&](int number) {
    return stages.planeDot(lane, number, part, tile, row, inner, cell, group);
  };
  stages.dot(lane, part, tile, row, inner, cell, group) = start + ((3 * sum(0) - sum(1)) >> 8);
}

void LinearBuilder::pairSum16(const ActValue &x, const Expr &start) {
  int pairBound = 2 * largestActivation * largestMultiplier();
  int additions = INT16_MAX / pairBound;
  int chunkLines = stages.lines;
  while (chunkLines > 1 &&
         (chunkLines * stages.planes > additions || stages.lines % chunkLines != 0))
    --chunkLines;
  assert(chunkLines * stages.planes <= additions && "pair sums overflow");

  Var half("half"), plane("plane"), line("line"), chunk("chunk");
  stages.product = Func("product");
  RDom pair(0, 2, "pair");
  Func &product = stages.product;
  Expr i = half * 2 + pair;
  product(half, lane, plane, line, part, tile, row, inner, cell, group) = Halide::cast<int16_t>(0);
  product(half, lane, plane, line, part, tile, row, inner, cell, group) = Halide::saturating_add(
      product(half, lane, plane, line, part, tile, row, inner, cell, group),
      Halide::widening_mul(code(i, plane, line), activation(x, i, plane, line)));
  stages.productOver = pair;

  stages.half = Func("half");
  RDom r(0, stages.planes, 0, chunkLines, "r");
  stages.half(half, lane, part, tile, row, inner, cell, group, chunk) = Halide::cast<int16_t>(0);
  stages.half(half, lane, part, tile, row, inner, cell, group, chunk) +=
      product(half, lane, r.x, chunk * chunkLines + r.y, part, tile, row, inner, cell, group);
  stages.halfOver = r;

  RDom h(0, 2, 0, stages.lines / chunkLines, "h");
  stages.dot(lane, part, tile, row, inner, cell, group) = start;
  stages.dot(lane, part, tile, row, inner, cell, group) +=
      Halide::cast<int32_t>(stages.half(h.x, lane, part, tile, row, inner, cell, group, h.y));
  stages.dotOver = h;
}

void LinearBuilder::widened16(const ActValue &x, const Expr &start) {
  Var half("half");
  RDom r(0, 2, 0, stages.planes, 0, stages.lines, "r");
  Expr i = half * 2 + r.x;
  Expr value = weight.encoding.codes == CodeKind::Int8 ? stored(i, r.y, r.z) : code(i, r.y, r.z);
  Expr w = Halide::cast<int16_t>(Halide::reinterpret<int8_t>(value));
  Expr v = Halide::cast<int16_t>(activation(x, i, r.y, r.z));
  stages.half = Func("half");
  stages.half(half, lane, part, tile, row, inner, cell, group) = 0;
  stages.half(half, lane, part, tile, row, inner, cell, group) +=
      Halide::cast<int32_t>(w) * Halide::cast<int32_t>(v);
  stages.halfOver = r;
  RDom h(0, 2, "h");
  stages.dot(lane, part, tile, row, inner, cell, group) = start;
  stages.dot(lane, part, tile, row, inner, cell, group) +=
      stages.half(h, lane, part, tile, row, inner, cell, group);
  stages.dotOver = h;
}

} // namespace tern
