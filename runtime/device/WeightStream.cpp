#include "runtime/device/WeightStream.h"

#include "runtime/device/Thread.h"

#include <cstring>

using namespace tern;
using namespace tern::runtime;

using Place = StreamLayout::Place;

namespace {
/// Holds a mutex for a scope.
class Lock {
public:
  explicit Lock(pthread_mutex_t &mutex) : mutex(mutex) { pthread_mutex_lock(&mutex); }
  Lock(const Lock &) = delete;
  Lock &operator=(const Lock &) = delete;
  ~Lock() { pthread_mutex_unlock(&mutex); }

private:
  pthread_mutex_t &mutex;
};
} // namespace

uint64_t WeightStream::bytes(const Model &model) {
  const StreamLayout *layout = model.streamLayout();
  return layout ? layout->totalBytes() : 0;
}

Status WeightStream::create(const Model &streamedModel, const Allocator &allocator) {
  model = &streamedModel;
  layout = model->streamLayout();
  TERN_RETURN_IF_ERROR(memory.allocate(allocator, bytes(*model), "streamed weights"));
  memory.adviseHugePages();
  for (uint32_t i = 0; i < layout->unitCount(); ++i)
    if (const StreamLayout::Unit &unit = layout->unit(i); unit.place == Place::kept)
      TERN_RETURN_IF_ERROR(model->readUnit(i, memory.data() + unit.offset));
  if (layout->sequence().size() == 0)
    return {};
  if (const int code = startThread(&thread, threadMain, this))
    return Status::error(StatusCode::outOfMemory, "cannot start the thread that reads weights: %s",
                         strerror(code));
  started = true;
  return {};
}

WeightStream::~WeightStream() {
  if (started)
    stop();
}

void WeightStream::stop() {
  {
    Lock lock(mutex);
    stopping = true;
    pthread_cond_signal(&needChanged);
  }
  pthread_join(thread, nullptr);
}

const uint8_t *WeightStream::unitData(uint32_t index, uint32_t command) const {
  const StreamLayout::Unit &unit = layout->unit(index);
  if (unit.place == Place::kept || (unit.place == Place::streamed && unit.isFetchedAt(command)))
    return memory.data() + unit.offset;
  return model->unitInPlace(index);
}

Status WeightStream::fetch(uint32_t unit) {
  if (layout->unit(unit).place != Place::streamed)
    return {};
  const uint32_t number = layout->unit(unit).number;
  Buffer &buffer = buffers[StreamLayout::bufferOf(number)];
  Lock lock(mutex);
  need = number;
  if (buffer.has(number, Content::failed)) // while it was read ahead: once more
    buffer.content = Content::none;
  pthread_cond_signal(&needChanged);
  while (!buffer.has(number, Content::complete)) {
    if (buffer.has(number, Content::failed))
      return buffer.failure;
    pthread_cond_wait(&contentChanged, &mutex);
  }
  buffer.used = true;
  return {};
}

void WeightStream::release(uint32_t unit, uint32_t command) {
  if (layout->unit(unit).place != Place::streamed || layout->unit(unit).release != command)
    return;
  const uint32_t number = layout->unit(unit).number;
  Lock lock(mutex);
  buffers[StreamLayout::bufferOf(number)].used = false;
  need = (number + 1) % uint32_t(layout->sequence().size());
  pthread_cond_signal(&needChanged);
}

void WeightStream::finish() {
  Lock lock(mutex);
  for (Buffer &buffer : buffers)
    buffer.used = false;
  need = 0;
  pthread_cond_signal(&needChanged);
}

/// The number of the unit that is needed first and can be read now, or `none`. One that could not
/// be read is left until somebody fetches it.
uint32_t WeightStream::nextToRead() const {
  const uint32_t count = uint32_t(layout->sequence().size());
  bool taken[StreamLayout::buffers] = {}; // by a unit that is needed earlier
  for (uint32_t ahead = 0; ahead < StreamLayout::buffers; ++ahead) {
    const uint32_t number = (need + ahead) % count, index = StreamLayout::bufferOf(number);
    const Buffer &buffer = buffers[index];
    if (taken[index])
      continue;
    taken[index] = true;
    if (!buffer.used && (buffer.number != number || buffer.content == Content::none))
      return number;
  }
  return StreamLayout::none;
}

void WeightStream::readAhead() {
  Lock lock(mutex);
  while (!stopping) {
    const uint32_t number = nextToRead();
    if (number == StreamLayout::none) {
      pthread_cond_wait(&needChanged, &mutex);
      continue;
    }
    Buffer &buffer = buffers[StreamLayout::bufferOf(number)];
    buffer.number = number;
    buffer.content = Content::incomplete;
    const uint32_t unit = layout->sequence()[number];
    pthread_mutex_unlock(&mutex);
    const Status status = model->readUnit(unit, memory.data() + layout->unit(unit).offset);
    pthread_mutex_lock(&mutex);
    buffer.content = status.isOk() ? Content::complete : Content::failed;
    buffer.failure = status;
    pthread_cond_signal(&contentChanged);
  }
}

void *WeightStream::threadMain(void *stream) {
  static_cast<WeightStream *>(stream)->readAhead();
  return nullptr;
}
