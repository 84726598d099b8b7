// What a model file says about its tokenizer, in plain C++: the input of buildTokenizer().
//
// An importer fills it from its format's metadata (GGUF: the keys named beside the fields) and
// leaves out what the file leaves out; defaults are applied by the builder, in one place.
#ifndef TERN_COMPILER_TEXT_TOKENIZERSPEC_H
#define TERN_COMPILER_TEXT_TOKENIZERSPEC_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tern {

struct TokenizerSpec {
  /// tokenizer.ggml.model: "gpt2" (byte-level BPE), "llama" (SentencePiece BPE) or "gemma4"
  /// (merges of characters).
  std::string model;
  /// tokenizer.ggml.pre; empty when absent.
  std::string pre;
  /// tokenizer.ggml.tokens, as the file spells them (byte-level encoded, U+2581 for space).
  std::vector<std::string> tokens;
  /// tokenizer.ggml.scores; "llama" needs one per token, the others none.
  std::vector<float> scores;
  /// tokenizer.ggml.token_type: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  /// Empty: all normal.
  std::vector<int32_t> tokenTypes;
  /// tokenizer.ggml.merges: "left right", best first.
  std::vector<std::string> merges;

  /// tokenizer.ggml.{bos,eos,eot,eom,unknown,padding}_token_id.
  std::optional<uint32_t> bos, eos, eot, eom, unknown, padding;
  /// tokenizer.ggml.fim_{pad,rep,sep}_token_id.
  std::optional<uint32_t> infillPad, infillRepository, infillFile;

  /// tokenizer.ggml.{add_bos_token,add_eos_token,add_space_prefix,remove_extra_whitespaces}.
  std::optional<bool> addBos, addEos, addSpacePrefix, removeExtraWhitespaces;
  /// True if the file has a non-empty tokenizer.ggml.precompiled_charsmap.
  bool hasPrecompiledCharsmap = false;

  /// tokenizer.chat_template: Jinja source; absent or empty when the model has none.
  std::optional<std::string> chatTemplate;
};

} // namespace tern

#endif
