// TokenizerSpec from GGUF metadata.
#include "compiler/Import/GGUF/GGUFTokenizer.h"

namespace tern {

namespace {

const std::string prefix = "tokenizer.ggml.";

// Reads keys of the expected type; a key of another type is noted and ends the attempt.
class TokenizerKeys {
public:
  TokenizerKeys(const gguf::File &file, std::string &note) : file(file), note(note) {}

  bool failed() const { return !note.empty(); }

  template <typename T, typename Get>
  std::optional<T> get(const std::string &key, Get as, const char *expected) {
    const gguf::Value *value = file.find(key);
    if (!value)
      return std::nullopt;
    auto result = as(*value);
    if (!result) {
      note =
          "metadata key '" + key + "' is of type " + value->typeName() + ", expected " + expected;
      return std::nullopt;
    }
    return T(*result);
  }

  std::optional<std::string> string(const std::string &key) {
    return get<std::string>(key, [](const gguf::Value &v) { return v.asString(); }, "a string");
  }
  std::optional<bool> boolean(const std::string &key) {
    return get<bool>(key, [](const gguf::Value &v) { return v.asBool(); }, "a bool");
  }
  std::vector<std::string> strings(const std::string &key) {
    auto views = get<std::vector<std::string_view>>(
        key, [](const gguf::Value &v) { return v.asStrings(); }, "an array of strings");
    return views ? std::vector<std::string>(views->begin(), views->end())
                 : std::vector<std::string>();
  }

  // -1 in a signed key stands for "none", as llama.cpp writes it.
  std::optional<uint32_t> token(const char *name) {
    std::string key = prefix + name;
    std::optional<int64_t> id =
        get<int64_t>(key, [](const gguf::Value &v) { return v.asSigned(); }, "a token id");
    if (!id || *id == -1 || *id == int64_t(UINT32_MAX))
      return std::nullopt;
    if (*id < 0 || *id > int64_t(UINT32_MAX)) {
      note = "metadata key '" + key + "' is " + std::to_string(*id) + ", expected a token id";
      return std::nullopt;
    }
    return uint32_t(*id);
  }

  template <typename T, typename At>
  std::vector<T> numbers(const char *name, At at, const char *expected) {
    std::string key = prefix + name;
    const gguf::Value *value = file.find(key);
    std::vector<T> result;
    if (!value)
      return result;
    for (uint64_t i = 0; value->isArray() && i < value->count; ++i) {
      auto number = at(*value, i);
      if (!number)
        break;
      result.push_back(T(*number));
    }
    if (!value->isArray() || result.size() != value->count)
      note =
          "metadata key '" + key + "' is of type " + value->typeName() + ", expected " + expected;
    return result;
  }

private:
  const gguf::File &file;
  std::string &note;
};

} // namespace

/// What the name of a tokenizer model without support stands for, in parentheses.
static std::string algorithmOf(std::string_view model) {
  if (model == "t5")
    return " (SentencePiece Unigram)";
  if (model == "bert")
    return " (WordPiece)";
  if (model == "rwkv")
    return " (RWKV's longest match)";
  if (model == "plamo2")
    return " (PLaMo's lattice)";
  return "";
}

std::optional<TokenizerSpec> readGGUFTokenizer(const gguf::File &file, std::string &note) {
  note.clear();
  TokenizerKeys keys(file, note);
  std::optional<std::string> model = keys.string(prefix + "model");
  if (!model) {
    if (note.empty())
      note = "the file has no metadata key 'tokenizer.ggml.model'";
    return std::nullopt;
  }
  if (*model != "gpt2" && *model != "llama" && *model != "gemma4") {
    note = "tokenizer model " + gguf::quotedText(*model) + algorithmOf(*model) +
           " is not supported; known are gpt2, llama, gemma4";
    return std::nullopt;
  }
  TokenizerSpec spec;
  spec.model = *model;
  spec.pre = keys.string(prefix + "pre").value_or("");
  spec.tokens = keys.strings(prefix + "tokens");
  spec.merges = keys.strings(prefix + "merges");
  spec.scores = keys.numbers<float>(
      "scores", [](const gguf::Value &v, uint64_t i) { return v.doubleAt(i); },
      "an array of floats");
  spec.tokenTypes = keys.numbers<int32_t>(
      "token_type", [](const gguf::Value &v, uint64_t i) { return v.signedAt(i); },
      "an array of integers");
  spec.bos = keys.token("bos_token_id");
  spec.eos = keys.token("eos_token_id");
  spec.eot = keys.token("eot_token_id");
  spec.eom = keys.token("eom_token_id");
  spec.unknown = keys.token("unknown_token_id");
  spec.padding = keys.token("padding_token_id");
  spec.infillPad = keys.token("fim_pad_token_id");
  spec.infillRepository = keys.token("fim_rep_token_id");
  spec.infillFile = keys.token("fim_sep_token_id");
  spec.addBos = keys.boolean(prefix + "add_bos_token");
  spec.addEos = keys.boolean(prefix + "add_eos_token");
  spec.addSpacePrefix = keys.boolean(prefix + "add_space_prefix");
  spec.removeExtraWhitespaces = keys.boolean(prefix + "remove_extra_whitespaces");
  if (const gguf::Value *map = file.find(prefix + "precompiled_charsmap"))
    spec.hasPrecompiledCharsmap = map->isArray() && map->count > 0;
  spec.chatTemplate = keys.string("tokenizer.chat_template");
  if (keys.failed())
    return std::nullopt;
  if (spec.tokens.empty()) {
    note = "the file has no metadata key 'tokenizer.ggml.tokens'";
    return std::nullopt;
  }
  return spec;
}

} // namespace tern
