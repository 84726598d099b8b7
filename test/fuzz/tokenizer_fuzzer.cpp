// Any text through any pre-tokenizer: the pieces are the text, none is empty, and the tokens of a
// byte-level vocabulary stand for the text again. The first byte chooses the pre-tokenizer.
#include "compiler/Text/PreTokenizers.h"
#include "compiler/Text/TokenizerBuilder.h"
#include "runtime/text/Tokenizer.h"
#include "runtime/text/WordSplitter.h"
#include "test/unit/text/ByteLevelSpec.h"

#include "llvm/ADT/SmallVector.h"
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

using namespace tern;
using namespace tern::text;

namespace {

struct Built {
  std::vector<uint8_t> bytes;
  Tokenizer tokenizer;
  TokenizerTables tables;
  bool nfc = false;
};

std::vector<std::string> preTokenizerNames() {
  const std::string known = knownPreTokenizers();
  llvm::SmallVector<llvm::StringRef> names;
  llvm::StringRef(known).split(names, ", ");
  std::vector<std::string> result;
  for (llvm::StringRef name : names)
    if (const PreTokenizer *row = findPreTokenizer(name); row && !row->ofCharacters)
      result.push_back(name.str());
  return result;
}

Built build(const std::string &name) {
  flatbuffers::FlatBufferBuilder builder;
  auto table =
      buildTokenizer(byteLevelSpec({"a a", "aa aa", "l o", "\xc4\xa0 a", "1 2"}, name), builder);
  if (!table) {
    llvm::consumeError(table.takeError());
    abort();
  }
  builder.Finish(*table);
  Built built;
  built.bytes.assign(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
  const auto *root = flatbuffers::GetRoot<fb::Tokenizer>(built.bytes.data());
  Result<Tokenizer> tokenizer = Tokenizer::create(root);
  Result<TokenizerTables> tables = TokenizerTables::create(root);
  if (!tokenizer.isOk() || !tables.isOk())
    abort();
  built.tokenizer = *tokenizer;
  built.tables = *tables;
  built.nfc = findPreTokenizer(name)->nfc;
  return built;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const std::vector<std::string> names = preTokenizerNames();
  static std::vector<std::unique_ptr<Built>> cache(names.size());
  if (size == 0)
    return 0;
  const size_t index = data[0] % names.size();
  if (!cache[index])
    cache[index] = std::make_unique<Built>(build(names[index]));
  const Built &built = *cache[index];
  const std::string_view text(reinterpret_cast<const char *>(data) + 1, size - 1);

  WordSplitter splitter(built.tables, text);
  size_t end = 0;
  for (std::string_view word = splitter.next(); !word.empty(); word = splitter.next()) {
    if (word.data() != text.data() + end)
      abort();
    end += word.size();
  }
  if (end != text.size())
    abort();

  EncodeWorkspace workspace;
  TokenBuffer tokens;
  const EncodeOptions options{.addBos = false, .addEos = false, .parseSpecial = data[0] >= 128};
  if (!built.tokenizer.encode(text, options, workspace, tokens).isOk())
    abort();
  std::string back;
  for (int32_t token : tokens)
    back += built.tokenizer.tokenBytes(token);
  if (!built.nfc && back != text)
    abort();
  return 0;
}
