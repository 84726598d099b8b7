// The table of pre-tokenizers. Names are those convert_hf_to_gguf.py writes; behaviour follows the
// models' own tokenizer.json.
#include "compiler/Text/PreTokenizers.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace tern;
using fb::CodePointSet;
using fb::SplitKind;
using fb::SplitStage;

static SplitStage setRuns(CodePointSet set) { return {SplitKind::set_runs, uint8_t(set)}; }
static SplitStage spacedRuns(CodePointSet set) {
  return {SplitKind::spaced_set_runs, uint8_t(set)};
}

static const SplitStage gpt2Stages[] = {{SplitKind::gpt2, 0}};
static const SplitStage digitsThenGpt2[] = {{SplitKind::numbers, 1}, {SplitKind::gpt2, 0}};
static const SplitStage cl100kThreeDigits[] = {{SplitKind::cl100k, 3}};
static const SplitStage cl100kOneDigit[] = {{SplitKind::cl100k, 1}};
static const SplitStage cl100kMarks[] = {{SplitKind::cl100k_marks, 1}};
static const SplitStage cl100kBare[] = {{SplitKind::cl100k_bare, 1}};
static const SplitStage digitsThenCl100k[] = {{SplitKind::numbers, 3}, {SplitKind::cl100k, 0}};
static const SplitStage linesThenCl100k[] = {{SplitKind::lines, 0}, {SplitKind::cl100k, 1}};
static const SplitStage lineStages[] = {{SplitKind::lines, 0}};
static const SplitStage jais2Stages[] = {{SplitKind::cl100k, 3}, {SplitKind::space_powers, 0}};
static const SplitStage tekkenStages[] = {{SplitKind::tekken, 1}};
static const SplitStage o200kStages[] = {{SplitKind::o200k, 3}};
static const SplitStage bloomStages[] = {{SplitKind::bloom, 0}};
static const SplitStage bloomThenDigits[] = {{SplitKind::bloom, 0}, {SplitKind::numbers, 1}};
static const SplitStage defaultStages[] = {{SplitKind::punctuation, 0},
                                           {SplitKind::gpt2, 0},
                                           {SplitKind::numbers, 0},
                                           {SplitKind::ascii_triples, 0}};
static const SplitStage falconStages[] = {
    {SplitKind::punctuation, 1}, {SplitKind::gpt2, 0}, {SplitKind::ascii_triples, 0}};
static const SplitStage deepSeekLlmStages[] = {{SplitKind::line_breaks, 0},
                                               spacedRuns(CodePointSet::cased_letters),
                                               spacedRuns(CodePointSet::wide_punctuation),
                                               {SplitKind::trailing_space, 0},
                                               setRuns(CodePointSet::east_asian),
                                               {SplitKind::numbers, 0}};
static const SplitStage deepSeekCoderStages[] = {{SplitKind::line_breaks, 0},
                                                 spacedRuns(CodePointSet::letters),
                                                 spacedRuns(CodePointSet::punctuation),
                                                 setRuns(CodePointSet::east_asian),
                                                 {SplitKind::numbers, 1}};
static const SplitStage deepSeekV3Stages[] = {
    {SplitKind::numbers, 3}, setRuns(CodePointSet::han_kana), {SplitKind::deepseek_v3, 0}};

static const PreTokenizer preTokenizers[] = {
    // name, stages, nfc, ignoreMerges, addBos, ofCharacters
    {"default", defaultStages, false, false, false},
    {"gpt-2", gpt2Stages, false, false, false},
    {"phi-2", gpt2Stages, false, false, false},
    {"mpt", gpt2Stages, true, false, false},
    {"olmo", gpt2Stages, true, false, false},
    {"jais", gpt2Stages, false, false, false},
    {"trillion", gpt2Stages, false, false, false},
    {"granite-docling", gpt2Stages, false, false, false},
    {"exaone4", gpt2Stages, false, false, false},
    {"mellum", gpt2Stages, false, false, false},
    {"gigachat", gpt2Stages, false, false, false},
    {"a.x-4.0", gpt2Stages, false, false, false},
    {"smollm", digitsThenGpt2, false, false, false},
    {"starcoder", digitsThenGpt2, false, false, false},
    {"refact", digitsThenGpt2, false, false, false},
    {"command-r", digitsThenGpt2, true, false, false},
    {"codeshell", digitsThenGpt2, false, false, false},
    {"exaone", digitsThenGpt2, false, false, false},
    {"minerva-7b", digitsThenGpt2, false, false, false},
    {"mellum2", digitsThenGpt2, false, false, false},
    {"llama-bpe", cl100kThreeDigits, false, true, true},
    {"llama3", cl100kThreeDigits, false, true, true},
    {"llama-v3", cl100kThreeDigits, false, true, true},
    {"falcon3", cl100kThreeDigits, false, true, true},
    {"falcon-h1", cl100kThreeDigits, false, true, true},
    {"pixtral", cl100kThreeDigits, false, true, true},
    {"midm-2.0", cl100kThreeDigits, false, true, true},
    {"lfm2", cl100kThreeDigits, false, true, true},
    {"dbrx", cl100kThreeDigits, false, false, false},
    {"smaug-bpe", cl100kThreeDigits, false, false, false},
    {"glm4", cl100kThreeDigits, false, false, false},
    {"chatglm-bpe", cl100kThreeDigits, false, false, false},
    {"qwen2", cl100kOneDigit, true, false, false},
    {"deepseek-r1-qwen", cl100kOneDigit, true, false, false},
    {"megrez", cl100kOneDigit, true, false, false},
    {"kormo", cl100kOneDigit, false, false, false},
    {"hunyuan", cl100kOneDigit, false, false, false},
    {"solar-open", cl100kOneDigit, false, false, false},
    {"grok-2", cl100kOneDigit, false, false, false},
    {"bailingmoe", cl100kOneDigit, false, false, false},
    {"bailingmoe2", cl100kOneDigit, false, false, false},
    {"llada-moe", cl100kOneDigit, false, false, false},
    {"stablelm2", cl100kOneDigit, true, false, false},
    {"qwen35", cl100kMarks, true, false, false},
    {"seed-coder", cl100kBare, false, false, false},
    {"minicpm5", digitsThenCl100k, false, true, false},
    {"laguna", linesThenCl100k, false, false, false},
    {"gemma4", lineStages, false, false, true, true},
    {"jais-2", jais2Stages, false, false, false},
    {"tekken", tekkenStages, false, true, true},
    {"gpt-4o", o200kStages, false, false, false},
    {"llama4", o200kStages, false, false, false},
    {"kanana2", o200kStages, false, false, false},
    {"talkie", o200kStages, false, false, false},
    {"minimax-m2", o200kStages, false, false, false},
    {"bloom", bloomStages, false, false, false},
    {"poro-chat", bloomStages, false, false, false},
    {"gpt3-finnish", bloomStages, false, false, false},
    {"viking", bloomThenDigits, false, false, false},
    {"falcon", falconStages, false, false, false},
    {"deepseek-llm", deepSeekLlmStages, false, false, false},
    {"deepseek-coder", deepSeekCoderStages, false, false, false},
    {"deepseek-v3", deepSeekV3Stages, false, false, false},
    {"hunyuan-dense", deepSeekV3Stages, false, false, false},
    {"hy_v4", deepSeekV3Stages, false, false, false},
    {"joyai-llm", deepSeekV3Stages, false, false, false},
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
