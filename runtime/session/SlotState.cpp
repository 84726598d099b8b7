// A slot as bytes: saved, loaded, kept in a file.
//
//   SlotStateHeader                      version, digests of the artifact and of its code, sizes
//   i32 tokens[length]
//   per KV cache: key blocks, value blocks; of a cache with a window those it still holds
//   SHA-256 of all of the above
//
// Little endian, as the artifact. A state fits only the artifact it came from, and of its variants
// only those with the same code: others round differently, and a sequence would be computed by two.
// Everything read is checked; the slot has a length again only after the digest at the end has been
// found right.
#include "runtime/core/Sha256.h"
#include "runtime/core/Verify.h"
#include "runtime/session/Session.h"

#include <cinttypes>
#include <cstring>

using namespace tern;
using namespace tern::runtime;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "states are little endian");

namespace {

constexpr char stateMagic[8] = {'T', 'E', 'R', 'N', 'S', 'L', 'O', 'T'};
constexpr uint32_t stateVersion = 3;

struct SlotStateHeader {
  char magic[8];
  uint32_t version;
  uint32_t blockPositions;
  uint8_t artifactDigest[Sha256::digestSize];
  uint8_t codeDigest[Sha256::digestSize]; ///< of the variant's image
  uint32_t length;
  uint32_t written; ///< positions below it have been written, where windows have dropped some
  uint32_t cacheCount;
  uint32_t reserved;
  uint64_t blockBytes; ///< of a block of each cache together
};
static_assert(sizeof(SlotStateHeader) == 104);

/// Writes or reads, and digests what passes.
template <typename Stream> class Digesting {
public:
  explicit Digesting(const Stream &stream) : stream(stream) {}

  template <typename Data> Status pass(Data *data, size_t size) {
    if (stream.transfer(stream.context, data, size) != 0)
      return Status::error(StatusCode::ioError, Stream::failure);
    digest.update(data, size);
    return {};
  }
  void finish(uint8_t (&result)[Sha256::digestSize]) { digest.finish(result); }

private:
  const Stream &stream;
  Sha256 digest;
};

} // namespace

static const uint8_t *codeDigestOf(const fb::Variant &variant) {
  return variant.code_digest()->bytes()->data();
}

static SlotStateHeader headerFor(const Model &model, uint32_t length, uint32_t written) {
  SlotStateHeader header = {};
  memcpy(header.magic, stateMagic, sizeof(stateMagic));
  header.version = stateVersion;
  header.blockPositions = blockPositions;
  memcpy(header.artifactDigest, model.digest(), Sha256::digestSize);
  memcpy(header.codeDigest, codeDigestOf(model.variant()), Sha256::digestSize);
  header.length = length;
  header.written = length;
  header.cacheCount = sizeOf(model.artifact().kv_caches());
  for (uint32_t i = 0; i < header.cacheCount; ++i) {
    const fb::KvCache &cache = *model.artifact().kv_caches()->Get(i);
    header.blockBytes += cache.key_block_bytes() + cache.value_block_bytes();
    if (firstBlockHeld(model.artifact(), cache, written) > 0)
      header.written = written; // something has been dropped
  }
  return header;
}

/// Bytes of the state that begins with this header.
static uint64_t stateBytesOf(const Model &model, const SlotStateHeader &header) {
  uint64_t bytes = sizeof(header) + uint64_t(header.length) * sizeof(int32_t) + Sha256::digestSize;
  for (uint32_t i = 0; i < header.cacheCount; ++i) {
    const fb::KvCache &cache = *model.artifact().kv_caches()->Get(i);
    const uint64_t first = firstBlockHeld(model.artifact(), cache, header.written);
    const uint64_t end = blocksOf(header.length);
    bytes +=
        (end > first ? end - first : 0) * (cache.key_block_bytes() + cache.value_block_bytes());
  }
  return bytes;
}

uint64_t Session::stateBytes(uint32_t slot) const {
  const uint32_t written = slot < slots() ? slotStates[slot].written : 0;
  return stateBytesOf(*loaded, headerFor(*loaded, length(slot), written));
}

