// Canonical decomposition, ordering and composition (Unicode Standard Annex #15) of the short runs
// of text that need it.
#include "runtime/text/Nfc.h"

#include "runtime/text/TokenizerTables.h"
#include "runtime/text/Utf8.h"

#include <algorithm>

using namespace tern;
using namespace tern::text;

namespace {

constexpr uint32_t nfcPageSize = 256;
constexpr uint32_t nfcSetBytes = nfcPageSize / 8;
/// No canonical decomposition takes more steps; a cycle in hostile tables ends here.
constexpr int maxDecompositionDepth = 8;

// Hangul syllables are computed (Unicode Standard, section 3.12).
constexpr uint32_t hangulBase = 0xac00, leadBase = 0x1100, vowelBase = 0x1161, trailBase = 0x11a7;
constexpr uint32_t leadCount = 19, vowelCount = 21, trailCount = 28;
constexpr uint32_t syllableCount = leadCount * vowelCount * trailCount;

using Mark = NfcWorkspace::Mark;

class Composer {
public:
  Composer(const fb::NfcTables &tables, NfcWorkspace &workspace)
      : pages(TableView<uint8_t>::of(tables.pages())), sets(TableView<uint8_t>::of(tables.sets())),
        combining(TableView<uint32_t>::of(tables.combining_classes())),
        decompositions(TableView<fb::Decomposition>::of(tables.decompositions())),
        compositions(TableView<fb::Composition>::of(tables.compositions())), workspace(workspace) {}

  /// False if the character is the same whatever precedes it.
  bool mayChange(uint32_t codePoint) const {
    uint32_t page = pages.at(codePoint / nfcPageSize, 0);
    uint8_t byte = sets.at(page * nfcSetBytes + codePoint % nfcPageSize / 8, 0);
    return codePoint < codePointLimit && (byte >> (codePoint % 8) & 1);
  }

  bool addDecomposed(uint32_t codePoint, int depth = 0);
  /// Orders and composes the run and appends it to the output. False when memory runs out.
  bool flush();

private:
  uint32_t combiningClass(uint32_t codePoint) const;
  uint32_t compose(uint32_t first, uint32_t second) const;
  bool sortMarks();

  TableView<uint8_t> pages, sets;
  TableView<uint32_t> combining;
  TableView<fb::Decomposition> decompositions;
  TableView<fb::Composition> compositions;
  NfcWorkspace &workspace;
};

} // namespace

uint32_t Composer::combiningClass(uint32_t codePoint) const {
  const uint32_t *end = combining.elements + combining.size;
  const uint32_t *found = std::lower_bound(combining.elements, end, codePoint << 8);
  return found != end && *found >> 8 == codePoint ? *found & 0xff : 0;
}

/// The composition of two code points, or 0.
uint32_t Composer::compose(uint32_t first, uint32_t second) const {
  if (first - leadBase < leadCount && second - vowelBase < vowelCount)
    return hangulBase + ((first - leadBase) * vowelCount + (second - vowelBase)) * trailCount;
  if (first - hangulBase < syllableCount && (first - hangulBase) % trailCount == 0 &&
      second - trailBase - 1 < trailCount - 1)
    return first + (second - trailBase);
  const fb::Composition *end = compositions.elements + compositions.size;
  const fb::Composition *found = std::lower_bound(
      compositions.elements, end, std::pair(first, second),
      [](const fb::Composition &c, std::pair<uint32_t, uint32_t> key) {
        return c.first() != key.first ? c.first() < key.first : c.second() < key.second;
      });
  bool matches = found != end && found->first() == first && found->second() == second;
  return matches && found->composed() < codePointLimit ? found->composed() : 0;
}

bool Composer::addDecomposed(uint32_t codePoint, int depth) {
  if (codePoint - hangulBase < syllableCount) {
    uint32_t index = codePoint - hangulBase;
    uint32_t trail = index % trailCount;
    return workspace.run.push({leadBase + index / (vowelCount * trailCount), 0}) &&
           workspace.run.push({vowelBase + index / trailCount % vowelCount, 0}) &&
           (trail == 0 || workspace.run.push({trailBase + trail, 0}));
  }
  const fb::Decomposition *end = decompositions.elements + decompositions.size;
  const fb::Decomposition *found = std::lower_bound(
      decompositions.elements, end, codePoint,
      [](const fb::Decomposition &d, uint32_t key) { return d.code_point() < key; });
  if (found == end || found->code_point() != codePoint || depth == maxDecompositionDepth)
    return workspace.run.push({codePoint, combiningClass(codePoint)});
  uint32_t first = found->first(), second = found->second();
  if (first >= codePointLimit || second >= codePointLimit)
    return workspace.run.push({codePoint, 0});
  // Only the first part decomposes further.
  return addDecomposed(first, depth + 1) &&
         (second == 0 || workspace.run.push({second, combiningClass(second)}));
}

