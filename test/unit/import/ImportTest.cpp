// From GGUF files to modules: graphs of the families, and errors that name what is wrong.
#include "compiler/Import/Import.h"
#include "GGUFBytes.h"
#include "compiler/Dialect/Tern/TernDialect.h"
#include "compiler/Encoding/BlockFormat.h"
#include "compiler/Import/Architectures/Architecture.h"
#include "compiler/Import/Architectures/Rope.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "gtest/gtest.h"
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <unistd.h>

using namespace tern;
using gguf::GGUFBytes;

namespace {

constexpr uint32_t f32 = 0, f16 = 1, q8_0 = 8, tq2_0 = 35;

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

GGUFBytes metadata(const Shape &s) {
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

void tensors(GGUFBytes &file, const Shape &s, Edit edit = nullptr) {
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

} // namespace

TEST_F(Import, LlamaBecomesTheUnfusedGraph) {
  Shape shape;
  GGUFBytes file = metadata(shape);
  tensors(file, shape);
  ImportedModel model = import(file);
  ASSERT_TRUE(model.module);
  EXPECT_EQ(all<LinearOp>(model).size(), 2u * 7 + 1);
  EXPECT_EQ(all<RmsNormOp>(model).size(), 2u * 2 + 1);
  EXPECT_EQ(all<MapOp>(model).size(), 2u * 3);
  EXPECT_EQ(all<AttentionOp>(model).size(), 2u);
  EXPECT_EQ(all<KvCacheOp>(model).size(), 2u);
  auto rope = all<RopeOp>(model);
  ASSERT_EQ(rope.size(), 4u);
  EXPECT_TRUE(rope[0].getAdjacent());
  EXPECT_EQ(rope[0].getHeadSize(), 64u);
  EXPECT_FLOAT_EQ(all<AttentionOp>(model)[0].getScale().convertToFloat(), 0.125f);
  auto forward = all<mlir::func::FuncOp>(model);
  ASSERT_EQ(forward.size(), 1u);
  EXPECT_EQ(forward[0].getArgAttrOfType<mlir::StringAttr>(0, "tern.dim").getValue(), "T");
  EXPECT_EQ(forward[0].getArgAttrOfType<mlir::StringAttr>(3, "tern.dim").getValue(), "R");
  mlir::ModuleOp module = *model.module;
  EXPECT_EQ(module->getAttrOfType<mlir::IntegerAttr>("tern.context_length").getInt(), 600);
  EXPECT_EQ(module->getAttrOfType<mlir::IntegerAttr>("tern.vocabulary_size").getInt(), 51);
  EXPECT_FALSE(module->hasAttr("tern.activation_quantization"));
  auto metadata = module->getAttrOfType<mlir::DictionaryAttr>("tern.metadata");
  EXPECT_EQ(llvm::cast<mlir::StringAttr>(metadata.get("architecture")).getValue(), "llama");
  EXPECT_EQ(weight(model, "rope.table").getTensorType().getDimSize(0), 256 + 3);
  EXPECT_EQ(model.inputFiles, std::vector<std::string>{path});
  EXPECT_EQ(model.sourceDigest.size(), 64u);
}

TEST_F(Import, WeightsKeepTheirOwnTypes) {
  Shape shape;
  GGUFBytes file = metadata(shape);
  tensors(file, shape);
  ImportedModel model = import(file);
  auto encodingOf = [&](llvm::StringRef name) {
    return llvm::cast<EncodingAttr>(weight(model, name).getTensorType().getEncoding()).desc().str();
  };
  EXPECT_EQ(encodingOf("token_embd.weight"), "int8:g32:f16");
  EXPECT_EQ(encodingOf("blk.1.ffn_down.weight"), "f16");
  EXPECT_FALSE(weight(model, "blk.1.ffn_norm.weight").getTensorType().getEncoding());
  auto source = llvm::cast<FileAttr>(weight(model, "token_embd.weight").getSource());
  EXPECT_EQ(source.getFormat(), "q8_0");
  EXPECT_EQ(source.getSize(), 51u * 8 * 34);
}

TEST_F(Import, Qwen2HasBiasesAndHalfPairs) {
  Shape shape;
  shape.family = "qwen2";
  shape.biases = true;
  shape.tied = true;
  GGUFBytes file = metadata(shape);
  tensors(file, shape);
  ImportedModel model = import(file);
  ASSERT_TRUE(model.module);
  EXPECT_FALSE(all<RopeOp>(model)[0].getAdjacent());
  auto linears = all<LinearOp>(model);
  EXPECT_TRUE(linears[0].getBias() && linears[1].getBias() && linears[2].getBias());
  EXPECT_FALSE(linears[3].getBias());
  // Tied: the head reads the embedding's weight, declared once.
  EXPECT_EQ(linears.back().getWeight(), all<EmbedOp>(model)[0].getTable());
}

TEST_F(Import, Qwen2WithoutBiasesIsAnError) {
  Shape shape;
  shape.family = "qwen2";
  GGUFBytes file = metadata(shape);
  tensors(file, shape);
  EXPECT_EQ(errorOf(file),
            ": tensor 'blk.0.attn_q.bias' is missing; expected shape [256] (and 5 more)");
}

TEST_F(Import, Qwen3NormalizesEachHead) {
  Shape shape;
  shape.family = "qwen3";
  shape.headNorms = true;
  GGUFBytes file = metadata(shape);
  tensors(file, shape);
  ImportedModel model = import(file);
  ASSERT_TRUE(model.module);
  unsigned heads = 0;
  for (RmsNormOp norm : all<RmsNormOp>(model))
    heads += norm.getGroup() == 64;
  EXPECT_EQ(heads, 2u * 2);
}

TEST_F(Import, SmolLM3LeavesOutEveryFourthRotation) {
  Shape shape;
  shape.family = "smollm3";
  shape.layers = 5;
  GGUFBytes file = metadata(shape);
  tensors(file, shape);
  ImportedModel model = import(file);
  ASSERT_TRUE(model.module);
  EXPECT_EQ(all<RopeOp>(model).size(), 4u * 2);
}

TEST_F(Import, GraniteMultiplies) {
  Shape shape;
  shape.family = "granite";
  for (bool finetuned : {true, false}) {
    GGUFBytes file = metadata(shape);
    file.add("granite.embedding_scale", 12.0f).add("granite.attention.scale", 0.25f);
    file.add("granite.residual_scale", 0.5f).add("granite.logit_scale", 8.0f);
    file.add("granite.rope.scaling.finetuned", finetuned);
    tensors(file, shape);
    ImportedModel model = import(file);
    ASSERT_TRUE(model.module);
    EXPECT_EQ(all<EmbedOp>(model)[0].getScale().convertToFloat(), 12);
    EXPECT_EQ(all<AttentionOp>(model)[0].getScale().convertToFloat(), 0.25f);
    EXPECT_EQ(all<MapOp>(model).size(), 2u * 5 + 1);
    EXPECT_EQ(all<RopeOp>(model).size(), finetuned ? 4u : 0u);
  }
}

TEST_F(Import, Gemma2HasWindowsAndCaps) {
  Shape shape;
  shape.family = "gemma2";
  shape.layers = 4;
  shape.postNorms = shape.tied = true;
  auto with = [&](std::function<void(GGUFBytes &)> more) {
    GGUFBytes file = metadata(shape);
    file.add("gemma2.attn_logit_softcapping", 50.0f).add("gemma2.final_logit_softcapping", 30.0f);
    file.add("gemma2.attention.sliding_window", uint32_t(256));
    more(file);
    tensors(file, shape);
    return import(file);
  };
  auto windows = [&](const ImportedModel &model) {
    std::vector<unsigned> result;
    for (KvCacheOp cache : all<KvCacheOp>(model))
      result.push_back(llvm::cast<KvType>(cache.getType()).getWindow());
    return result;
  };
  ImportedModel model = with([](GGUFBytes &) {});
  ASSERT_TRUE(model.module);
  EXPECT_EQ(windows(model), (std::vector<unsigned>{256, 0, 256, 0}));
  EXPECT_EQ(all<AttentionOp>(model)[0].getSoftCap()->convertToFloat(), 50);
  EXPECT_EQ(all<EmbedOp>(model)[0].getScale().convertToFloat(), 16);
  // A period or a list of layers from the file goes first.
  EXPECT_EQ(windows(with([](GGUFBytes &file) {
              file.add("gemma2.attention.sliding_window_pattern", uint32_t(3));
            })),
            (std::vector<unsigned>{256, 256, 0, 256}));
}

// Up to the context's length a window changes nothing, but the layers keep their own positions.
TEST_F(Import, Gemma3HasTwoRopeTables) {
  Shape shape;
  shape.family = "gemma3";
  shape.layers = 6;
  shape.headNorms = shape.postNorms = shape.tied = true;
  GGUFBytes file = metadata(shape);
  file.add("gemma3.attention.sliding_window", uint32_t(1024));
  file.add("gemma3.rope.freq_base", 1e6f);
  file.add("gemma3.rope.scaling.type", "linear").add("gemma3.rope.scaling.factor", 8.0f);
  tensors(file, shape);
  ImportedModel model = import(file);
  ASSERT_TRUE(model.module);
  EXPECT_EQ(llvm::cast<KvType>(all<KvCacheOp>(model)[0].getType()).getWindow(), 0u);
  auto frequency = [&](const char *name) {
    return llvm::cast<RopeTableAttr>(weight(model, name).getSource()).getFrequencies()[1];
  };
  EXPECT_DOUBLE_EQ(frequency("rope.table"), std::pow(1e6, -1 / 32.0) / 8);
  EXPECT_DOUBLE_EQ(frequency("rope.table.sliding"), std::pow(1e4, -1 / 32.0));
}

// Query, key and value, and gate and up, become weights of their own, so that later stages see the
// same graph as Llama's; rows of quantized tensors are taken apart between blocks.
TEST_F(Import, Phi3TakesJoinedTensorsApart) {
  Shape shape;
  shape.family = "phi3";
  shape.matrixType = q8_0;
  GGUFBytes file = metadata(shape);
  tensors(file, shape, [](const std::string &name, std::vector<uint64_t> &dims) {
    if (llvm::StringRef(name).ends_with("ffn_up.weight"))
      dims[0] = 1024;
    for (const char *part : {"attn_q.", "attn_k.", "attn_v.", "ffn_gate."})
      if (name.find(part) != std::string::npos)
        return false;
    return true;
  });
  for (int layer = 0; layer < 2; ++layer)
    file.tensor("blk." + std::to_string(layer) + ".attn_qkv.weight", {512, 256}, q8_0,
                std::vector<uint8_t>(512 * 8 * 34));
  ImportedModel model = import(file);
  ASSERT_TRUE(model.module);
  auto rows = [&](const char *name, int64_t count, const char *next) {
    EXPECT_EQ(weight(model, name).getTensorType().getDimSize(0), count) << name;
    auto source = llvm::cast<FileAttr>(weight(model, name).getSource());
    EXPECT_EQ(source.getSize(), uint64_t(count) * 8 * 34) << name;
    if (next)
      EXPECT_EQ(llvm::cast<FileAttr>(weight(model, next).getSource()).getOffset(),
                source.getOffset() + source.getSize())
          << name;
  };
  rows("blk.1.attn_q.weight", 256, "blk.1.attn_k.weight");
  rows("blk.1.attn_k.weight", 128, "blk.1.attn_v.weight");
  rows("blk.1.attn_v.weight", 128, nullptr);
  rows("blk.1.ffn_gate.weight", 512, "blk.1.ffn_up.weight");
}

TEST_F(Import, Phi3TakesTheFactorsOfItsContext) {
  for (uint32_t original : {512u, 600u}) {
    Shape shape;
    shape.family = "phi3";
    GGUFBytes file = metadata(shape);
    file.add("phi3.rope.scaling.original_context_length", original);
    file.add("phi3.rope.scaling.attn_factor", 1.25f);
    tensors(file, shape);
    std::vector<uint8_t> factors[2];
    for (int i = 0; i < 32; ++i) {
      GGUFBytes::number(factors[0], 2.0f);
      GGUFBytes::number(factors[1], 8.0f);
    }
    file.tensor("rope_factors_short.weight", {32}, f32, factors[0]);
    file.tensor("rope_factors_long.weight", {32}, f32, factors[1]);
    ImportedModel model = import(file);
    ASSERT_TRUE(model.module);
    auto table = llvm::cast<RopeTableAttr>(weight(model, "rope.table").getSource());
    EXPECT_EQ(table.getFrequencies()[0], original < 600 ? 1 / 8.0 : 1 / 2.0);
    EXPECT_EQ(table.getMagnitude().getValueAsDouble(), 1.25);
    EXPECT_EQ(model.notes.size(), original < 600 ? 1u : 0u);
  }
}

TEST_F(Import, BitNetHasItsActivationAndOneScalePerToken) {
  Shape shape;
  shape.tied = true;
  auto build = [&](const char *family, const char *activation) {
    shape.family = family;
    GGUFBytes file = metadata(shape);
    if (activation)
      file.add(std::string(family) + ".hidden_activation", activation);
    tensors(file, shape);
    for (int layer = 0; layer < 2; ++layer) {
      std::string p = "blk." + std::to_string(layer) + ".";
      file.tensor(p + "attn_sub_norm.weight", {256}, f32, std::vector<uint8_t>(1024));
      file.tensor(p + "ffn_sub_norm.weight", {512}, f32, std::vector<uint8_t>(2048));
      file.tensor(p + "attn_q.scale", {1}, f32, std::vector<uint8_t>(4));
    }
    return file;
  };
  auto squares = [&](const ImportedModel &model) {
    return !all<mlir::arith::MaximumFOp>(model).empty();
  };
  ImportedModel silu = import(build("bitnet", nullptr)), relu = import(build("bitnet", "relu2")),
                b158 = import(build("bitnet-b1.58", nullptr));
  ASSERT_TRUE(silu.module && relu.module && b158.module);
  EXPECT_FALSE(squares(silu));
  EXPECT_TRUE(squares(relu) && squares(b158));
  EXPECT_EQ(all<MapOp>(silu).size(), 2u * 4); // one for the scale
  EXPECT_TRUE(silu.module.get()->hasAttr("tern.activation_quantization"));
  EXPECT_EQ(errorOf(build("bitnet", "gelu")),
            ": metadata key 'bitnet.hidden_activation' is 'gelu', expected 'silu' or 'relu2'");
}

TEST_F(Import, HyperparametersOfOtherFamiliesAreRefused) {
  auto errorWith = [&](const std::string &family, const char *key, auto value) {
    Shape shape;
    shape.family = family;
    GGUFBytes file = metadata(shape);
    file.add(family + "." + key, value);
    return errorOf(file);
  };
  auto refused = [](const std::string &key) {
    return ": metadata key '" + key + "' is not supported for this architecture";
  };
  for (const char *key :
       {"attn_logit_softcapping", "final_logit_softcapping", "logit_scale", "residual_scale",
        "embedding_scale", "rope.freq_base_swa", "attention.max_alibi_bias", "attention.clamp_kqv"})
    EXPECT_EQ(errorWith("llama", key, 8.0f), refused(std::string("llama.") + key));
  EXPECT_EQ(errorWith("gemma3", "attn_logit_softcapping", 50.0f),
            refused("gemma3.attn_logit_softcapping"));
  EXPECT_EQ(errorWith("gemma2", "attn_logit_softcapping", 50.0f),
            ": metadata key 'gemma2.final_logit_softcapping' is missing");
  EXPECT_EQ(errorWith("granite", "logit_scale", -1.0f),
            ": metadata key 'granite.logit_scale' is -1 (f32), expected a number above 0");
  EXPECT_EQ(errorWith("gemma3", "attention.sliding_window_pattern", std::vector<uint32_t>{1, 0}),
            ": metadata key 'gemma3.attention.sliding_window_pattern' is of type array of u32, "
            "expected an array of booleans");
}

// Qwen2's windows are not built: a longer context is not compiled, and a note says so.
TEST_F(Import, AWindowThatIsNotBuiltShortensTheContext) {
  Shape shape;
  shape.family = "qwen2";
  shape.biases = true;
  GGUFBytes file = metadata(shape);
  file.add("qwen2.attention.sliding_window", uint32_t(100));
  tensors(file, shape);
  ImportedModel model = import(file);
  ASSERT_TRUE(model.module);
  mlir::ModuleOp module = *model.module;
  EXPECT_EQ(module->getAttrOfType<mlir::IntegerAttr>("tern.context_length").getInt(), 100);
  ASSERT_EQ(model.notes.size(), 1u);
  EXPECT_NE(model.notes[0].find("sliding windows"), std::string::npos) << model.notes[0];
}

TEST_F(Import, HeadSizesComeFromTheMetadata) {
  Shape shape;
  shape.keySize = 48;
  shape.valueSize = 32;
  GGUFBytes file = metadata(shape);
  file.add("llama.attention.key_length", uint32_t(48))
      .add("llama.attention.value_length", uint32_t(32));
  file.add("llama.rope.dimension_count", uint32_t(24));
  tensors(file, shape);
  ImportedModel model = import(file, {.kvF32 = true});
  ASSERT_TRUE(model.module);
  auto cache = llvm::cast<KvType>(all<KvCacheOp>(model)[1].getType());
  EXPECT_EQ(cache.getHeads(), 2u);
  EXPECT_EQ(cache.getHeadSize(), 48u);
  EXPECT_EQ(cache.getValueSize(), 32u);
  EXPECT_TRUE(cache.getElement().isF32());
  EXPECT_EQ(weight(model, "rope.table").getTensorType().getDimSize(1), 12);
}

TEST_F(Import, TwoBitTensorsAreTernaryUnlessTheyHoldCode3) {
  Shape shape;
  shape.matrixType = tq2_0;
  for (uint8_t fill : {0x55, 0xff}) {
    shape.fill = fill;
    GGUFBytes file = metadata(shape);
    tensors(file, shape);
    ImportedModel model = import(file, {.threads = 2});
    ASSERT_TRUE(model.module);
    auto type = weight(model, "blk.0.attn_q.weight").getTensorType();
    EXPECT_EQ(llvm::cast<EncodingAttr>(type.getEncoding()).getCodes(),
              fill == 0xff ? CodeKind::Quaternary : CodeKind::Ternary);
  }
}

TEST_F(Import, ActivationQuantizationIsRecorded) {
  Shape shape;
  GGUFBytes file = metadata(shape);
  file.add("tern.activation_quantization", "int8-per-token");
  tensors(file, shape);
  ImportedModel model = import(file);
  EXPECT_EQ(model.module.get()
                ->getAttrOfType<mlir::StringAttr>("tern.activation_quantization")
                .getValue(),
            "int8-per-token");
  GGUFBytes other = metadata(shape);
  other.add("tern.activation_quantization", "int4");
  tensors(other, shape);
  EXPECT_EQ(errorOf(other),
            ": metadata key 'tern.activation_quantization' is 'int4', expected 'int8-per-token'");
}

TEST_F(Import, UnknownKeysOfTheFamilyAreNoted) {
  GGUFBytes file = metadata({});
  file.add("llama.vocab_size", uint32_t(51)).add("llama.attention.sinks", uint32_t(4));
  file.add("other.rope.twist", 2.0f);
  tensors(file, {});
  ImportedModel model = import(file);
  ASSERT_EQ(model.notes.size(), 1u);
  EXPECT_EQ(model.notes[0], "metadata key 'llama.attention.sinks' is not known and has no effect");
}

TEST_F(Import, ErrorsListWhatIsKnown) {
  GGUFBytes unknown;
  unknown.add("general.architecture", "mamba");
  EXPECT_EQ(errorOf(unknown),
            ": architecture 'mamba' is not supported; known are " + knownArchitectures());
  EXPECT_NE(knownArchitectures().find("llama, olmo2, "), std::string::npos);
  EXPECT_EQ(errorOf(GGUFBytes()), ": metadata key 'general.architecture' is missing");
  Shape shape;
  GGUFBytes file = metadata(shape);
  tensors(file, shape);
  file.tensor("k", {256}, 21, std::vector<uint8_t>(110));
  EXPECT_EQ(errorOf(file),
            ": tensor 'k' has type iq3_s, which is not supported; known types are f32, "
            "f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_0, q2_k, q3_k, q4_k, q5_k, q6_k, q8_k, iq4_nl, "
            "mxfp4, tq1_0, tq2_0, ternary");
}

TEST_F(Import, MissingWrongAndUnknownTensorsAreNamed) {
  Shape shape;
  auto errorWith = [&](Edit edit) {
    GGUFBytes file = metadata(shape);
    tensors(file, shape, edit);
    return errorOf(file);
  };
  EXPECT_EQ(
      errorWith([](const std::string &name, auto &) { return name != "blk.1.ffn_up.weight"; }),
      ": tensor 'blk.1.ffn_up.weight' is missing; expected shape [512, 256]");
  EXPECT_EQ(errorWith([](const std::string &name, std::vector<uint64_t> &dims) {
              if (name == "blk.0.attn_k.weight")
                dims[0] = 96;
              return true;
            }),
            ": tensor 'blk.0.attn_k.weight' has shape [96, 256], expected [128, 256]");
  EXPECT_EQ(errorWith([](const std::string &name, auto &) {
              return name != "token_embd.weight";
            }).substr(0, 39),
            ": tensor 'token_embd.weight' is missing");
  GGUFBytes file = metadata(shape);
  tensors(file, shape);
  file.tensor("blk.0.attn_q_norm.weight", {64}, f32, std::vector<uint8_t>(256));
  EXPECT_EQ(errorOf(file), ": 1 tensors are no part of architecture 'llama' as known here: "
                           "'blk.0.attn_q_norm.weight'; leaving them out would change the model");
}

TEST_F(Import, BadHyperparametersAreNamed) {
  Shape shape;
  auto errorWith = [&](const char *key, auto value) {
    GGUFBytes file;
    file.add("general.architecture", "llama").add(std::string("llama.") + key, value);
    for (const char *name : {"context_length", "embedding_length", "block_count",
                             "feed_forward_length", "attention.head_count"})
      if (strcmp(name, key) != 0)
        file.add(std::string("llama.") + name, uint32_t(4));
    if (strcmp(key, "attention.layer_norm_rms_epsilon") != 0)
      file.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    return errorOf(file);
  };
  EXPECT_EQ(errorWith("block_count", uint32_t(0)),
            ": metadata key 'llama.block_count' is 0 (u32), expected an integer from 1 to 4096");
  EXPECT_EQ(
      errorWith("block_count", "four"),
      ": metadata key 'llama.block_count' is four (string), expected an integer from 1 to 4096");
  EXPECT_EQ(
      errorWith("attention.head_count_kv", uint32_t(3)),
      ": metadata key 'llama.attention.head_count' is 4, no multiple of the 3 key and value heads");
  EXPECT_EQ(errorWith("attention.layer_norm_rms_epsilon", std::nanf("")),
            ": metadata key 'llama.attention.layer_norm_rms_epsilon' is nan (f32), expected a "
            "number above 0");
  EXPECT_EQ(errorWith("attention.head_count", std::vector<uint32_t>{4, 4}),
            ": metadata key 'llama.attention.head_count' has 2 entries, expected one for each of 4 "
            "layers");
  EXPECT_EQ(
      errorWith("rope.scaling.type", "longrope"),
      ": metadata key 'llama.rope.scaling.type' is 'longrope', expected none, linear or yarn");
  EXPECT_EQ(
      errorWith("expert_count", uint32_t(8)),
      ": metadata key 'llama.expert_count' asks for a mixture of experts, which is not supported");
  EXPECT_EQ(
      errorWith("context_length", uint64_t(1) << 40),
      ": metadata key 'llama.context_length' is 1099511627776 (u64), expected an integer from 1 to "
      "2147483647");
}

TEST_F(Import, RopeFactorsDivideTheFrequencies) {
  Shape shape;
  GGUFBytes file = metadata(shape);
  tensors(file, shape);
  std::vector<uint8_t> factors;
  for (int i = 0; i < 32; ++i)
    GGUFBytes::number(factors, float(i + 1));
  file.tensor("rope_freqs.weight", {32}, f32, factors);
  ImportedModel model = import(file);
  ASSERT_TRUE(model.module);
  auto table = llvm::cast<RopeTableAttr>(weight(model, "rope.table").getSource());
  EXPECT_EQ(table.getPositions(), 600u);
  for (int i = 0; i < 32; ++i)
    EXPECT_DOUBLE_EQ(table.getFrequencies()[size_t(i)], std::pow(10000.0, -i / 32.0) / (i + 1));
}

TEST_F(Import, TheTokenizerIsReadOrANoteSaysWhyNot) {
  Shape shape;
  GGUFBytes none = metadata(shape);
  tensors(none, shape);
  ImportedModel model = import(none);
  EXPECT_FALSE(model.tokenizer);
  EXPECT_EQ(model.tokenizerNote, "the file has no metadata key 'tokenizer.ggml.model'");

  GGUFBytes unknown = metadata(shape);
  unknown.add("tokenizer.ggml.model", "bert");
  tensors(unknown, shape);
  EXPECT_EQ(import(unknown).tokenizerNote,
            "tokenizer model 'bert' is not supported; known are gpt2, llama");

  GGUFBytes file = metadata(shape);
  file.add("tokenizer.ggml.model", "gpt2").add("tokenizer.ggml.pre", "qwen2");
  file.add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "ab"});
  file.add("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
  file.add("tokenizer.ggml.token_type", std::vector<uint32_t>{1, 1, 3});
  file.add("tokenizer.ggml.bos_token_id", uint32_t(2))
      .add("tokenizer.ggml.eos_token_id", int32_t(-1));
  file.add("tokenizer.ggml.add_bos_token", true).add("tokenizer.chat_template", "{{ x }}");
  tensors(file, shape);
  model = import(file);
  ASSERT_TRUE(model.tokenizer) << model.tokenizerNote;
  EXPECT_EQ(model.tokenizer->pre, "qwen2");
  EXPECT_EQ(model.tokenizer->tokens[2], "ab");
  EXPECT_EQ(model.tokenizer->merges[0], "a b");
  EXPECT_EQ(model.tokenizer->tokenTypes[2], 3);
  EXPECT_EQ(model.tokenizer->bos, 2u);
  EXPECT_EQ(model.tokenizer->eos, std::nullopt);
  EXPECT_EQ(model.tokenizer->addBos, true);
  EXPECT_EQ(model.tokenizer->chatTemplate, "{{ x }}");
}

// Damage anywhere in the header is one error that names the file, or a model; never a crash.
TEST_F(Import, DamagedHeadersNeverCrash) {
  Shape shape;
  shape.layers = 1;
  GGUFBytes file = metadata(shape);
  file.add("llama.attention.key_length", uint32_t(64))
      .add("llama.rope.dimension_count", uint32_t(64));
  file.add("llama.rope.scaling.type", "yarn").add("llama.rope.scaling.factor", 4.0f);
  file.add("tokenizer.ggml.model", "gpt2")
      .add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
  tensors(file, shape);
  const std::vector<uint8_t> bytes = file.bytes();
  std::string message;
  size_t header = gguf::File::parse(bytes, path, message)->parts()[0].headerBytes;
  std::mt19937 random(3);
  const uint8_t extremes[] = {0, 1, 0x7f, 0x80, 0xff};
  unsigned errors = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    std::vector<uint8_t> damaged = bytes;
    size_t at = random() % header;
    if (trial % 2)
      damaged[at] ^= uint8_t(1 << random() % 8);
    else
      for (size_t i = at; i < std::min(at + 1 + random() % 4, header); ++i)
        damaged[i] = extremes[random() % std::size(extremes)];
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char *>(damaged.data()), std::streamsize(damaged.size()));
    mlir::MLIRContext fresh(mlir::MLIRContext::Threading::DISABLED);
    auto model = importGGUF(fresh, path, {});
    if (model)
      continue;
    ++errors;
    std::string text = llvm::toString(model.takeError());
    ASSERT_EQ(text.compare(0, path.size(), path), 0) << text;
    ASSERT_EQ(text.find('\n'), std::string::npos) << text;
  }
  EXPECT_GT(errors, 1000u);
}

