// Pull-style generation in one slot: prompt in chunks, sampling, end tokens, streamed text, stops,
// cancel.
//
// A session has one Generation per slot, made with it; beginning another one in a slot replaces the
// one before and allocates nothing.
#ifndef TERN_RUNTIME_SESSION_GENERATION_H
#define TERN_RUNTIME_SESSION_GENERATION_H

#include "runtime/session/LogProbabilities.h"
#include "runtime/session/Sampler.h"
#include "runtime/session/Session.h"
#include "runtime/session/TextStream.h"

#include <atomic>

namespace tern::runtime {

struct GenerationOptions {
  SamplingOptions sampling;
  const char *const *stops = nullptr; ///< texts that end it, copied
  size_t stopCount = 0;
  bool logProbabilities = false;
  uint32_t topLogProbabilities = 0; ///< most likely tokens reported beside the chosen one
  uint64_t seed = 0;
  uint32_t maxTokens = 0; ///< 0: no limit
  bool ignoreEnd = false;
  bool contextShift = false; ///< a full slot forgets older tokens instead of ending the generation
  uint32_t shiftKeep = 0;    ///< first tokens that a shift keeps
  bool append = false;       ///< the prompt continues the slot; otherwise it is the whole history
};

/// Numeric values are those of tern_finish.
enum class Finish : uint32_t {
  none = 0,
  endToken = 1,
  maxTokens = 2,
  slotFull = 3,
  cancelled = 4,
  stopString = 5
};

struct Piece {
  int32_t token = -1;
  std::string_view text; ///< valid until the next call on the session
  Finish finish = Finish::none;
  const LogProbabilities *logProbabilities = nullptr; ///< with a token, if they are wanted
};

class Generation {
public:
  static constexpr uint32_t maxBiases = 512;

  /// Takes the memory it will ever need. `session`, `sampler` and `text` outlive it; the latter two
  /// are shared by the generations of a session.
  Status create(Session &session, uint32_t slot, Sampler &sampler, TextStream &text);
  /// Bytes that create() takes.
  static uint64_t bytes(uint32_t context) { return uint64_t(context) * sizeof(int32_t); }

  /// Starts anew; there are at most maxBiases biases, which are copied. On failure the generation
  /// under way goes on as before.
  Status begin(const GenerationOptions &options, const int32_t *prompt, size_t size);

  /// Produces the next token, or the finish. A failed call ends the generation. Fails if somebody
  /// else has changed the slot since the generation's last call.
  Status next(Piece &piece);

  /// From any thread: the call of next() under way or the next one finishes.
  void cancel() { cancelRequested.store(true, std::memory_order_relaxed); }

private:
  friend class GenerationBatch;

  /// Brings the generation to where its pending tokens are to be evaluated; `needed` is false if it
  /// is over, if the next token is chosen already, or if next() has something to report.
  Status prepare(bool &needed);
  bool isFull() const;
  Status feedPending(WantedRows &logits);
  Status finishWith(Finish reason, Piece &piece);
  Status evaluate();
  Status giveOut(Piece &piece);
  Status shiftContext();
  bool isMoved() const { return session->changes(slot) != slotChanges; }
  /// Takes the slot as it is now for the one to go on from.
  void acceptSlot() { slotChanges = session->changes(slot); }
  Status choose(const float *logits);

  Session *session = nullptr;
  uint32_t slot = 0;
  Sampler *sampler = nullptr;
  TextStream *text = nullptr;

  GenerationOptions options;
  LogitBias biases[maxBiases];
  Random random;
  StopStrings stops;
  TextStream::State textState;
  LogProbabilities logProbabilities;
  Array<int32_t> pending; ///< tokens chosen or given, but not yet in the slot
  uint32_t pendingBegin = 0;
  uint32_t pendingEnd = 0;
  uint32_t produced = 0;
  int32_t chosen = -1;
  bool ready = false;                ///< `chosen` has been chosen, but not given out
  Generation *nextInBatch = nullptr; ///< both used by GenerationBatch
  uint32_t rowsInCall = 0;
  uint64_t slotChanges = 0; ///< session->changes() when the generation last used the slot
  bool begun = false;
  Finish finished = Finish::none;
  std::atomic<bool> cancelRequested{false};
};

} // namespace tern::runtime

#endif