/// Sorts every stretch of marks by combining class, keeping the order of equals, in linear time.
bool Composer::sortMarks() {
  GrowableArray<Mark> &run = workspace.run;
  for (size_t begin = 0; begin < run.size();) {
    if (run[begin].combiningClass == 0) {
      ++begin;
      continue;
    }
    size_t end = begin;
    bool ordered = true;
    for (; end < run.size() && run[end].combiningClass != 0; ++end)
      ordered &= end == begin || run[end - 1].combiningClass <= run[end].combiningClass;
    if (!ordered) {
      size_t starts[257] = {};
      for (size_t i = begin; i < end; ++i)
        ++starts[run[i].combiningClass + 1];
      for (int c = 1; c < 257; ++c)
        starts[c] += starts[c - 1];
      workspace.sorted.clear();
      if (!workspace.sorted.append(&run[begin], end - begin))
        return false;
      for (const Mark &mark : workspace.sorted)
        run[begin + starts[mark.combiningClass]++] = mark;
    }
    begin = end;
  }
  return true;
}

bool Composer::flush() {
  if (!sortMarks())
    return false;
  GrowableArray<Mark> &run = workspace.run;
  size_t kept = 0;           // run[0, kept) is composed
  size_t starter = SIZE_MAX; // last character of class 0 in it
  for (size_t i = 0; i < run.size(); ++i) {
    Mark mark = run[i];
    if (starter != SIZE_MAX) {
      // A mark is blocked from its starter by a kept mark of the same or a higher class.
      bool adjacent = starter + 1 == kept;
      bool blocked = !adjacent && (run[kept - 1].combiningClass >= mark.combiningClass);
      uint32_t composed = blocked ? 0 : compose(run[starter].codePoint, mark.codePoint);
      if (composed) {
        run[starter].codePoint = composed;
        continue;
      }
    }
    if (mark.combiningClass == 0)
      starter = kept;
    run[kept++] = mark;
  }
  for (size_t i = 0; i < kept; ++i) {
    char bytes[4];
    if (!workspace.output.append(bytes, encodeUtf8(run[i].codePoint, bytes)))
      return false;
  }
  run.clear();
  return true;
}

Status tern::text::normalizeNfc(const fb::NfcTables &tables, std::string_view text,
                                NfcWorkspace &workspace, std::string_view &normalized) {
  const Status outOfMemory = Status::error(
      StatusCode::outOfMemory, "out of memory while normalizing %zu bytes of text", text.size());
  Composer composer(tables, workspace);
  workspace.output.clear();
  workspace.run.clear();
  size_t copied = 0;   // text[0, copied) is in the output
  size_t previous = 0; // start of the character before `position`
  for (size_t position = 0; position < text.size();) {
    Utf8Char character = decodeUtf8(text, position);
    if (!composer.mayChange(character.codePoint)) {
      previous = position;
      position += character.length;
      continue;
    }
    // The run: the character before, which this one may join, and all that may change.
    size_t begin = std::max(previous, copied);
    if (begin < position) {
      Utf8Char before = decodeUtf8(text, begin);
      if (before.codePoint == invalidCodePoint)
        begin = position;
      else if (!composer.addDecomposed(before.codePoint))
        return outOfMemory;
    }
    if (!workspace.output.append(text.data() + copied, begin - copied))
      return outOfMemory;
    do {
      if (!composer.addDecomposed(character.codePoint))
        return outOfMemory;
      position += character.length;
      if (position == text.size())
        break;
      character = decodeUtf8(text, position);
    } while (composer.mayChange(character.codePoint));
    if (!composer.flush())
      return outOfMemory;
    copied = previous = position;
  }
  if (copied == 0) {
    normalized = text;
    return Status();
  }
  if (!workspace.output.append(text.data() + copied, text.size() - copied))
    return outOfMemory;
  normalized = {workspace.output.data(), workspace.output.size()};
  return Status();
}
