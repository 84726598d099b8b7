// The renderer of all chat templates.
#include "runtime/text/ChatTemplate.h"

#include "runtime/text/Utf8.h"

using namespace tern;
using namespace tern::text;
using fb::SystemPlacement;

namespace {

/// What Python's str.strip() removes, which is what templates were written against.
bool isStripped(uint32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

std::string_view stripLeft(std::string_view text) {
  while (!text.empty()) {
    Utf8Char c = decodeUtf8(text, 0);
    if (!isStripped(c.codePoint))
      break;
    text.remove_prefix(c.length);
  }
  return text;
}

std::string_view stripRight(std::string_view text) {
  while (!text.empty()) {
    // The character that ends here: at most two continuation bytes matter for white space.
    size_t begin = text.size() - 1;
    while (begin > 0 && text.size() - begin < 3 && (uint8_t(text[begin]) & 0xc0) == 0x80)
      --begin;
    Utf8Char c = decodeUtf8(text, begin);
    if (begin + c.length != text.size() || !isStripped(c.codePoint))
      break;
    text.remove_suffix(c.length);
  }
  return text;
}

class Renderer {
public:
  Renderer(const fb::ChatTemplate &chat, ChatText &output) : chat(chat), output(output) {}

  bool addTemplate(const flatbuffers::String *text) {
    return !text || add({text->c_str(), text->size()}, true);
  }
  bool addContent(std::string_view content) { return add(content, false); }

  bool addSystem(std::string_view content) {
    return addTemplate(chat.system_prefix()) &&
           addContent(chat.trim_system() ? stripRight(stripLeft(content)) : content) &&
           addTemplate(chat.system_suffix());
  }

  /// `system` is null unless the system message goes into this turn.
  bool addUser(std::string_view content, const std::string_view *system) {
    if (!addTemplate(chat.user_prefix()))
      return false;
    size_t begin = output.bytes.size();
    if (system && !addSystem(*system))
      return false;
    bool trimAlone = chat.trim_user() && (!system || chat.trim_user_alone());
    if (!addContent(trimAlone ? stripRight(stripLeft(content)) : content))
      return false;
    // Otherwise the message is trimmed together with the system text before it.
    if (chat.trim_user() && !trimAlone)
      stripOutput(begin);
    return addTemplate(chat.user_suffix());
  }

  bool addAssistant(std::string_view content) {
    return addTemplate(chat.assistant_prefix()) &&
           addContent(chat.trim_assistant() ? stripRight(stripLeft(content)) : content) &&
           addTemplate(chat.assistant_suffix());
  }

private:
  bool add(std::string_view text, bool parseSpecial) {
    if (text.empty())
      return true;
    if (!output.bytes.append(text.data(), text.size()))
      return false;
    if (!output.spans.empty() && output.spans.back().parseSpecial == parseSpecial) {
      output.spans.back().end = output.bytes.size();
      return true;
    }
    return output.spans.push({output.bytes.size(), parseSpecial});
  }

  void stripOutput(size_t begin) {
    std::string_view turn = output.view().substr(begin);
    output.bytes.truncate(begin + stripRight(turn).size());
    while (!output.spans.empty() && output.spans.back().end > output.bytes.size()) {
      size_t spanCount = output.spans.size();
      size_t spanBegin = spanCount > 1 ? output.spans[spanCount - 2].end : 0;
      if (spanBegin < output.bytes.size())
        output.spans.back().end = output.bytes.size();
      else
        output.spans.popBack();
    }
  }

  const fb::ChatTemplate &chat;
  ChatText &output;
};

} // namespace

Status tern::text::renderChat(const fb::ChatTemplate *chat, const ChatMessage *messages,
                              size_t count, bool askForReply, ChatText &output) {
  if (!chat || !chat->family())
    return Status::error(StatusCode::notFound,
                         "no chat template in the artifact: pass a raw prompt with -p and without "
                         "--chat; the reason is: %s",
                         chat && chat->reason() ? chat->reason()->c_str() : "none was compiled in");
  output.clear();
  std::string_view system;
  bool hasSystem = false;
  size_t first = 0;
  if (count > 0 && messages[0].role == ChatRole::system) {
    system = messages[0].content;
    hasSystem = true;
    first = 1;
    if (chat->system_placement() == SystemPlacement::unsupported)
      return Status::error(StatusCode::invalidArgument,
                           "the model's chat template takes no system message");
  } else if (chat->default_system()) {
    system = {chat->default_system()->c_str(), chat->default_system()->size()};
    hasSystem = true;
  }
  // The user turn that carries the system message, if one does.
  size_t carrier = SIZE_MAX;
  bool ownTurn = chat->system_placement() == SystemPlacement::own_turn;
  for (size_t i = first; i < count; ++i) {
    if (messages[i].role == ChatRole::system)
      return Status::error(StatusCode::invalidArgument,
                           "message %zu: a system message may only come first", i);
    bool isLast = chat->system_placement() == SystemPlacement::last_user_turn;
    if (messages[i].role == ChatRole::user && (isLast || carrier == SIZE_MAX))
      carrier = i;
  }
  if (hasSystem && !ownTurn && carrier == SIZE_MAX)
    return Status::error(StatusCode::invalidArgument,
                         "the model's chat template puts the system message into a user message, "
                         "and there is none");

  Renderer renderer(*chat, output);
  bool enough = renderer.addTemplate(chat->begin());
  if (hasSystem && ownTurn)
    enough = enough && renderer.addSystem(system);
  for (size_t i = first; i < count && enough; ++i) {
    bool carriesSystem = hasSystem && !ownTurn && i == carrier;
    enough = messages[i].role == ChatRole::user
                 ? renderer.addUser(messages[i].content, carriesSystem ? &system : nullptr)
                 : renderer.addAssistant(messages[i].content);
  }
  enough = enough && renderer.addTemplate(askForReply ? chat->generation_prompt() : chat->end());
  if (!enough)
    return Status::error(StatusCode::outOfMemory, "out of memory while rendering the conversation");
  return Status();
}