/// Zeroes what lies behind the first `kept` of the `positions` cells of each row; returns the end.
static uint8_t *clearBehind(uint8_t *row, uint32_t rows, uint32_t positions, uint32_t kept,
                            uint64_t cellBytes) {
  for (uint32_t i = 0; i < rows; ++i, row += positions * cellBytes)
    if (kept < positions)
      memset(row + kept * cellBytes, 0, (positions - kept) * cellBytes);
  return row;
}

/// Zeroes what the last block in use holds behind the slot's length, so that a state has nothing of
/// the sequences the slot held before. Kernels do not need it: nothing they compute depends on what
/// lies there.
void Session::clearTail(uint32_t slot) {
  const uint32_t length = slotStates[slot].length, used = length % blockPositions;
  if (used == 0)
    return;
  // The layouts are the schema's (KvCache).
  constexpr uint32_t keyTile = 16;
  for (uint32_t c = 0; c < kvKeys.size(); ++c) {
    const fb::KvCache &cache = *loaded->artifact().kv_caches()->Get(c);
    const uint64_t element = kvElementSize(cache), scale = kvScaleSize(cache);
    const uint64_t block = blockTables.block(c, slot, length / blockPositions);
    uint8_t *keys = kvKeys[c] + cache.key_block_bytes() * block;
    for (uint32_t head = 0; head < cache.kv_heads(); ++head)
      for (uint32_t first = 0; first < blockPositions; first += keyTile) {
        const uint32_t kept = used > first ? used - first : 0;
        keys = clearBehind(keys, cache.head_size(), keyTile, kept, element);
        keys = clearBehind(keys, 1, keyTile, kept, scale);
      }
    uint8_t *values = kvValues[c] + cache.value_block_bytes() * block;
    for (uint32_t head = 0; head < cache.kv_heads(); ++head) {
      values = clearBehind(values, 1, blockPositions, used, cache.value_size() * element);
      values = clearBehind(values, 1, blockPositions, used, scale);
    }
  }
}

/// Passes a slot's tokens and blocks, in the order of the format.
template <typename Stream>
Status Session::passSlot(uint32_t slot, uint32_t length, uint32_t written, Stream &stream) {
  TERN_RETURN_IF_ERROR(
      stream.pass(&histories[size_t(slot) * sizes.context], size_t(length) * sizeof(int32_t)));
  for (uint32_t c = 0; c < kvKeys.size(); ++c) {
    const fb::KvCache &cache = *loaded->artifact().kv_caches()->Get(c);
    const uint32_t first = firstBlockHeld(loaded->artifact(), cache, written);
    for (uint32_t b = first; b < blocksOf(length); ++b)
      TERN_RETURN_IF_ERROR(
          stream.pass(kvKeys[c] + cache.key_block_bytes() * blockTables.block(c, slot, b),
                      cache.key_block_bytes()));
    for (uint32_t b = first; b < blocksOf(length); ++b)
      TERN_RETURN_IF_ERROR(
          stream.pass(kvValues[c] + cache.value_block_bytes() * blockTables.block(c, slot, b),
                      cache.value_block_bytes()));
  }
  return {};
}

static Status checkSlot(uint32_t slot, uint32_t slots) {
  if (slot >= slots)
    return Status::error(StatusCode::outOfRange, "slot %" PRIu32 ", the session has %" PRIu32, slot,
                         slots);
  return {};
}

Status Session::saveSlot(uint32_t slot, const StateWriter &writer) {
  TERN_RETURN_IF_ERROR(checkSlot(slot, slots()));
  clearTail(slot);
  const SlotStateHeader header =
      headerFor(*loaded, slotStates[slot].length, slotStates[slot].written);
  Digesting<StateWriter> stream(writer);
  TERN_RETURN_IF_ERROR(stream.pass(&header, sizeof(header)));
  TERN_RETURN_IF_ERROR(passSlot(slot, header.length, header.written, stream));
  uint8_t digest[Sha256::digestSize];
  stream.finish(digest);
  if (writer.transfer(writer.context, digest, sizeof(digest)) != 0)
    return Status::error(StatusCode::ioError, StateWriter::failure);
  return {};
}

/// The target of the variant with this code.
static const char *targetWithCode(const Model &model, const uint8_t *digest) {
  for (const fb::Variant *variant : *model.artifact().variants())
    if (memcmp(codeDigestOf(*variant), digest, Sha256::digestSize) == 0)
      return variant->target()->c_str();
  return "no target of this artifact";
}

