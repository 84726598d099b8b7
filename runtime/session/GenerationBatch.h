// Several generations of a session evaluated together: their rows share forward calls.
#ifndef TERN_RUNTIME_SESSION_GENERATIONBATCH_H
#define TERN_RUNTIME_SESSION_GENERATIONBATCH_H

#include "runtime/session/Generation.h"

namespace tern::runtime {

class GenerationBatch {
public:
  /// Takes the memory it will ever need. `session` outlives it.
  Status create(Session &session);
  /// Bytes that create() takes.
  static uint64_t bytes(uint32_t maxBatch) {
    return uint64_t(maxBatch) * (2 * sizeof(int32_t) + sizeof(uint8_t));
  }

  /// Adds a generation of the session to the next evaluation; adding one twice adds it once.
  Status add(Generation &generation);
  /// Chooses the next token of each added generation and forgets them. A row's result does not
  /// depend on other rows: the tokens are those that next() alone would choose. On failure the
  /// generations concerned are over.
  Status evaluate();
  /// Forgets what was added.
  void clear();

private:
  Status evaluateOnce(bool &left);

  Session *session = nullptr;
  Array<int32_t> tokens, slots;
  Array<uint8_t> want;
  Generation *first = nullptr; ///< linked through Generation::nextInBatch
};

} // namespace tern::runtime

#endif
