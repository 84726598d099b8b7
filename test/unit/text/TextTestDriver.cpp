// tern-text-test-driver: the text layer as a command, without a model.
//
//   build SPEC.json OUT.bin          tokenizer tables from a JSON TokenizerSpec
//   encode TABLES.bin [--no-bos] [--no-parse-special]
//   decode TABLES.bin [--special] [--drop-space-prefix]
//   chat TABLES.bin [--no-reply] [--tokens]
//   ends TABLES.bin                  the tokens that end a reply
//   bench TABLES.bin TEXT
//
// encode, decode and chat serve one request per record on stdin; a record is a decimal byte count,
// a newline and that many bytes. Answers have the same form. encode answers with ids separated by
// spaces, decode takes them. A chat request is messages, each: a letter (s, u, a), a decimal byte
// count, a newline, the content.
#include "compiler/Text/TokenizerBuilder.h"
#include "runtime/text/Detokenizer.h"
#include "runtime/text/Tokenizer.h"
#include "test/unit/text/TokenizerSpecJson.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

using namespace tern;
using namespace tern::text;

[[noreturn]] static void fail(const std::string &message) {
  std::fprintf(stderr, "tern-text-test-driver: %s\n", message.c_str());
  std::exit(1);
}

static void check(const Status &status) {
  if (!status.isOk())
    fail(status.message());
}

static std::string readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    fail("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

static bool readRecord(std::string &record) {
  size_t size;
  if (!(std::cin >> size))
    return false;
  std::cin.get();
  record.resize(size);
  std::cin.read(record.data(), std::streamsize(size));
  return bool(std::cin);
}

static void writeRecord(std::string_view record) {
  std::cout << record.size() << '\n' << record << std::flush;
}

static std::string joinIds(const TokenBuffer &tokens) {
  std::string line;
  for (int32_t id : tokens)
    line += (line.empty() ? "" : " ") + std::to_string(id);
  return line;
}

static void build(const std::string &specPath, const std::string &outPath) {
  llvm::Expected<TokenizerSpec> spec = parseTokenizerSpec(readFile(specPath));
  if (!spec)
    fail(specPath + ": " + llvm::toString(spec.takeError()));
  flatbuffers::FlatBufferBuilder builder;
  auto tokenizer = buildTokenizer(*spec, builder);
  if (!tokenizer)
    fail(specPath + ": " + llvm::toString(tokenizer.takeError()));
  builder.Finish(*tokenizer);
  std::ofstream file(outPath, std::ios::binary);
  file.write(reinterpret_cast<const char *>(builder.GetBufferPointer()), builder.GetSize());
  if (!file.flush())
    fail("cannot write " + outPath);
}

static void encodeRecords(const Tokenizer &tokenizer, const EncodeOptions &options) {
  EncodeWorkspace workspace;
  TokenBuffer tokens;
  for (std::string text; readRecord(text); tokens.clear()) {
    check(tokenizer.encode(text, options, workspace, tokens));
    writeRecord(joinIds(tokens));
  }
}

static void decodeRecords(const Tokenizer &tokenizer, const DetokenizeOptions &options) {
  for (std::string record; readRecord(record);) {
    Detokenizer detokenizer(tokenizer, options);
    std::string text;
    TextSink sink{[](void *context, std::string_view piece) {
                    static_cast<std::string *>(context)->append(piece);
                  },
                  &text};
    std::istringstream ids(record);
    for (int32_t id; ids >> id;)
      check(detokenizer.push(id, sink));
    detokenizer.finish(sink);
    writeRecord(text);
  }
}

static void renderRecords(const fb::Tokenizer &table, const Tokenizer &tokenizer, bool reply,
                          bool asTokens) {
  EncodeWorkspace workspace;
  for (std::string record; readRecord(record);) {
    std::vector<ChatMessage> messages;
    std::string_view rest = record;
    while (!rest.empty()) {
      size_t newline = rest.find('\n');
      size_t size = std::stoul(std::string(rest.substr(1, newline - 1)));
      ChatRole role = rest[0] == 's'   ? ChatRole::system
                      : rest[0] == 'u' ? ChatRole::user
                                       : ChatRole::assistant;
      messages.push_back({role, rest.substr(newline + 1, size)});
      rest.remove_prefix(newline + 1 + size);
    }
    ChatText chat;
    check(renderChat(table.chat(), messages.data(), messages.size(), reply, chat));
    if (!asTokens) {
      writeRecord(chat.view());
      continue;
    }
    TokenBuffer tokens;
    check(tokenizer.encode(chat, {}, workspace, tokens));
    writeRecord(joinIds(tokens));
  }
}

static void bench(const std::string &tables, const std::string &text) {
  using Clock = std::chrono::steady_clock;
  auto seconds = [](Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
  };
  auto start = Clock::now();
  Result<Tokenizer> tokenizer =
      Tokenizer::create(flatbuffers::GetRoot<fb::Tokenizer>(tables.data()));
  check(tokenizer.status());
  double createSeconds = seconds(start);
  EncodeWorkspace workspace;
  TokenBuffer tokens;
  double best = 1e9;
  for (int run = 0; run < 5; ++run, tokens.truncate(run < 5 ? 0 : tokens.size())) {
    start = Clock::now();
    check(tokenizer->encode(text, {}, workspace, tokens));
    best = std::min(best, seconds(start));
    if (run == 4)
      break;
  }
  std::printf("create %.1f us, encode %.1f MB/s, %zu bytes, %zu tokens\n", createSeconds * 1e6,
              double(text.size()) / best / 1e6, text.size(), tokens.size());
}

int main(int argc, char **argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  auto takeFlag = [&](const char *name) { return std::erase(arguments, name) > 0; };
  EncodeOptions encode;
  encode.addBos = !takeFlag("--no-bos");
  encode.parseSpecial = !takeFlag("--no-parse-special");
  DetokenizeOptions decode;
  decode.renderSpecial = takeFlag("--special");
  decode.dropSpacePrefix = takeFlag("--drop-space-prefix");
  bool reply = !takeFlag("--no-reply");
  bool asTokens = takeFlag("--tokens");
  if (arguments.size() < 2)
    fail("usage: build SPEC OUT | encode|decode|chat|ends TABLES | bench TABLES TEXT");
  const std::string &command = arguments[0];
  if (command == "build" && arguments.size() == 3) {
    build(arguments[1], arguments[2]);
    return 0;
  }
  std::string bytes = readFile(arguments[1]);
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
  if (!verifier.VerifyBuffer<fb::Tokenizer>(nullptr))
    fail(arguments[1] + ": not tokenizer tables");
  const fb::Tokenizer *table = flatbuffers::GetRoot<fb::Tokenizer>(bytes.data());
  Result<Tokenizer> tokenizer = Tokenizer::create(table);
  check(tokenizer.status());
  if (command == "encode")
    encodeRecords(*tokenizer, encode);
  else if (command == "decode")
    decodeRecords(*tokenizer, decode);
  else if (command == "chat")
    renderRecords(*table, *tokenizer, reply, asTokens);
  else if (command == "ends") {
    for (int32_t id = 0; tokenizer->isToken(id); ++id)
      if (tokenizer->isEndOfGeneration(id))
        std::printf("%d\n", id);
  } else if (command == "bench" && arguments.size() == 3)
    bench(bytes, readFile(arguments[2]));
  else
    fail("unknown command " + command);
  return 0;
}
