// Checked access to an artifact's tokenizer tables, in place.
//
// The tables may come from a hostile file: the FlatBuffers verifier has established that the
// vectors lie inside the file, nothing else. Every accessor here checks its index and every number
// it finds, so that the code above can follow the tables without further checks.
#ifndef TERN_RUNTIME_TEXT_TOKENIZERTABLES_H
#define TERN_RUNTIME_TEXT_TOKENIZERTABLES_H

#include "runtime/core/Status.h"
#include "runtime/text/CharClass.h"
#include "runtime/text/TableFormat.h"
#include "tern_generated.h"

#include <algorithm>
#include <string_view>

namespace tern::text {

/// A FlatBuffers vector as pointer and length; empty when the vector is absent.
template <typename T> struct TableView {
  const T *elements = nullptr;
  uint32_t size = 0;

  template <typename Vector> static TableView of(const Vector *vector) {
    TableView view;
    if (vector && vector->size()) {
      view.elements = reinterpret_cast<const T *>(vector->Data());
      view.size = vector->size();
    }
    return view;
  }
  /// The element, or `otherwise` past the end.
  T at(uint32_t i, T otherwise) const { return i < size ? elements[i] : otherwise; }
};

struct TokenizerTables {
  static_assert(FLATBUFFERS_LITTLEENDIAN, "tables are used in place");

  fb::TokenizerModel model = fb::TokenizerModel::byte_level_bpe;
  uint32_t tokenCount = 0;
  uint32_t symbolCount = 0;
  uint32_t symbolHashProbes = 0;
  uint32_t mergeProbes = 0;
  int32_t bos = -1, eos = -1, unknown = -1;
  bool addBos = false, addEos = false, addSpacePrefix = false, removeExtraWhitespaces = false;

  TableView<fb::SplitStage> stages;
  TableView<uint32_t> symbolOffsets;
  TableView<uint8_t> symbolBlob;
  TableView<uint8_t> tokenFlags;
  TableView<int32_t> byteTokens;
  TableView<uint32_t> symbolHash;
  TableView<fb::Merge> merges;
  TableView<uint32_t> specialTokens;
  TableView<uint8_t> specialFirstBytes;
  TableView<uint16_t> classPages;
  TableView<uint8_t> classBlocks;
  TableView<uint32_t> endOfGeneration;
  const fb::NfcTables *nfc = nullptr;

  /// Checks sizes and ids in constant time. `table` has passed the FlatBuffers verifier and
  /// outlives the result.
  static Result<TokenizerTables> create(const fb::Tokenizer *table);

  /// The symbol's text; empty for an id that does not exist.
  std::string_view bytesOf(uint32_t symbol) const {
    uint32_t begin = symbolOffsets.at(symbol, 0);
    uint32_t end = symbol < symbolCount ? symbolOffsets.elements[symbol + 1] : 0;
    if (begin >= end || end > symbolBlob.size)
      return {};
    return {reinterpret_cast<const char *>(symbolBlob.elements) + begin, end - begin};
  }

  TokenKind kindOf(uint32_t token) const {
    return TokenKind(tokenFlags.at(token, uint8_t(TokenKind::unused)) & tokenKindMask);
  }
  bool isWholeWord(uint32_t token) const {
    return token < tokenCount && (tokenFlags.at(token, 0) & tokenIsWholeWord);
  }

  /// Token of a single byte, or noSymbol.
  uint32_t byteToken(uint8_t byte) const {
    uint32_t token = uint32_t(byteTokens.at(byte, -1));
    return token < tokenCount ? token : noSymbol;
  }

  /// The symbol with exactly this text, or noSymbol.
  uint32_t findSymbol(std::string_view text) const;

  struct MergeTarget {
    uint32_t result = noSymbol; ///< noSymbol: the pair does not merge
    uint32_t rank = noSymbol;
  };
  MergeTarget findMerge(uint32_t left, uint32_t right) const;

  /// CharClass bits of a code point; 0 for invalidCodePoint.
  uint8_t classOf(uint32_t codePoint) const {
    uint32_t page = classPages.at(codePoint / classPageSize, 0xffff);
    return classBlocks.at(page * classPageSize + codePoint % classPageSize, 0);
  }
};

} // namespace tern::text

#endif
