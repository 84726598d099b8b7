// Any bytes as a model's Jinja chat template: parsing fails with a message; rendering ends; and
// what the compiler makes of the template either says why it is not usable or is rendered by the
// runtime.
#include "compiler/Text/ChatTemplates.h"
#include "compiler/Text/JinjaSyntax.h"
#include "runtime/text/ChatTemplate.h"

#include <cstdlib>

using namespace tern;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const llvm::StringRef source(reinterpret_cast<const char *>(data), size);
  if (auto statements = jinja::parse(source); !statements)
    if (llvm::toString(statements.takeError()).empty())
      abort();
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(buildChatTemplate(source, "<s>", "</s>", builder));
  const auto *table = flatbuffers::GetRoot<fb::ChatTemplate>(builder.GetBufferPointer());
  const text::ChatMessage messages[] = {{text::ChatRole::system, " s "},
                                        {text::ChatRole::user, "u<s>"},
                                        {text::ChatRole::assistant, "a"},
                                        {text::ChatRole::user, ""}};
  text::ChatText chat;
  const Status status = text::renderChat(table, messages, std::size(messages), true, chat);
  if (!status.isOk() && *status.message() == 0)
    abort();
  return 0;
}
