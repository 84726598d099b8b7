// Text to tokens, with the tables of an artifact, in place.
//
// A Tokenizer is a few pointers into the artifact: making one costs nothing whatever the size of
// the vocabulary, and it may be copied. It is immutable and may be shared by threads; each thread
// brings its own EncodeWorkspace.
#ifndef TERN_RUNTIME_TEXT_TOKENIZER_H
#define TERN_RUNTIME_TEXT_TOKENIZER_H

#include "runtime/core/Status.h"
#include "runtime/text/ChatTemplate.h"
#include "runtime/text/Nfc.h"
#include "runtime/text/TokenizerTables.h"
#include "runtime/text/WordMerger.h"

#include <string_view>

namespace tern::text {

struct EncodeOptions {
  /// Begin with the BOS token if the model asks for one.
  bool addBos = true;
  /// End with the EOS token if the model asks for one (few do).
  bool addEos = true;
  /// Take control tokens spelled in the text as such; otherwise they are plain text.
  /// User-defined tokens are always recognised.
  bool parseSpecial = true;
};

/// Memory that encoding needs beside its result. It grows with the longest text and word seen and
/// is kept: encoding again what has been encoded before does not allocate.
struct EncodeWorkspace {
  NfcWorkspace nfc;
  MergeWorkspace merge;
  GrowableArray<char> normalized;
};

class Tokenizer {
public:
  /// Longest text encode() accepts, in bytes.
  static constexpr size_t maxTextBytes = size_t(1) << 30;

  Tokenizer() = default;

  /// `table` lies in a buffer that has passed the FlatBuffers verifier and outlives the tokenizer.
  /// Constant time. Fails with notFound if it is null, otherwise on inconsistent tables.
  static Result<Tokenizer> create(const fb::Tokenizer *table);

  /// Appends the tokens of `text`, which may be any bytes, to `tokens`. After a failure `tokens`
  /// may hold a part of the result. Fails on a text over maxTextBytes, on a character the
  /// vocabulary cannot express, on lack of memory and on damaged tables.
  Status encode(std::string_view text, const EncodeOptions &options, EncodeWorkspace &workspace,
                TokenBuffer &tokens) const;

  /// The same for a rendered conversation: control tokens count only in the template's own text
  /// (options.parseSpecial says whether there), never in messages. BOS is added only if the
  /// template does not begin with it.
  Status encode(const ChatText &chat, const EncodeOptions &options, EncodeWorkspace &workspace,
                TokenBuffer &tokens) const;

  uint32_t tokenCount() const { return tables.tokenCount; }

  /// The bytes a token stands for: not always whole characters; control tokens give their name.
  /// Empty for an id out of range.
  std::string_view tokenBytes(int32_t id) const {
    return isToken(id) ? tables.bytesOf(uint32_t(id)) : std::string_view();
  }
  bool isToken(int32_t id) const { return id >= 0 && uint32_t(id) < tables.tokenCount; }
  /// `unused` for an id out of range.
  TokenKind kind(int32_t id) const {
    return isToken(id) ? tables.kindOf(uint32_t(id)) : TokenKind::unused;
  }
  /// Whether generation stops at this token.
  bool isEndOfGeneration(int32_t id) const;
  /// The model's special tokens, or -1.
  int32_t bos() const { return tables.bos; }
  int32_t eos() const { return tables.eos; }
  /// Whether encoded text begins with a space that decoding must drop again.
  bool addsSpacePrefix() const { return tables.addSpacePrefix; }

private:
  struct Encoding;

  TokenizerTables tables;
};

} // namespace tern::text

#endif
