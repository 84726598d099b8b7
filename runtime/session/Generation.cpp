// A generation is the tokens that are not in the slot yet, and the state of sampling and text.
#include "runtime/session/Generation.h"

#include "runtime/session/Softmax.h"

#include <cinttypes>
#include <cstring>

using namespace tern;
using namespace tern::runtime;

Status Generation::create(Session &owner, uint32_t slotNumber, Sampler &sharedSampler,
                          TextStream &sharedText) {
  session = &owner;
  slot = slotNumber;
  sampler = &sharedSampler;
  text = &sharedText;
  return pending.allocate(owner.model().allocator(), owner.context(), "a prompt");
}

/// Number of leading tokens that two sequences share.
static uint32_t commonPrefix(const int32_t *a, const int32_t *b, uint32_t count) {
  uint32_t shared = 0;
  while (shared < count && a[shared] == b[shared])
    ++shared;
  return shared;
}

Status Generation::begin(const GenerationOptions &wanted, const int32_t *prompt, size_t size) {
  const uint32_t vocabulary = session->model().artifact().vocabulary_size();
  TERN_RETURN_IF_ERROR(wanted.sampling.check(vocabulary));
  StopStrings wantedStops;
  TERN_RETURN_IF_ERROR(wantedStops.assign(wanted.stops, wanted.stopCount));
  if (!wantedStops.empty() && !text->hasText())
    return Status::error(StatusCode::notFound,
                         "stop strings need text and the artifact has no tokenizer; stop by tokens "
                         "instead");
  if (wanted.topLogProbabilities > LogProbabilities::maxTop)
    return Status::error(StatusCode::outOfRange,
                         "log-probabilities of %" PRIu32 " tokens, at most %" PRIu32
                         " are possible",
                         wanted.topLogProbabilities, LogProbabilities::maxTop);
  if (wanted.contextShift && wanted.shiftKeep >= session->context())
    return Status::error(StatusCode::outOfRange,
                         "a context shift that keeps %" PRIu32 " of %" PRIu32
                         " positions has nothing to forget",
                         wanted.shiftKeep, session->context());
  const uint32_t length = session->length(slot);
  if (size == 0 || !prompt)
    return Status::error(StatusCode::invalidArgument,
                         "the prompt is empty; begin with at least one token");
  if (size > session->context() - (wanted.append ? length : 0))
    return Status::error(StatusCode::outOfRange,
                         "the prompt of %zu tokens does not fit behind %" PRIu32
                         " positions in use of %" PRIu32
                         "; shorten it or create the session with a longer context",
                         size, wanted.append ? length : 0, session->context());
  for (size_t i = 0; i < size; ++i)
    if (prompt[i] < 0 || uint32_t(prompt[i]) >= vocabulary)
      return Status::error(StatusCode::outOfRange,
                           "prompt token %zu is %" PRId32 ", the vocabulary has %" PRIu32, i,
                           prompt[i], vocabulary);
  uint32_t kept = 0;
  if (!wanted.append) {
    // The last token is evaluated in any case: its logits are wanted.
    const uint32_t most = length < size - 1 ? length : uint32_t(size - 1);
    kept = commonPrefix(session->history(slot), prompt, most);
    if (kept != length && !session->canResume(slot, kept))
      kept = 0;
    TERN_RETURN_IF_ERROR(session->truncate(slot, kept));
  }
  options = wanted;
  for (uint32_t i = 0; i < wanted.sampling.biasCount; ++i)
    biases[i] = wanted.sampling.biases[i];
  options.sampling.biases = biases;
  options.stops = nullptr; // the caller's
  stops = wantedStops;
  random = Random(wanted.seed);
  textState = text->begin(stops);
  pendingBegin = 0;
  pendingEnd = uint32_t(size) - kept;
  memcpy(pending.data(), prompt + kept, pendingEnd * sizeof(int32_t));
  produced = 0;
  ready = false;
  acceptSlot();
  begun = true;
  finished = Finish::none;
  cancelRequested.store(false, std::memory_order_relaxed);
  return {};
}

Status Generation::feedPending(WantedRows &logits) {
  const uint32_t maxBatch = session->model().artifact().max_batch();
  while (pendingBegin < pendingEnd) {
    const uint32_t left = pendingEnd - pendingBegin;
    Batch batch;
    batch.rows = left < maxBatch ? left : maxBatch;
    batch.tokens = &pending[pendingBegin];
    batch.slot = int32_t(slot);
    batch.wantLast = batch.rows == left;
    TERN_RETURN_IF_ERROR(session->forward(batch, &logits, &cancelRequested));
    acceptSlot();
    pendingBegin += uint32_t(batch.rows);
  }
  return {};
}

Status Generation::finishWith(Finish reason, Piece &piece) {
  finished = reason;
  piece.token = -1;
  piece.text = text->finish(textState);
  piece.finish = reason;
  return {};
}

