#include "runtime/core/StreamLayout.h"

#include <algorithm>
#include <cinttypes>

using namespace tern;
using namespace tern::runtime;

using Place = StreamLayout::Place;

/// Calls `use(tensor, command)` for each tensor that a command reads.
template <typename Use> static void visitTensors(const fb::Plan &plan, Use use) {
  const auto visit = [&](uint32_t index, uint32_t command) {
    const fb::Buffer &buffer = *plan.buffers()->Get(index);
    if (buffer.space() == fb::MemorySpace::tensor)
      use(buffer.index(), command);
  };
  for (uint32_t i = 0; i < sizeOf(plan.commands()); ++i) {
    const fb::Command &command = *plan.commands()->Get(i);
    if (const fb::CallCommand *call = command.op_as_CallCommand())
      for (uint32_t b = 0; b < sizeOf(call->buffers()); ++b)
        visit(call->buffers()->Get(b), i);
    else if (const fb::CopyCommand *copy = command.op_as_CopyCommand())
      visit(copy->source(), i);
  }
}

/// First fetch and first release of each unit. One that is fetched again is kept.
void StreamLayout::readPlan(const fb::Plan &plan) {
  for (uint32_t i = 0; i < sizeOf(plan.commands()); ++i) {
    const fb::Command &command = *plan.commands()->Get(i);
    if (const fb::FetchCommand *fetch = command.op_as_FetchCommand()) {
      Unit &unit = units[fetch->unit()];
      if (unit.fetch != none)
        unit.place = Place::kept;
      else
        unit.fetch = i;
    } else if (const fb::ReleaseCommand *release = command.op_as_ReleaseCommand()) {
      Unit &unit = units[release->unit()];
      if (unit.fetch != none && unit.release == none)
        unit.release = i;
    }
  }
}

/// Lists the units that may be streamed, in the order of fetching. Of two that are needed at the
/// same time the one that is needed longer is kept. Expects `place` to be `streamed` for all that
/// are used and fetched.
void StreamLayout::place(const fb::Plan &plan, bool mapped) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < sizeOf(plan.commands()); ++i) {
    const fb::FetchCommand *fetch = plan.commands()->Get(i)->op_as_FetchCommand();
    if (!fetch || units[fetch->unit()].place != Place::streamed)
      continue;
    Unit &unit = units[fetch->unit()];
    Unit *last = count ? &units[streamed[count - 1]] : nullptr;
    const bool meet = last && last->release > i;
    if ((unit.usedInPlace && !mapped) || (meet && unit.release >= last->release)) {
      unit.place = Place::kept;
      continue;
    }
    if (meet) {
      last->place = Place::kept;
      last->number = none;
      --count;
    }
    unit.number = count;
    streamed[count++] = fetch->unit();
  }
  streamed.shrink(count);
}

/// Keeps as many of the listed units as `budget` has room for.
Status StreamLayout::choose(uint64_t budget) {
  CheckedSize always;
  for (const Unit &unit : units)
    if (unit.place == Place::kept)
      always += unit.bytes;
  // Largest first; of one size in the order of the multiples of the golden ratio modulo 1, whose
  // first ones lie evenly whatever their number. (A heap: std::sort takes twice the code.)
  const auto goesBefore = [&](uint32_t a, uint32_t b) {
    constexpr uint32_t goldenRatio = 2654435769u;
    const Unit &x = units[a], &y = units[b];
    return x.bytes != y.bytes ? x.bytes > y.bytes : x.number * goldenRatio < y.number * goldenRatio;
  };
  std::make_heap(streamed.begin(), streamed.end(), goesBefore);
  std::sort_heap(streamed.begin(), streamed.end(), goesBefore);
  // Keeping the largest makes the buffers smaller, so a longer list may need less.
  const uint32_t count = uint32_t(streamed.size());
  CheckedSize prefix = always, chosen;
  uint64_t least = UINT64_MAX;
  uint32_t keep = none;
  for (uint32_t k = 0; k <= count; ++k) {
    const uint64_t bytes = k < count ? units[streamed[k]].bytes : 0;
    const CheckedSize need = prefix + CheckedSize(bytes) * buffers;
    least = need.value() < least ? need.value() : least;
    if (need.isAtMost(budget)) {
      keep = k;
      chosen = need;
      largest = bytes;
    }
    prefix += bytes;
  }
  if (keep == none)
    return Status::error(StatusCode::outOfMemory,
                         "%" PRIu64 " bytes for streamed weights, expected at least %" PRIu64
                         ": what is used throughout, and two of the largest parts",
                         budget, least);
  for (uint32_t k = 0; k < count; ++k) {
    Unit &unit = units[streamed[k]];
    if (k > keep && (chosen + unit.bytes).isAtMost(budget)) {
      chosen += unit.bytes;
      unit.place = Place::kept;
    }
    if (k < keep)
      unit.place = Place::kept;
  }
  return {};
}

/// Drops the kept units from the list, back in the order of fetching, and gives all their places.
void StreamLayout::setOffsets() {
  const uint32_t count = uint32_t(streamed.size());
  for (uint32_t i = 0; i < units.size(); ++i) {
    Unit &unit = units[i];
    if (unit.place == Place::kept) {
      unit.offset = kept;
      kept += unit.bytes;
    }
    if (unit.number != none)
      streamed[unit.number] = i;
  }
  uint32_t left = 0;
  for (uint32_t i = 0; i < count; ++i) {
    Unit &unit = units[streamed[i]];
    if (unit.place != Place::streamed)
      continue;
    unit.offset = kept + bufferOf(left) * largest;
    unit.number = left;
    streamed[left++] = streamed[i];
  }
  streamed.shrink(left);
}

Status StreamLayout::compute(const fb::Artifact &artifact, const fb::Plan &plan, bool mapped,
                             uint64_t budget, const Allocator &allocator) {
  const uint32_t count = sizeOf(artifact.units());
  TERN_RETURN_IF_ERROR(units.allocate(allocator, count, "the places of weight units"));
  TERN_RETURN_IF_ERROR(streamed.allocate(allocator, count, "the list of streamed weights"));
  kept = largest = 0;
  for (uint32_t i = 0; i < count; ++i) {
    Unit &unit = units[i];
    unit.fetch = unit.release = unit.number = none;
    unit.bytes =
        CheckedSize(artifact.units()->Get(i)->segment()->size()).alignedTo(blockAlignment).value();
  }
  readPlan(plan);
  visitTensors(plan, [&](uint32_t tensor, uint32_t command) {
    Unit &unit = units[artifact.tensors()->Get(tensor)->unit()];
    unit.usedInPlace |= !unit.isFetchedAt(command);
    if (unit.place == Place::unused)
      unit.place = unit.fetch != none ? Place::streamed : mapped ? Place::mapped : Place::kept;
  });
  place(plan, mapped);
  TERN_RETURN_IF_ERROR(choose(budget));
  setOffsets();
  return {};
}
