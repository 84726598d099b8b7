// TokenizerSpec from JSON.
#include "test/unit/text/TokenizerSpecJson.h"

#include "llvm/Support/JSON.h"

namespace json = llvm::json;
using namespace tern;

static void read(const json::Object &object, llvm::StringRef key, std::string &value) {
  if (auto found = object.getString(key))
    value = found->str();
}

static void read(const json::Object &object, llvm::StringRef key, std::optional<uint32_t> &value) {
  if (auto found = object.getInteger(key))
    value = uint32_t(*found);
}

static void read(const json::Object &object, llvm::StringRef key, std::optional<bool> &value) {
  if (auto found = object.getBoolean(key))
    value = *found;
}

template <typename T>
static bool readArray(const json::Object &object, llvm::StringRef key, std::vector<T> &values) {
  const json::Array *array = object.getArray(key);
  json::Path::Root root("TokenizerSpec");
  return !array || json::fromJSON(json::Value(json::Array(*array)), values, root);
}

llvm::Expected<TokenizerSpec> tern::parseTokenizerSpec(llvm::StringRef text) {
  llvm::Expected<json::Value> value = json::parse(text);
  if (!value)
    return value.takeError();
  const json::Object *object = value->getAsObject();
  if (!object)
    return llvm::createStringError("expected a JSON object");
  TokenizerSpec spec;
  read(*object, "model", spec.model);
  read(*object, "pre", spec.pre);
  std::vector<double> scores;
  if (!readArray(*object, "tokens", spec.tokens) || !readArray(*object, "scores", scores) ||
      !readArray(*object, "token_type", spec.tokenTypes) ||
      !readArray(*object, "merges", spec.merges))
    return llvm::createStringError("an array has elements of the wrong type");
  spec.scores.assign(scores.begin(), scores.end());
  read(*object, "bos_token_id", spec.bos);
  read(*object, "eos_token_id", spec.eos);
  read(*object, "eot_token_id", spec.eot);
  read(*object, "eom_token_id", spec.eom);
  read(*object, "fim_pad_token_id", spec.infillPad);
  read(*object, "fim_rep_token_id", spec.infillRepository);
  read(*object, "fim_sep_token_id", spec.infillFile);
  read(*object, "unknown_token_id", spec.unknown);
  read(*object, "padding_token_id", spec.padding);
  read(*object, "add_bos_token", spec.addBos);
  read(*object, "add_eos_token", spec.addEos);
  read(*object, "add_space_prefix", spec.addSpacePrefix);
  read(*object, "remove_extra_whitespaces", spec.removeExtraWhitespaces);
  std::string chatTemplate;
  read(*object, "chat_template", chatTemplate);
  if (!chatTemplate.empty())
    spec.chatTemplate = chatTemplate;
  return spec;
}
