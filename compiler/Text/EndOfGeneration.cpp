// The texts of end tokens, and their exceptions.
#include "compiler/Text/EndOfGeneration.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"

#include <map>

using namespace tern;

using Texts = llvm::ArrayRef<llvm::StringLiteral>;

static constexpr llvm::StringLiteral endTexts[] = {
    "<|eot_id|>",
    "<|eom_id|>",      // Llama 3
    "<|im_end|>",      // ChatML
    "<|end|>",         // Phi-3
    "<|endoftext|>",   // GPT-2 and many others
    "<|end_of_text|>", // Granite
    "<end_of_turn>",   // Gemma
    "<eos>",
    "<turn|>",
    "<|tool_response>", // Gemma 4
    "</s>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<end_of_utterance>",    // SmolVLM
    "<｜end▁of▁sentence｜>", // DeepSeek
    "<|return|>",
    "<|call|>", // o200k_harmony
    "<|flush|>",
    "<|calls|>", // Solar Open
    "[e~[",      // MiniMax
};

// Tokens of code infilling after which nothing useful comes; looked for where the file has no id.
static constexpr llvm::StringLiteral infillPadTexts[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>",
                                                         "<PAD>", "[PAD]"};
static constexpr llvm::StringLiteral infillRepositoryTexts[] = {
    "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"};
static constexpr llvm::StringLiteral infillFileTexts[] = {"<|file_sep|>"};

bool tern::endsGenerationByText(const std::string &token) {
  return llvm::is_contained(endTexts, token);
}

std::vector<uint32_t> tern::endOfGenerationTokens(const TokenizerSpec &spec) {
  std::map<llvm::StringRef, uint32_t> ends; // by text
  auto addId = [&](std::optional<uint32_t> id) {
    if (id && *id < spec.tokens.size())
      ends[spec.tokens[*id]] = *id;
  };
  for (uint32_t id = 0; id < spec.tokens.size(); ++id) {
    const std::string &token = spec.tokens[id];
    if (endsGenerationByText(token) ||
        (!spec.infillPad && llvm::is_contained(infillPadTexts, token)) ||
        (!spec.infillRepository && llvm::is_contained(infillRepositoryTexts, token)) ||
        (!spec.infillFile && llvm::is_contained(infillFileTexts, token)))
      ends[token] = id;
  }
  for (const std::optional<uint32_t> &id :
       {spec.eos, spec.eot, spec.eom, spec.infillPad, spec.infillRepository, spec.infillFile})
    addId(id);

  // In these formats a reply goes on after the token.
  bool harmony = ends.count("<|return|>") && (ends.count("<|call|>") || ends.count("<|calls|>"));
  bool solar = ends.count("<|flush|>") && (ends.count("<|call|>") || ends.count("<|calls|>"));
  if (harmony || solar)
    ends.erase("<|end|>");
  if (ends.count("<|tool_response>"))
    ends.erase("</s>");

  std::vector<uint32_t> ids;
  for (const auto &[text, id] : ends)
    ids.push_back(id);
  llvm::sort(ids);
  return ids;
}
