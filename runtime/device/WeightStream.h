// Weights that are read while the plan runs: the memory that core/StreamLayout.h lays out, and the
// thread that fills it.
//
// The thread reads ahead: when a unit is released, the one after the next goes into its buffer, and
// behind the last come the first ones of the next call. Each unit is compared with its digest
// whenever it has been read.
#ifndef TERN_RUNTIME_DEVICE_WEIGHTSTREAM_H
#define TERN_RUNTIME_DEVICE_WEIGHTSTREAM_H

#include "runtime/core/Model.h"

#include <pthread.h>

namespace tern::runtime {

class WeightStream {
public:
  WeightStream() = default;
  WeightStream(const WeightStream &) = delete;
  WeightStream &operator=(const WeightStream &) = delete;
  ~WeightStream();

  /// Takes the memory, reads what is kept and starts the thread. `model` has a stream layout and
  /// outlives the stream. Called once.
  Status create(const Model &model, const Allocator &allocator);
  /// What create() takes of the allocator.
  static uint64_t bytes(const Model &model);

  /// Where a command of the plan finds a unit; stays so.
  const uint8_t *unitData(uint32_t unit, uint32_t command) const;

  /// Waits until a unit is there, which it stays until its release. Fails if it cannot be read or
  /// is damaged; the next fetch of it tries again. Nothing to do for units that are not streamed,
  /// and for a release that is not the layout's.
  Status fetch(uint32_t unit);
  void release(uint32_t unit, uint32_t command);
  /// After the last command of a run, also of one that ended early: the next begins with the first
  /// fetch.
  void finish();

private:
  enum class Content : uint8_t { none, incomplete, complete, failed };
  struct Buffer {
    uint32_t number = 0; ///< of the streamed unit that `content` is about
    Content content = Content::none;
    bool used = false;
    Status failure;

    bool has(uint32_t wanted, Content state) const { return number == wanted && content == state; }
  };
  static void *threadMain(void *stream);
  void readAhead();
  uint32_t nextToRead() const;
  void stop();

  const Model *model = nullptr;
  const StreamLayout *layout = nullptr;
  Block memory;
  pthread_t thread = {};
  bool started = false;

  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; ///< guards what follows
  pthread_cond_t needChanged = PTHREAD_COND_INITIALIZER, contentChanged = PTHREAD_COND_INITIALIZER;
  Buffer buffers[StreamLayout::buffers];
  uint32_t need = 0; ///< number of the unit in use or needed next
  bool stopping = false;
};

} // namespace tern::runtime

#endif
