// The objects behind the handles of tern/tern.h, and what its functions share: reference counts,
// structs that carry their size, errors in the caller's storage.
#ifndef TERN_RUNTIME_SESSION_HANDLES_H
#define TERN_RUNTIME_SESSION_HANDLES_H

#include "runtime/core/Model.h"
#include "runtime/session/GenerationBatch.h"
#include "runtime/session/Sampler.h"
#include "runtime/session/Session.h"
#include "runtime/session/TextStream.h"
#include "runtime/text/Tokenizer.h"
#include "tern/tern.h"

#include <atomic>
#include <cstring>

struct tern_runtime {
  std::atomic<uint32_t> references{1};
  tern::Allocator allocator;
  tern::runtime::Log log;
  uint32_t threads = 0;
};

struct tern_model {
  std::atomic<uint32_t> references{1};
  tern_runtime *runtime = nullptr; ///< holds a reference
  tern::runtime::Model model;
  tern::text::Tokenizer tokenizer;
  bool hasTokenizer = false;

  const tern::fb::ChatTemplate *chatTemplate() const {
    const tern::fb::Tokenizer *table = model.artifact().tokenizer();
    return table ? table->chat() : nullptr;
  }
};

struct tern_generation {
  tern::runtime::Generation generation;
  tern_token_logprob top[TERN_MAX_TOP_LOGPROBS]; ///< of the last piece
};

struct tern_session {
  tern_model *model = nullptr; ///< holds a reference
  tern::runtime::Session session;
  tern::runtime::Sampler sampler;
  tern::runtime::TextStream text;
  tern::runtime::GenerationBatch batch;
  tern::Block generationMemory;
  uint32_t generationCount = 0;

  tern_generation *generation(uint32_t slot) {
    return reinterpret_cast<tern_generation *>(generationMemory.data()) + slot;
  }
};

namespace tern::runtime {

/// Stores a failure for the caller and returns its code.
tern_status report(const Status &status, tern_error *error);

/// The caller's struct over the defaults, as far as its struct_size reaches.
template <typename T> Status readStruct(const T *given, T &result, const char *name) {
  if (!given)
    return {};
  if (given->struct_size < sizeof(given->struct_size))
    return Status::error(StatusCode::invalidArgument,
                         "%s.struct_size is %zu; set the struct up with its INIT macro", name,
                         given->struct_size);
  memcpy(&result, given, given->struct_size < sizeof(T) ? given->struct_size : sizeof(T));
  result.struct_size = sizeof(T);
  return {};
}

/// Fills the caller's struct, as far as its struct_size reaches.
template <typename T> Status writeStruct(T value, T *destination, const char *name) {
  if (!destination || destination->struct_size < sizeof(value.struct_size))
    return Status::error(StatusCode::invalidArgument,
                         "%s is missing or has no struct_size; set it up with its INIT macro",
                         name);
  value.struct_size = destination->struct_size;
  memcpy(destination, &value, value.struct_size < sizeof(T) ? value.struct_size : sizeof(T));
  return {};
}

inline Status requireArgument(const void *argument, const char *name) {
  if (!argument)
    return Status::error(StatusCode::invalidArgument, "%s is NULL", name);
  return {};
}

/// Gives a reference back; destroys the object with the last one.
void release(tern_runtime *runtime);
void release(tern_model *model);

} // namespace tern::runtime

#endif
