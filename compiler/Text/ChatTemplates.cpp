// Reduces chat templates to data: no family is recognised yet, so every artifact says so.
#include "compiler/Text/ChatTemplates.h"

using namespace tern;

flatbuffers::Offset<fb::ChatTemplate>
tern::buildChatTemplate(llvm::StringRef source, llvm::StringRef bosToken, llvm::StringRef eosToken,
                        flatbuffers::FlatBufferBuilder &builder) {
  auto reason = builder.CreateString(source.empty() ? "the model file has none"
                                                    : "the model's template is not recognised");
  return fb::CreateChatTemplate(builder, 0, reason);
}
