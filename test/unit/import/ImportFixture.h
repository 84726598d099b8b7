// A small GGUF file of a family, and its import: what tests of the importer start from.
#ifndef TERN_TEST_UNIT_IMPORT_IMPORTFIXTURE_H
#define TERN_TEST_UNIT_IMPORT_IMPORTFIXTURE_H

#include "GGUFBytes.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Encoding/BlockFormat.h"
#include "compiler/Import/Import.h"
#include "gtest/gtest.h"
#include <filesystem>
#include <fstream>
#include <functional>
#include <unistd.h>

namespace tern {

using gguf::GGUFBytes;

inline constexpr uint32_t f32 = 0, f16 = 1, q8_0 = 8, tq2_0 = 35;

struct Shape {
  std::string family = "llama";
  uint64_t hidden = 256, inner = 512, heads = 4, kvHeads = 2, layers = 2, vocabulary = 51;
  uint64_t keySize = 64, valueSize = 64;
  bool tied = false, biases = false;
  bool headNorms = false, postNorms = false; ///< of query and key; after attention, feed-forward
  uint32_t matrixType = f16;
  uint8_t fill = 0;
};

/// Lets a test leave out or change tensors: called with name and shape, returns false to leave out.
using Edit = std::function<bool(const std::string &, std::vector<uint64_t> &)>;

inline GGUFBytes metadata(const Shape &s) {
  GGUFBytes file;
  std::string a = s.family + ".";
  file.add("general.architecture", s.family).add("general.name", "tiny");
  file.add(a + "context_length", uint32_t(600)).add(a + "embedding_length", uint32_t(s.hidden));
  file.add(a + "block_count", uint32_t(s.layers)).add(a + "feed_forward_length", uint32_t(s.inner));
  file.add(a + "attention.head_count", uint32_t(s.heads));
  file.add(a + "attention.head_count_kv", uint32_t(s.kvHeads));
  file.add(a + "attention.layer_norm_rms_epsilon", 1e-5f);
  return file;
}

inline void tensors(GGUFBytes &file, const Shape &s, Edit edit = nullptr) {
  auto add = [&](const std::string &name, std::vector<uint64_t> shape, uint32_t type) {
    if (edit && !edit(name, shape))
      return;
    uint64_t elements = 1;
    for (uint64_t dimension : shape)
      elements *= dimension;
    const BlockFormat &format = *findBlockFormatByGGUFType(type);
    file.tensor(name, shape, type, std::vector<uint8_t>(format.rowBytes(elements), s.fill));
  };
  add("token_embd.weight", {s.vocabulary, s.hidden}, q8_0);
  for (uint64_t layer = 0; layer < s.layers; ++layer) {
    std::string p = "blk." + std::to_string(layer) + ".";
    add(p + "attn_norm.weight", {s.hidden}, f32);
    add(p + "attn_q.weight", {s.heads * s.keySize, s.hidden}, s.matrixType);
    add(p + "attn_k.weight", {s.kvHeads * s.keySize, s.hidden}, s.matrixType);
    add(p + "attn_v.weight", {s.kvHeads * s.valueSize, s.hidden}, s.matrixType);
    if (s.biases) {
      add(p + "attn_q.bias", {s.heads * s.keySize}, f32);
      add(p + "attn_k.bias", {s.kvHeads * s.keySize}, f32);
      add(p + "attn_v.bias", {s.kvHeads * s.valueSize}, f32);
    }
    if (s.headNorms) {
      add(p + "attn_q_norm.weight", {s.keySize}, f32);
      add(p + "attn_k_norm.weight", {s.keySize}, f32);
    }
    if (s.postNorms) {
      add(p + "post_attention_norm.weight", {s.hidden}, f32);
      add(p + "post_ffw_norm.weight", {s.hidden}, f32);
    }
    add(p + "attn_output.weight", {s.hidden, s.heads * s.valueSize}, s.matrixType);
    add(p + "ffn_norm.weight", {s.hidden}, f32);
    add(p + "ffn_gate.weight", {s.inner, s.hidden}, s.matrixType);
    add(p + "ffn_up.weight", {s.inner, s.hidden}, s.matrixType);
    add(p + "ffn_down.weight", {s.hidden, s.inner}, s.matrixType);
  }
  add("output_norm.weight", {s.hidden}, f32);
  if (!s.tied)
    add("output.weight", {s.vocabulary, s.hidden}, f16);
}

class Import : public testing::Test {
protected:
  Import() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tern-import-XXXXXX").string();
    folder = mkdtemp(pattern.data());
    path = folder / "m.gguf";
  }
  ~Import() override { std::filesystem::remove_all(folder); }

  llvm::Expected<ImportedModel> run(const GGUFBytes &file, const ImportOptions &options = {}) {
    std::vector<uint8_t> bytes = file.bytes();
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char *>(bytes.data()), std::streamsize(bytes.size()));
    return importGGUF(context, path, options);
  }
  std::string errorOf(const GGUFBytes &file) {
    auto model = run(file);
    return model ? "" : llvm::toString(model.takeError()).substr(path.size());
  }
  ImportedModel import(const GGUFBytes &file, const ImportOptions &options = {}) {
    auto model = run(file, options);
    if (!model) {
      ADD_FAILURE() << llvm::toString(model.takeError());
      return {};
    }
    return std::move(*model);
  }
  template <typename Op> std::vector<Op> all(const ImportedModel &model) {
    std::vector<Op> ops;
    const_cast<ImportedModel &>(model).module->walk([&](Op op) { ops.push_back(op); });
    return ops;
  }
  WeightOp weight(const ImportedModel &model, llvm::StringRef name) {
    return llvm::cast<WeightOp>(const_cast<ImportedModel &>(model).module->lookupSymbol(name));
  }

  mlir::MLIRContext context;
  std::filesystem::path folder;
  std::string path;
};

} // namespace tern
#endif
