// The table of pre-tokenizers. Names are those convert_hf_to_gguf.py writes; behaviour follows the
// models' own tokenizer.json.
#include "compiler/Text/PreTokenizers.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace tern;
using fb::SplitKind;
using fb::SplitStage;

static const SplitStage gpt2Stages[] = {{SplitKind::gpt2, 0}};
static const SplitStage digitsThenGpt2[] = {{SplitKind::numbers, 1}, {SplitKind::gpt2, 0}};
static const SplitStage cl100kThreeDigits[] = {{SplitKind::cl100k, 3}};
static const SplitStage cl100kOneDigit[] = {{SplitKind::cl100k, 1}};
static const SplitStage cl100kMarks[] = {{SplitKind::cl100k_marks, 1}};
static const SplitStage defaultStages[] = {{SplitKind::punctuation, 0},
                                           {SplitKind::gpt2, 0},
                                           {SplitKind::numbers, 0},
                                           {SplitKind::ascii_triples, 0}};
static const SplitStage falconStages[] = {
    {SplitKind::punctuation, 1}, {SplitKind::gpt2, 0}, {SplitKind::ascii_triples, 0}};

static const PreTokenizer preTokenizers[] = {
    // name, stages, nfc, ignoreMerges, addBos
    {"default", defaultStages, false, false, false},
    {"gpt-2", gpt2Stages, false, false, false},
    {"phi-2", gpt2Stages, false, false, false},
    {"mpt", gpt2Stages, true, false, false},
    {"olmo", gpt2Stages, true, false, false},
    {"llama-bpe", cl100kThreeDigits, false, true, true},
    {"llama3", cl100kThreeDigits, false, true, true},
    {"llama-v3", cl100kThreeDigits, false, true, true},
    {"falcon3", cl100kThreeDigits, false, true, true},
    {"dbrx", cl100kThreeDigits, false, false, false},
    {"smaug-bpe", cl100kThreeDigits, false, false, false},
    {"qwen2", cl100kOneDigit, true, false, false},
    {"deepseek-r1-qwen", cl100kOneDigit, true, false, false},
    {"stablelm2", cl100kOneDigit, true, false, false},
    {"qwen35", cl100kMarks, true, false, false},
    {"smollm", digitsThenGpt2, false, false, false},
    {"starcoder", digitsThenGpt2, false, false, false},
    {"refact", digitsThenGpt2, false, false, false},
    {"command-r", digitsThenGpt2, true, false, false},
    {"falcon", falconStages, false, false, false},
};

const PreTokenizer *tern::findPreTokenizer(llvm::StringRef name) {
  if (name.empty())
    name = "default";
  const auto *row =
      llvm::find_if(preTokenizers, [&](const PreTokenizer &p) { return p.name == name; });
  return row == std::end(preTokenizers) ? nullptr : row;
}

std::string tern::knownPreTokenizers() {
  return llvm::join(
      llvm::map_range(preTokenizers, [](const PreTokenizer &p) { return p.name.str(); }), ", ");
}
