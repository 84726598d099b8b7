#include "runtime/session/GenerationBatch.h"

#include <cstring>

using namespace tern;
using namespace tern::runtime;

Status GenerationBatch::create(Session &owner) {
  session = &owner;
  const Allocator &memory = owner.model().allocator();
  const uint32_t rows = owner.model().artifact().max_batch();
  TERN_RETURN_IF_ERROR(tokens.allocate(memory, rows, "a batch"));
  TERN_RETURN_IF_ERROR(slots.allocate(memory, rows, "a batch"));
  return want.allocate(memory, rows, "a batch");
}

Status GenerationBatch::add(Generation &generation) {
  if (generation.session != session)
    return Status::error(StatusCode::invalidArgument,
                         "generations of different sessions cannot be evaluated together");
  if (!generation.begun)
    return Status::error(StatusCode::invalidArgument, "no generation has begun in slot %u",
                         unsigned(generation.slot));
  for (const Generation *known = first; known; known = known->nextInBatch)
    if (known == &generation)
      return {};
  generation.nextInBatch = first;
  first = &generation;
  return {};
}

Status GenerationBatch::evaluate() {
  Status failure;
  // Generations that are over, or have their token already, are left to next().
  for (Generation **link = &first; Generation *generation = *link;) {
    bool needed = false;
    if (Status status = generation->prepare(needed); !status.isOk()) {
      generation->begun = needed = false;
      failure = status;
    }
    if (needed)
      link = &generation->nextInBatch;
    else
      *link = std::exchange(generation->nextInBatch, nullptr);
  }
  bool left = first != nullptr;
  while (left)
    if (Status status = evaluateOnce(left); !status.isOk())
      failure = status;
  clear();
  return failure;
}

void GenerationBatch::clear() {
  while (first)
    first = std::exchange(first->nextInBatch, nullptr);
}

/// One forward call. `left` tells whether rows remain.
Status GenerationBatch::evaluateOnce(bool &left) {
  const fb::Artifact &artifact = session->model().artifact();
  uint32_t rows = 0, wanted = 0;
  left = false;
  for (Generation *generation = first; generation; generation = generation->nextInBatch) {
    const uint32_t waiting = generation->pendingEnd - generation->pendingBegin;
    const uint32_t room = artifact.max_batch() - rows;
    uint32_t taken = waiting < room ? waiting : room;
    if (taken == waiting && taken > 0 && wanted == artifact.max_wanted())
      --taken; // its last row wants logits: it waits for the next call
    memcpy(&tokens[rows], &generation->pending[generation->pendingBegin], taken * sizeof(int32_t));
    for (uint32_t i = 0; i < taken; ++i) {
      slots[rows + i] = int32_t(generation->slot);
      want[rows + i] = 0;
    }
    rows += taken;
    generation->rowsInCall = taken;
    if (taken > 0 && taken == waiting) {
      want[rows - 1] = 1;
      ++wanted;
    }
    left |= taken < waiting;
    if (rows == artifact.max_batch()) {
      for (Generation *later = generation->nextInBatch; later; later = later->nextInBatch) {
        later->rowsInCall = 0;
        left |= later->pendingBegin < later->pendingEnd;
      }
      break;
    }
  }
  if (rows == 0)
    return {};
  Batch batch;
  batch.rows = rows;
  batch.tokens = tokens.data();
  batch.slots = slots.data();
  batch.want = want.data();
  WantedRows logits;
  Status failure = session->forward(batch, &logits);
  if (!failure.isOk()) {
    for (Generation *generation = first; generation; generation = generation->nextInBatch)
      generation->begun = false;
    left = false;
    return failure;
  }
  const float *row = logits.data;
  for (Generation *generation = first; generation; generation = generation->nextInBatch) {
    generation->pendingBegin += generation->rowsInCall;
    if (generation->rowsInCall > 0)
      generation->acceptSlot();
    if (generation->rowsInCall == 0 || generation->pendingBegin < generation->pendingEnd)
      continue;
    if (Status status = generation->choose(row); !status.isOk()) {
      generation->begun = false;
      failure = status;
    }
    row += logits.stride;
  }
  return failure;
}