/// Forgets the older half of what is not to be kept. What follows is evaluated anew at its new
/// positions: the result is that of a slot which never held more.
Status Generation::shiftContext() {
  const uint32_t length = session->length(slot);
  if (length <= options.shiftKeep)
    return Status::error(StatusCode::outOfRange,
                         "a context shift that keeps %" PRIu32 " of %" PRIu32
                         " positions in slot %" PRIu32 " has nothing to forget",
                         options.shiftKeep, length, slot);
  const uint32_t movable = length - options.shiftKeep;
  const uint32_t rest = movable / 2;
  const uint32_t waiting = pendingEnd - pendingBegin;
  // What cannot stay in layers with windows is evaluated again too.
  const uint32_t again = session->canResume(slot, options.shiftKeep) ? 0 : options.shiftKeep;
  const uint32_t moved = again + rest;
  if (moved > pending.size() || waiting > pending.size() - moved)
    return Status::error(StatusCode::outOfRange,
                         "a context shift in slot %" PRIu32 " has no room for %" PRIu32
                         " tokens to move and %" PRIu32 " to come",
                         slot, moved, waiting);
  memmove(&pending[moved], &pending[pendingBegin], waiting * sizeof(int32_t));
  memcpy(pending.data(), session->history(slot), again * sizeof(int32_t));
  memcpy(&pending[again], session->history(slot) + (length - rest), rest * sizeof(int32_t));
  pendingBegin = 0;
  pendingEnd = moved + waiting;
  TERN_RETURN_IF_ERROR(session->truncate(slot, options.shiftKeep - again));
  acceptSlot();
  return {};
}

/// Samples the next token of a slot whose last row has these logits.
Status Generation::choose(const float *logits) {
  const uint32_t length = session->length(slot);
  chosen = sampler->sample(logits, options.sampling, {session->history(slot), length}, random);
  if (chosen < 0 && largestLogit(logits, session->model().artifact().vocabulary_size()) < 0)
    return Status::error(
        StatusCode::invalidArtifact,
        "all logits at position %" PRIu32 " are NaN or -infinity; the model is damaged", length);
  if (chosen < 0)
    return Status::error(StatusCode::invalidArgument,
                         "the logit biases exclude every token that the model allows at position "
                         "%" PRIu32,
                         length);
  ready = true;
  if (options.logProbabilities)
    logProbabilities.compute(logits, session->model().artifact().vocabulary_size(), chosen,
                             options.topLogProbabilities);
  return {};
}

/// True if the pending tokens do not fit the slot and no shift is to make room for them.
bool Generation::isFull() const {
  return pendingEnd - pendingBegin > session->context() - session->length(slot) &&
         !options.contextShift;
}

Status Generation::prepare(bool &needed) {
  needed = begun && !ready && finished == Finish::none && !isMoved() &&
           !cancelRequested.load(std::memory_order_relaxed) &&
           !(options.maxTokens && produced == options.maxTokens) && !isFull();
  if (needed && pendingEnd - pendingBegin > session->context() - session->length(slot))
    return shiftContext();
  return {};
}

Status Generation::next(Piece &piece) {
  piece = {};
  if (!begun)
    return Status::error(StatusCode::invalidArgument, "no generation has begun in this slot");
  if (finished != Finish::none) {
    piece.finish = finished;
    return {};
  }
  if (cancelRequested.load(std::memory_order_relaxed))
    return finishWith(Finish::cancelled, piece);
  if (isMoved()) {
    begun = false;
    return Status::error(StatusCode::invalidArgument,
                         "slot %" PRIu32 " was changed under its generation; begin a new one",
                         slot);
  }
  if (!ready && options.maxTokens && produced == options.maxTokens)
    return finishWith(Finish::maxTokens, piece);
  if (!ready && isFull())
    return finishWith(Finish::slotFull, piece);
  if (!ready)
    if (Status status = evaluate(); !status.isOk()) {
      if (status.code() == StatusCode::cancelled)
        return finishWith(Finish::cancelled, piece);
      begun = false;
      return status;
    }
  return giveOut(piece);
}

Status Generation::evaluate() {
  bool needed;
  TERN_RETURN_IF_ERROR(prepare(needed));
  if (!needed)
    return Status::error(StatusCode::cancelled, "cancelled");
  WantedRows logits;
  TERN_RETURN_IF_ERROR(feedPending(logits));
  return choose(logits.data);
}

/// The piece of the chosen token.
Status Generation::giveOut(Piece &piece) {
  ready = false;
  if (options.logProbabilities)
    piece.logProbabilities = &logProbabilities;
  if (!options.ignoreEnd && text->isEnd(chosen)) {
    TERN_RETURN_IF_ERROR(finishWith(Finish::endToken, piece));
    piece.token = chosen;
    return {};
  }
  pending[0] = chosen;
  pendingBegin = 0;
  pendingEnd = 1;
  ++produced;
  piece.token = chosen;
  bool stopped = false;
  TERN_RETURN_IF_ERROR(text->push(textState, chosen, piece.text, stopped));
  if (stopped)
    piece.finish = finished = Finish::stopString;
  return {};
}
