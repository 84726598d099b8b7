// Damaged and spliced files. Damage without a matching digest is always found; with one, the loader
// either refuses the file or ends up with something it can run: these tests are for the sanitizers.
#include "runtime/core/Model.h"
#include "runtime/session/Session.h"
#include "test/unit/runtime/ToyArtifact.h"
#include "test/unit/runtime/ToyText.h"

#include <gtest/gtest.h>
#include <random>

using namespace tern;
using namespace tern::runtime;
using namespace tern::test;

/// Loads and verifies; if that succeeds, asks for what reports ask for. Returns whether it loaded.
static bool tryLoad(const AlignedBytes &file) {
  Model model;
  const Status status =
      Model::load(Source::fromMemory(file.data(), file.size()), {}, {}, {}, model);
  ArtifactTable table;
  (void)verifyArtifact(Source::fromMemory(file.data(), file.size()), {}, table).isOk();
  if (!status.isOk())
    return false;
  SessionSizes sizes;
  (void)SessionSizes::compute(model, {}, sizes).isOk();
  for (uint32_t i = 0; i < sizeOf(model.artifact().tensors()); ++i)
    EXPECT_NE(model.artifact().tensors()->Get(i)->name(), nullptr);
  return true;
}

static uint64_t tableSize(const AlignedBytes &file) {
  return 4 + uint64_t(flatbuffers::ReadScalar<uint32_t>(file.data()));
}

TEST(HostileFile, TruncationIsAlwaysFound) {
  const AlignedBytes file = toyWithText();
  for (size_t size = 0; size < file.size(); size += 64) {
    EXPECT_FALSE(tryLoad(AlignedBytes(file.data(), size))) << size;
    // The same with the digest and the size prefix mended, as far as there is room.
    AlignedBytes mended(file.data(), size);
    if (size > 64 && size < tableSize(file)) {
      flatbuffers::WriteScalar(mended.data(), uint32_t(size - 36));
      redigest(mended);
      EXPECT_FALSE(tryLoad(mended)) << size;
    }
  }
}

TEST(HostileFile, OtherFilesAreNamed) {
  const auto message = [](std::vector<uint8_t> bytes) {
    bytes.resize(4096);
    const AlignedBytes file(bytes.data(), bytes.size());
    Model model;
    return std::string(
        Model::load(Source::fromMemory(file.data(), file.size()), {}, {}, {}, model).message());
  };
  EXPECT_NE(message({'G', 'G', 'U', 'F', 3}).find("ternc"), std::string::npos);
  EXPECT_NE(message({0x7f, 'E', 'L', 'F'}).find("not a .tern"), std::string::npos);
  EXPECT_NE(message({}).find("not a .tern"), std::string::npos);
  EXPECT_NE(message({0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 'T', 'E', 'R', 'N'}).find("truncated"),
            std::string::npos);
}

TEST(HostileFile, DamageToTheTableOrCodeIsAlwaysFound) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);
  const AlignedBytes original = toyWithText();
  const uint64_t tableEnd = tableSize(original) + 32;
  const uint64_t codeSize = toyImage().size(), codeStart = original.size() - codeSize;
  for (int round = 0; round < 3000; ++round) {
    AlignedBytes file = original;
    const uint64_t at = random() % 2 ? random() % tableEnd : codeStart + random() % codeSize;
    file[at] ^= uint8_t(1u << random() % 8);
    EXPECT_FALSE(tryLoad(file)) << "byte " << at;
  }
}

TEST(HostileFile, DamageWithMatchingDigestsIsHarmless) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);
  const AlignedBytes original = toyWithText();
  const uint64_t size = tableSize(original);
  int loaded = 0;
  for (int round = 0; round < 20000; ++round) {
    AlignedBytes file = original;
    for (uint32_t i = random() % 4 + 1; i; --i) {
      const uint64_t at = 4 + random() % (size - 4);
      switch (random() % 4) {
      case 0:
        file[at] ^= uint8_t(1u << random() % 8);
        break;
      case 1:
        file[at] = uint8_t(random());
        break;
      case 2: // numbers at the edges
        for (uint64_t b = 0; b < 8 && (at & ~7u) + b < size; ++b)
          file[(at & ~7u) + b] = random() % 2 ? 0xFF : 0;
        break;
      default: // spliced: bytes from elsewhere in the table
        for (uint64_t b = 0, from = 4 + random() % (size - 4); b < 16; ++b)
          if (at + b < size && from + b < size)
            file[at + b] = original.data()[from + b];
        break;
      }
    }
    redigest(file);
    loaded += tryLoad(file);
  }
  // Names and reports may be damaged without harm; most of the rest must not pass.
  EXPECT_LT(loaded, 15000);
}

TEST(HostileFile, SplicedTablesAreHarmless) {
  ToyArtifact other;
  other.table.max_batch = 3;
  other.table.metadata[0]->value = std::string(5000, 'x');
  const AlignedBytes first = toyWithText(), second = other.write();
  for (uint64_t cut = 64; cut < std::min(tableSize(first), tableSize(second)); cut += 36) {
    AlignedBytes file = first;
    std::copy(second.data() + cut, second.data() + std::min(tableSize(first), tableSize(second)),
              file.data() + cut);
    redigest(file);
    tryLoad(file);
  }
}
