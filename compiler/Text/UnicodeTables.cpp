// Expands the generated Unicode data into the tables an artifact carries.
#include "compiler/Text/UnicodeTables.h"

#include "runtime/text/CharClass.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <tuple>

using namespace tern;

namespace {

struct CanonicalMapping {
  uint32_t codePoint, first, second;
  bool composes;
};

#include "compiler/Text/UnicodeTables.inc"

constexpr uint32_t nfcPageSize = 256;
constexpr uint32_t nfcSetBytes = nfcPageSize / 8;

/// Stores equal blocks once; returns the block's index.
template <typename Block> class BlockPool {
public:
  uint32_t indexOf(const Block &block) {
    auto [position, inserted] = indices.try_emplace(block, uint32_t(indices.size()));
    if (inserted)
      bytes.insert(bytes.end(), block.begin(), block.end());
    return position->second;
  }
  std::vector<uint8_t> bytes;

private:
  std::map<Block, uint32_t> indices;
};

} // namespace

CharClassTable tern::buildCharClassTable() {
  using Block = std::array<uint8_t, text::classPageSize>;
  BlockPool<Block> pool;
  CharClassTable table;
  const uint32_t *range = std::begin(classRanges);
  for (uint32_t start = 0; start < text::codePointLimit; start += text::classPageSize) {
    Block block;
    for (uint32_t i = 0; i < text::classPageSize; ++i) {
      if (range + 1 != std::end(classRanges) && range[1] >> 8 == start + i)
        ++range;
      block[i] = uint8_t(*range & 0xff);
    }
    table.pages.push_back(uint16_t(pool.indexOf(block)));
  }
  table.blocks = std::move(pool.bytes);
  return table;
}

flatbuffers::Offset<fb::NfcTables> tern::buildNfcTables(flatbuffers::FlatBufferBuilder &builder) {
  // A code point that is neither decomposed, nor reordered, nor the second of a composition stands
  // for itself whatever precedes it.
  std::vector<bool> mayChange(text::codePointLimit);
  std::vector<fb::Decomposition> decompositions;
  std::vector<fb::Composition> compositions;
  for (const CanonicalMapping &mapping : canonicalMappings) {
    decompositions.emplace_back(mapping.codePoint, mapping.first, mapping.second);
    if (mapping.composes) {
      compositions.emplace_back(mapping.first, mapping.second, mapping.codePoint);
      mayChange[mapping.second] = true;
    } else {
      mayChange[mapping.codePoint] = true;
    }
  }
  for (uint32_t entry : combiningClasses)
    mayChange[entry >> 8] = true;
  for (uint32_t vowel = 0x1161; vowel <= 0x1175; ++vowel)
    mayChange[vowel] = true;
  for (uint32_t trailing = 0x11a8; trailing <= 0x11c2; ++trailing)
    mayChange[trailing] = true;
  std::sort(compositions.begin(), compositions.end(), [](const auto &a, const auto &b) {
    return std::tuple(a.first(), a.second()) < std::tuple(b.first(), b.second());
  });

  using Set = std::array<uint8_t, nfcSetBytes>;
  BlockPool<Set> pool;
  std::vector<uint8_t> pages;
  for (uint32_t start = 0; start < text::codePointLimit; start += nfcPageSize) {
    Set set{};
    for (uint32_t i = 0; i < nfcPageSize; ++i)
      if (mayChange[start + i])
        set[i / 8] |= uint8_t(1 << i % 8);
    pages.push_back(uint8_t(pool.indexOf(set)));
  }
  return fb::CreateNfcTables(
      builder, builder.CreateVector(pages), builder.CreateVector(pool.bytes),
      builder.CreateVector(std::begin(combiningClasses), std::size(combiningClasses)),
      builder.CreateVectorOfStructs(decompositions), builder.CreateVectorOfStructs(compositions));
}
