#include "runtime/session/TextStream.h"

#include <cinttypes>
#include <cstring>

using namespace tern;
using namespace tern::runtime;

Status TextStream::create(const text::Tokenizer *source, const Allocator &allocator) {
  tokenizer = source;
  return buffer.allocate(allocator, bytes(), "the text of a token");
}

TextStream::State TextStream::begin(const StopStrings &stops) const {
  State state;
  state.stops = &stops;
  if (tokenizer)
    state.detokenizer.emplace(*tokenizer, text::DetokenizeOptions());
  return state;
}

void TextStream::write(void *context, std::string_view text) {
  TextStream &stream = *static_cast<TextStream *>(context);
  if (text.size() > stream.buffer.size() - stream.used) {
    stream.overflowed = true;
    return;
  }
  memcpy(stream.buffer.data() + stream.used, text.data(), text.size());
  stream.used += text.size();
}

/// Begins the buffer with what was held back.
void TextStream::takeHeld(State &state) {
  memcpy(buffer.data(), state.held, state.heldSize);
  used = state.heldSize;
  overflowed = false;
  state.heldSize = 0;
}

Status TextStream::push(State &state, int32_t token, std::string_view &text, bool &stopped) {
  takeHeld(state);
  // A model may have more rows of logits than its tokenizer has tokens; such tokens have no text.
  if (state.detokenizer && tokenizer->isToken(token))
    TERN_RETURN_IF_ERROR(state.detokenizer->push(token, {write, this}));
  if (overflowed)
    return Status::error(StatusCode::invalidArtifact,
                         "the text of token %" PRId32 " is longer than %zu bytes", token,
                         pieceCapacity);
  const std::string_view found = {reinterpret_cast<const char *>(buffer.data()), used};
  const StopStrings::Split split = state.stops->split(found);
  stopped = split.stops;
  text = found.substr(0, split.given);
  if (!stopped) {
    state.heldSize = uint16_t(found.size() - split.given);
    memcpy(state.held, found.data() + split.given, state.heldSize);
  }
  return {};
}

std::string_view TextStream::finish(State &state) {
  takeHeld(state);
  if (state.detokenizer)
    state.detokenizer->finish({write, this});
  const std::string_view found = {reinterpret_cast<const char *>(buffer.data()), used};
  const StopStrings::Split split = state.stops->split(found);
  return split.stops ? found.substr(0, split.given) : found;
}
