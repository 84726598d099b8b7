// The cascade of split stages.
#include "runtime/text/WordSplitter.h"

#include "runtime/text/SplitMatcher.h"

#include <algorithm>

using namespace tern;
using namespace tern::text;
using fb::SplitKind;

Status WordSplitter::checkStages(const TokenizerTables &tables) {
  if (tables.stages.size > maxStages)
    return Status::error(StatusCode::invalidArtifact,
                         "tokenizer: %u split stages, at most %u are supported", tables.stages.size,
                         maxStages);
  for (uint32_t i = 0; i < tables.stages.size; ++i) {
    const fb::SplitStage &stage = tables.stages.elements[i];
    if (stage.kind() > SplitKind::MAX)
      return Status::error(StatusCode::unsupported,
                           "tokenizer: split kind %u is newer than this runtime; update the "
                           "runtime",
                           unsigned(stage.kind()));
    bool namesSet =
        stage.kind() == SplitKind::set_runs || stage.kind() == SplitKind::spaced_set_runs;
    if (namesSet && stage.parameter() > uint8_t(fb::CodePointSet::MAX))
      return Status::error(StatusCode::unsupported,
                           "tokenizer: code point set %u is newer than this runtime; update the "
                           "runtime",
                           unsigned(stage.parameter()));
  }
  return Status();
}

WordSplitter::WordSplitter(const TokenizerTables &tables, std::string_view text)
    : tables(tables), text(text), ends{} {
  ends[0] = text.size();
}

std::string_view WordSplitter::next() {
  if (position == text.size())
    return {};
  uint32_t stages = tables.stages.size;
  for (uint32_t i = 0; i < stages; ++i) {
    if (ends[i + 1] > position)
      continue;
    std::string_view rest = text.substr(position, ends[i] - position);
    size_t length = pieceLength(tables, tables.stages.elements[i], rest);
    // Tables with wrong classes can make a matcher stop at once; progress must not depend on them.
    ends[i + 1] = position + std::clamp<size_t>(length, 1, rest.size());
  }
  std::string_view word = text.substr(position, ends[stages] - position);
  position = ends[stages];
  return word;
}
