// File head: u32 size, FlatBuffer of that size with identifier "TERN", SHA-256 of both.
#include "runtime/core/Artifact.h"

#include "runtime/core/Sha256.h"

#include <cinttypes>
#include <cstring>

using namespace tern;
using namespace tern::runtime;

/// FlatBuffers offsets are 32 bits, signed in places.
static constexpr uint64_t maxTableSize = (uint64_t(1) << 31) - 1;
/// Tables the verifier visits (shared ones each time they are referred to), which bounds its work
/// and that of every later walk over the records.
static constexpr uint32_t maxTables = 1000000;
static constexpr uint32_t maxDepth = 16;

static Status checkHead(const uint8_t (&head)[12], uint64_t fileSize) {
  if (memcmp(head, "GGUF", 4) == 0)
    return Status::error(StatusCode::invalidArtifact,
                         "this is a GGUF model; compile it first: ternc MODEL.gguf -o MODEL.tern");
  if (memcmp(head + 8, fb::ArtifactIdentifier(), 4) != 0)
    return Status::error(StatusCode::invalidArtifact,
                         "not a .tern artifact: no \"TERN\" at byte 8");
  const uint32_t tableSize = flatbuffers::ReadScalar<uint32_t>(head);
  if (tableSize > maxTableSize ||
      !(CheckedSize(4) + tableSize + Sha256::digestSize).isAtMost(fileSize))
    return Status::error(StatusCode::invalidArtifact,
                         "the table part claims %" PRIu32 " bytes, the file has %" PRIu64
                         "; it is truncated or damaged",
                         tableSize, fileSize);
  return {};
}

Status ArtifactTable::open(const Source &source, const Allocator &allocator,
                           ArtifactTable &result) {
  uint8_t head[12];
  if (source.size() < sizeof(head) + Sha256::digestSize)
    return Status::error(StatusCode::invalidArtifact,
                         "not a .tern artifact: only %" PRIu64 " bytes", source.size());
  TERN_RETURN_IF_ERROR(source.read(0, head, sizeof(head)));
  TERN_RETURN_IF_ERROR(checkHead(head, source.size()));

  ArtifactTable table;
  const uint64_t tableSize = 4 + uint64_t(flatbuffers::ReadScalar<uint32_t>(head));
  table.endOffset = tableSize + Sha256::digestSize;
  const uint8_t *bytes = source.inPlace();
  if (!bytes) {
    TERN_RETURN_IF_ERROR(table.copy.allocate(allocator, table.endOffset, "the artifact's table"));
    TERN_RETURN_IF_ERROR(source.read(0, table.copy.data(), table.endOffset));
    bytes = table.copy.data();
    // What is verified below must be what was announced.
    if (memcmp(bytes, head, sizeof(head)) != 0)
      return Status::error(StatusCode::ioError, "two reads of the file's first bytes differ");
  }
  uint8_t digest[Sha256::digestSize];
  sha256(bytes, tableSize, digest);
  table.tableDigest = bytes + tableSize;
  if (memcmp(digest, table.tableDigest, sizeof(digest)) != 0)
    return Status::error(StatusCode::invalidArtifact,
                         "the table part does not match its digest; the file is damaged");

  flatbuffers::Verifier verifier(bytes, tableSize, maxDepth, maxTables);
  if (!verifier.VerifySizePrefixedBuffer<fb::Artifact>(fb::ArtifactIdentifier()))
    return Status::error(StatusCode::invalidArtifact,
                         "the table part is not a valid FlatBuffer of the artifact schema");
  table.root = flatbuffers::GetSizePrefixedRoot<fb::Artifact>(bytes);
  if (table.root->minimum_reader() > readerVersion)
    return Status::error(StatusCode::unsupported,
                         "the artifact needs a runtime that reads version %" PRIu32
                         ", this one reads %" PRIu32 "; update the runtime",
                         table.root->minimum_reader(), readerVersion);
  if (table.root->file_size() != source.size())
    return Status::error(StatusCode::invalidArtifact,
                         "the artifact is %" PRIu64 " bytes long, the file %" PRIu64
                         "; it is truncated or has something appended",
                         table.root->file_size(), source.size());
  result = std::move(table);
  return {};
}

Status tern::runtime::checkDigest(const void *data, uint64_t size, const fb::Digest &expected,
                                  const char *what) {
  uint8_t digest[Sha256::digestSize];
  sha256(data, size, digest);
  if (memcmp(digest, expected.bytes()->data(), sizeof(digest)) != 0)
    return Status::error(StatusCode::invalidArtifact,
                         "%s does not match its digest; the file is damaged", what);
  return {};
}
