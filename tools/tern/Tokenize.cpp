// tern tokenize and tern detokenize: text to token ids and back, stdin to stdout.
#include "tools/tern/InputError.h"
#include "tools/tern/Model.h"
#include "tools/tern/Stream.h"
#include "tools/tern/Subcommands.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>

namespace tern::cli {

namespace {

struct TokenizeOptions {
  std::string model;
  bool noBos = false;
  bool noParseSpecial = false;
  bool lines = false;
};

void writeTokens(const std::vector<int32_t> &tokens) {
  std::string line;
  for (const int32_t token : tokens) {
    if (!line.empty())
      line += ' ';
    line += std::to_string(token);
  }
  line += '\n';
  writeStandardOutput(line);
}

void tokenize(const TokenizeOptions &options) {
  const Model model(options.model, {TERN_WEIGHTS_MAP}, /*requireKey=*/"");
  uint32_t flags = 0;
  if (options.noBos)
    flags |= TERN_TOKENIZE_NO_BOS;
  if (options.noParseSpecial)
    flags |= TERN_TOKENIZE_NO_PARSE_SPECIAL;
  const std::string input = readStandardInput();
  if (!options.lines)
    return writeTokens(model.tokenize(input, flags));
  for (std::string_view rest = input; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    writeTokens(model.tokenize(rest.substr(0, end), flags));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

std::vector<int32_t> parseIds(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  std::vector<int32_t> tokens;
  while (true) {
    const size_t begin = text.find_first_not_of(space);
    if (begin == std::string_view::npos)
      return tokens;
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(space));
    int32_t token = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), token);
    if (error != std::errc() || end != word.data() + word.size())
      throw InputError("standard input", "'" + std::string(word.substr(0, 32)) +
                                             "' is not a token id; separate ids by white space");
    tokens.push_back(token);
    text.remove_prefix(word.size());
  }
}

void detokenize(const std::string &path) {
  const Model model(path, {TERN_WEIGHTS_MAP}, /*requireKey=*/"");
  const std::vector<int32_t> tokens = parseIds(readStandardInput());
  model.requireTokens(tokens);
  writeStandardOutput(model.detokenize(tokens));
}

} // namespace

void addTokenize(CLI::App &program) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App *command =
      program.add_subcommand("tokenize", "Print the token ids of the text on stdin");
  command->footer(
      "All of stdin is one text, any bytes, a final newline included; the ids are separated by\n"
      "spaces.");
  addModelArgument(*command, options->model);
  command->add_flag("--no-bos", options->noBos,
                    "Leave out the begin and end tokens the model asks for");
  command->add_flag("--no-parse-special", options->noParseSpecial,
                    "Take text such as <|im_end|> as plain text");
  command->add_flag("--lines", options->lines,
                    "Each line of stdin, without its newline, is a text; prints a line for each");
  command->callback([options] { tokenize(*options); });
}

void addDetokenize(CLI::App &program) {
  auto model = std::make_shared<std::string>();
  CLI::App *command =
      program.add_subcommand("detokenize", "Print the text of the token ids on stdin");
  command->footer("Ids are separated by white space. The text is UTF-8, without a newline at the "
                  "end; bytes that\n"
                  "are none become U+FFFD, as in other decoders.");
  addModelArgument(*command, *model);
  command->callback([model] { detokenize(*model); });
}

} // namespace tern::cli
