// tern/tern.h: tokenizing, detokenizing, chat templates.
#include "runtime/session/Handles.h"

using namespace tern;
using namespace tern::runtime;

static Status requireTokenizer(const tern_model *model) {
  TERN_RETURN_IF_ERROR(requireArgument(model, "model"));
  if (!model->hasTokenizer)
    return Status::error(StatusCode::notFound,
                         "the artifact has no tokenizer; work with token ids instead");
  return {};
}

/// Hands tokens to the caller.
static Status deliver(const text::TokenBuffer &found, int32_t *tokens, size_t capacity,
                      size_t *count) {
  *count = found.size();
  if (found.size() > capacity)
    return Status::error(StatusCode::bufferTooSmall, "%zu tokens, the buffer holds %zu",
                         found.size(), capacity);
  if (found.size())
    memcpy(tokens, found.data(), found.size() * sizeof(int32_t));
  return {};
}

tern_status tern_tokenize(const tern_model *model, const char *text, size_t text_size,
                          uint32_t flags, int32_t *tokens, size_t capacity, size_t *count,
                          tern_error *error) {
  Status status = requireTokenizer(model);
  if (status.isOk())
    status = requireArgument(count, "count");
  if (status.isOk() && text_size)
    status = requireArgument(text, "text");
  if (status.isOk() && capacity)
    status = requireArgument(tokens, "tokens");
  if (!status.isOk())
    return report(status, error);
  text::EncodeOptions options;
  options.addBos = options.addEos = !(flags & TERN_TOKENIZE_NO_BOS);
  options.parseSpecial = !(flags & TERN_TOKENIZE_NO_PARSE_SPECIAL);
  text::EncodeWorkspace workspace;
  text::TokenBuffer found;
  status = model->tokenizer.encode({text, text_size}, options, workspace, found);
  if (status.isOk())
    status = deliver(found, tokens, capacity, count);
  return report(status, error);
}

namespace {
/// Text collected in the caller's buffer; counts on when it is full.
struct BoundedText {
  char *text;
  size_t capacity;
  size_t size = 0;

  static void write(void *context, std::string_view part) {
    BoundedText &target = *static_cast<BoundedText *>(context);
    if (target.size + part.size() <= target.capacity && !part.empty())
      memcpy(target.text + target.size, part.data(), part.size());
    target.size += part.size();
  }
};
} // namespace

tern_status tern_detokenize(const tern_model *model, const int32_t *tokens, size_t count,
                            char *text, size_t capacity, size_t *size, tern_error *error) {
  Status status = requireTokenizer(model);
  if (status.isOk())
    status = requireArgument(size, "size");
  if (status.isOk() && count)
    status = requireArgument(tokens, "tokens");
  if (status.isOk() && capacity)
    status = requireArgument(text, "text");
  if (!status.isOk())
    return report(status, error);
  text::DetokenizeOptions options;
  options.dropSpacePrefix = true;
  text::Detokenizer detokenizer(model->tokenizer, options);
  BoundedText result = {text, capacity};
  for (size_t i = 0; i < count; ++i)
    if (status = detokenizer.push(tokens[i], {BoundedText::write, &result}); !status.isOk())
      return report(status, error);
  detokenizer.finish({BoundedText::write, &result});
  *size = result.size;
  if (result.size > capacity)
    status = Status::error(StatusCode::bufferTooSmall, "%zu bytes of text, the buffer holds %zu",
                           result.size, capacity);
  return report(status, error);
}

static Status parseRole(const char *role, text::ChatRole &result) {
  if (strcmp(role, "system") == 0)
    result = text::ChatRole::system;
  else if (strcmp(role, "user") == 0)
    result = text::ChatRole::user;
  else if (strcmp(role, "assistant") == 0)
    result = text::ChatRole::assistant;
  else
    return Status::error(StatusCode::invalidArgument,
                         "message role '%.32s', expected system, user or assistant", role);
  return {};
}

tern_status tern_chat_tokenize(const tern_model *model, const tern_chat_message *messages,
                               size_t message_count, int32_t *tokens, size_t capacity,
                               size_t *count, tern_error *error) {
  Status status = requireTokenizer(model);
  if (status.isOk())
    status = requireArgument(count, "count");
  if (status.isOk())
    status = requireArgument(messages, "messages");
  if (status.isOk() && capacity)
    status = requireArgument(tokens, "tokens");
  text::GrowableArray<text::ChatMessage> conversation;
  for (size_t i = 0; status.isOk() && i < message_count; ++i) {
    text::ChatMessage message = {};
    status = requireArgument(messages[i].role, "a message's role");
    if (status.isOk())
      status = requireArgument(messages[i].content, "a message's content");
    if (status.isOk())
      status = parseRole(messages[i].role, message.role);
    if (status.isOk())
      message.content = messages[i].content;
    if (status.isOk() && !conversation.push(message))
      status =
          Status::error(StatusCode::outOfMemory, "cannot allocate %zu messages", message_count);
  }
  text::ChatText rendered;
  if (status.isOk())
    status = text::renderChat(model->chatTemplate(), conversation.data(), conversation.size(), true,
                              rendered);
  text::EncodeWorkspace workspace;
  text::TokenBuffer found;
  if (status.isOk())
    status = model->tokenizer.encode(rendered, text::EncodeOptions(), workspace, found);
  if (status.isOk())
    status = deliver(found, tokens, capacity, count);
  return report(status, error);
}

int tern_token_is_end(const tern_model *model, int32_t token) {
  return model && model->hasTokenizer && model->tokenizer.isEndOfGeneration(token);
}