// The reader's own table and the encodings' must agree where both know a type.
TEST(TensorTypes, AgreeWithBlockFormats) {
  for (const BlockFormat &format : blockFormats()) {
    if (format.ggufType < 0)
      continue;
    const gguf::TensorType *type = gguf::findTensorType(uint32_t(format.ggufType));
    ASSERT_TRUE(type);
    EXPECT_EQ(format.name, type->name);
    EXPECT_EQ(format.blockElements, type->blockElements);
    EXPECT_EQ(format.blockBytes, type->blockBytes);
  }
}

TEST(Rope, LinearScalingDividesEveryFrequency) {
  ModelConfig config;
  config.ropeDimensions = 8;
  config.ropeScaling = {.kind = RopeScaling::Kind::Linear, .factor = 4};
  RopeFrequencies rope = ropeFrequencies(config);
  EXPECT_EQ(rope.magnitude, 1);
  for (int i = 0; i < 4; ++i)
    EXPECT_DOUBLE_EQ(rope.frequencies[size_t(i)], std::pow(10000.0, -i / 4.0) / 4);
}

// High frequencies stay, low ones are divided, as in "YaRN" (2023), section 3.2.
TEST(Rope, YarnKeepsShortWavesAndStretchesLongOnes) {
  ModelConfig config;
  config.ropeDimensions = 128;
  config.ropeScaling = {.kind = RopeScaling::Kind::Yarn, .factor = 16, .originalContext = 4096};
  RopeFrequencies rope = ropeFrequencies(config);
  EXPECT_DOUBLE_EQ(rope.magnitude, 1 + 0.1 * std::log(16.0));
  EXPECT_DOUBLE_EQ(rope.frequencies[0], 1);
  EXPECT_DOUBLE_EQ(rope.frequencies[63], std::pow(10000.0, -126.0 / 128) / 16);
  for (size_t i = 1; i < 64; ++i)
    EXPECT_LT(rope.frequencies[i], rope.frequencies[i - 1]);
}
