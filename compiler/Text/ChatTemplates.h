// Reduces a model's Jinja chat template to the text around each message.
#ifndef TERN_COMPILER_TEXT_CHATTEMPLATES_H
#define TERN_COMPILER_TEXT_CHATTEMPLATES_H

#include "tern_generated.h"

#include "llvm/ADT/StringRef.h"

namespace tern {

flatbuffers::Offset<fb::ChatTemplate> buildChatTemplate(llvm::StringRef source,
                                                        llvm::StringRef bosToken,
                                                        llvm::StringRef eosToken,
                                                        flatbuffers::FlatBufferBuilder &builder);

} // namespace tern

#endif