static Status checkHeader(const SlotStateHeader &header, const Model &model, uint32_t context) {
  if (memcmp(header.magic, stateMagic, sizeof(stateMagic)) != 0)
    return Status::error(StatusCode::invalidArgument,
                         "not a saved slot: no \"TERNSLOT\" at byte 0");
  if (header.version != stateVersion)
    return Status::error(StatusCode::unsupported,
                         "a saved slot of version %" PRIu32 ", this runtime reads %" PRIu32,
                         header.version, stateVersion);
  const SlotStateHeader expected = headerFor(model, header.length, header.written);
  if (memcmp(header.artifactDigest, expected.artifactDigest, Sha256::digestSize) != 0)
    return Status::error(
        StatusCode::invalidArgument,
        "the saved slot belongs to another model, or to another compilation of it");
  if (memcmp(header.codeDigest, expected.codeDigest, Sha256::digestSize) != 0)
    return Status::error(StatusCode::invalidArgument,
                         "the saved slot was computed by %.80s, here %.80s runs; load the model "
                         "with that target",
                         targetWithCode(model, header.codeDigest),
                         model.variant().target()->c_str());
  if (header.blockPositions != expected.blockPositions ||
      header.cacheCount != expected.cacheCount || header.blockBytes != expected.blockBytes)
    return Status::error(
        StatusCode::invalidArgument,
        "the saved slot's KV caches have another shape: %" PRIu32 " caches with %" PRIu64
        " bytes a block, expected %" PRIu32 " with %" PRIu64,
        header.cacheCount, header.blockBytes, expected.cacheCount, expected.blockBytes);
  if (header.length > context)
    return Status::error(StatusCode::outOfRange,
                         "the saved slot has %" PRIu32 " positions, the session's slots %" PRIu32
                         "; create the session with a longer context",
                         header.length, context);
  // What has been dropped must be nothing that the next row attends to.
  if (header.written < header.length || header.written > model.artifact().context_length() ||
      header.written != expected.written || header.reserved != 0 ||
      firstResumable(model.artifact(), header.written, header.length) != header.length)
    return Status::error(StatusCode::invalidArgument,
                         "the saved slot has %" PRIu32 " positions of %" PRIu32
                         " written, which no slot has; it is damaged",
                         header.length, header.written);
  return {};
}

Status Session::loadSlot(uint32_t slot, const StateReader &reader) {
  TERN_RETURN_IF_ERROR(checkSlot(slot, slots()));
  SlotStateHeader header;
  if (reader.size && *reader.size < sizeof(header))
    return Status::error(StatusCode::invalidArgument,
                         "the saved slot has %" PRIu64 " bytes, its header alone takes %zu",
                         *reader.size, sizeof(header));
  Digesting<StateReader> stream(reader);
  TERN_RETURN_IF_ERROR(stream.pass(&header, sizeof(header)));
  TERN_RETURN_IF_ERROR(checkHeader(header, *loaded, sizes.context));
  if (reader.size && *reader.size != stateBytesOf(*loaded, header))
    return Status::error(StatusCode::invalidArgument,
                         "the saved slot has %" PRIu64 " bytes, its header announces %" PRIu64,
                         *reader.size, stateBytesOf(*loaded, header));
  setLength(slot, 0); // what follows overwrites the slot
  TERN_RETURN_IF_ERROR(passSlot(slot, header.length, header.written, stream));
  uint8_t digest[Sha256::digestSize], expected[Sha256::digestSize];
  stream.finish(digest);
  if (reader.transfer(reader.context, expected, sizeof(expected)) != 0)
    return Status::error(StatusCode::ioError, StateReader::failure);
  if (memcmp(digest, expected, sizeof(digest)) != 0)
    return Status::error(StatusCode::invalidArgument,
                         "the saved slot does not match its digest; it is damaged");
  const uint32_t vocabulary = loaded->artifact().vocabulary_size();
  for (uint32_t i = 0; i < header.length; ++i)
    if (const int32_t token = history(slot)[i]; token < 0 || uint32_t(token) >= vocabulary)
      return Status::error(StatusCode::invalidArgument,
                           "the saved slot has token %" PRId32 ", the vocabulary %" PRIu32, token,
                           vocabulary);
  setLength(slot, header.length);
  slotStates[slot].written = header.length ? header.written : 0;
  return {};
}
