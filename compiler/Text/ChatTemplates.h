// Reduces a model's Jinja chat template to the text around each message.
//
// The template is not matched against known ones: it is rendered, here at compile time, for a set
// of probe conversations; the text around the messages is cut out; and the result is accepted only
// if the runtime's renderer reproduces every probe with it byte for byte. So every template of this
// shape works, whatever family it belongs to, and no other is accepted.
#ifndef TERN_COMPILER_TEXT_CHATTEMPLATES_H
#define TERN_COMPILER_TEXT_CHATTEMPLATES_H

#include "tern_generated.h"

#include "llvm/ADT/StringRef.h"

namespace tern {

/// Never fails: without a usable template the table holds the reason. Dates a template would take
/// from the clock are not available; it must bring its own default.
flatbuffers::Offset<fb::ChatTemplate> buildChatTemplate(llvm::StringRef source,
                                                        llvm::StringRef bosToken,
                                                        llvm::StringRef eosToken,
                                                        flatbuffers::FlatBufferBuilder &builder);

} // namespace tern

#endif
