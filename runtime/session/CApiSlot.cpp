// tern/tern.h: slots.
#include "runtime/session/Handles.h"

#include <cstring>

using namespace tern;
using namespace tern::runtime;

uint32_t tern_slot_length(const tern_session *session, uint32_t slot) {
  return session ? session->session.length(slot) : 0;
}

tern_status tern_slot_truncate(tern_session *session, uint32_t slot, uint32_t length,
                               tern_error *error) {
  Status status = requireArgument(session, "session");
  if (status.isOk())
    status = session->session.truncate(slot, length);
  return report(status, error);
}

tern_status tern_slot_copy(tern_session *session, uint32_t source, uint32_t destination,
                           tern_error *error) {
  Status status = requireArgument(session, "session");
  if (status.isOk())
    status = session->session.copySlot(source, destination);
  return report(status, error);
}

const int32_t *tern_slot_tokens(const tern_session *session, uint32_t slot) {
  return session && slot < session->session.slots() ? session->session.history(slot) : nullptr;
}

tern_status tern_slot_save(tern_session *session, uint32_t slot, tern_save_callback save,
                           void *context, tern_error *error) {
  Status status = requireArgument(session, "session");
  if (status.isOk())
    status = requireArgument(reinterpret_cast<const void *>(save), "save");
  if (status.isOk())
    status = session->session.saveSlot(slot, {save, context});
  return report(status, error);
}

tern_status tern_slot_load(tern_session *session, uint32_t slot, tern_restore_callback restore,
                           void *context, tern_error *error) {
  Status status = requireArgument(session, "session");
  if (status.isOk())
    status = requireArgument(reinterpret_cast<const void *>(restore), "restore");
  if (status.isOk())
    status = session->session.loadSlot(slot, {restore, context});
  return report(status, error);
}

namespace {
/// The rest of the caller's memory.
template <typename Byte> struct Memory {
  Byte *at;
  size_t left;
};
} // namespace

static int saveToMemory(void *context, const void *data, size_t size) {
  auto &memory = *static_cast<Memory<uint8_t> *>(context);
  if (size > memory.left)
    return 1;
  if (size)
    memcpy(memory.at, data, size);
  memory.at += size;
  memory.left -= size;
  return 0;
}

static int loadFromMemory(void *context, void *data, size_t size) {
  auto &memory = *static_cast<Memory<const uint8_t> *>(context);
  if (size > memory.left)
    return 1;
  if (size)
    memcpy(data, memory.at, size);
  memory.at += size;
  memory.left -= size;
  return 0;
}

tern_status tern_slot_save_memory(tern_session *session, uint32_t slot, void *data, size_t capacity,
                                  size_t *size, tern_error *error) {
  Status status = requireArgument(session, "session");
  if (status.isOk())
    status = requireArgument(size, "size");
  if (status.isOk() && capacity)
    status = requireArgument(data, "data");
  if (!status.isOk())
    return report(status, error);
  const uint64_t needed = session->session.stateBytes(slot);
  Memory<uint8_t> memory = {static_cast<uint8_t *>(data), capacity};
  if (slot < session->session.slots()) {
    *size = needed;
    if (needed > capacity)
      return report(Status::error(StatusCode::bufferTooSmall,
                                  "the slot takes %zu bytes, the buffer holds %zu", *size,
                                  capacity),
                    error);
  }
  return tern_slot_save(session, slot, saveToMemory, &memory, error);
}

tern_status tern_slot_load_memory(tern_session *session, uint32_t slot, const void *data,
                                  size_t size, tern_error *error) {
  Status status = requireArgument(session, "session");
  if (status.isOk())
    status = requireArgument(data, "data");
  Memory<const uint8_t> memory = {static_cast<const uint8_t *>(data), size};
  const uint64_t bytes = size;
  if (status.isOk())
    status = session->session.loadSlot(slot, {loadFromMemory, &memory, &bytes});
  return report(status, error);
}
