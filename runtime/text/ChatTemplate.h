// Renders a conversation with an artifact's chat template.
//
// The compiler has reduced the model's Jinja template to the text around each message
// (schema/tokenizer.fbs), so there is one renderer for all families. The result remembers which
// bytes come from the template: only there are control tokens recognised, so that a message cannot
// forge a turn.
#ifndef TERN_RUNTIME_TEXT_CHATTEMPLATE_H
#define TERN_RUNTIME_TEXT_CHATTEMPLATE_H

#include "runtime/core/Status.h"
#include "runtime/text/GrowableArray.h"
#include "tern_generated.h"

#include <string_view>

namespace tern::text {

enum class ChatRole : uint8_t { system, user, assistant };

struct ChatMessage {
  ChatRole role;
  std::string_view content; ///< any bytes; not owned
};

/// A rendered conversation. May be reused; keeps its memory.
struct ChatText {
  struct Span {
    size_t end; ///< offset in `bytes`; the span begins where the one before ends
    bool parseSpecial;
  };
  GrowableArray<char> bytes;
  GrowableArray<Span> spans;

  std::string_view view() const { return {bytes.data(), bytes.size()}; }
  void clear() {
    bytes.clear();
    spans.clear();
  }
};

/// Renders `count` messages into `output`, replacing what it held, and with `askForReply` the
/// words that make the model answer. A system message may only come first.
/// Fails with notFound if the artifact has no usable template (the message says why and how to
/// pass a raw prompt), with invalidArgument on a conversation the template cannot express.
Status renderChat(const fb::ChatTemplate *chat, const ChatMessage *messages, size_t count,
                  bool askForReply, ChatText &output);

} // namespace tern::text

#endif
