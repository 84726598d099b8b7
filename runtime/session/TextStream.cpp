#include "runtime/session/TextStream.h"

#include <cinttypes>
#include <cstring>

using namespace tern;
using namespace tern::runtime;

Status TextStream::create(const text::Tokenizer *source, const Allocator &allocator) {
  tokenizer = source;
  return buffer.allocate(allocator, pieceCapacity, "the text of a token");
}

TextStream::State TextStream::begin() const {
  State state;
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

Status TextStream::push(State &state, int32_t token, std::string_view &text) {
  used = 0;
  overflowed = false;
  // A model may have more rows of logits than its tokenizer has tokens; such tokens have no text.
  if (state.detokenizer && tokenizer->isToken(token))
    TERN_RETURN_IF_ERROR(state.detokenizer->push(token, {write, this}));
  if (overflowed)
    return Status::error(StatusCode::invalidArtifact,
                         "the text of token %" PRId32 " is longer than %zu bytes", token,
                         pieceCapacity);
  text = {reinterpret_cast<const char *>(buffer.data()), used};
  return {};
}

std::string_view TextStream::finish(State &state) {
  used = 0;
  if (state.detokenizer)
    state.detokenizer->finish({write, this});
  return {reinterpret_cast<const char *>(buffer.data()), used};
}
