// The graphs of the model families, and their hyperparameters: what logits alone do not show.
#include "ImportFixture.h"
#include "compiler/Import/Architectures/Architecture.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <cmath>

using namespace tern;

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

// The 27B models are known by their number of layers, and only they divide by hidden / heads.
TEST_F(Import, Gemma27BHasAScaleOfItsOwn) {
  auto scale = [&](const char *family, uint64_t layers) {
    Shape shape;
    shape.family = family;
    shape.layers = layers;
    shape.heads = shape.kvHeads = 2;
    shape.headNorms = family == std::string("gemma3");
    shape.postNorms = shape.tied = true;
    GGUFBytes file = metadata(shape);
    file.add(shape.family + ".attention.key_length", uint32_t(64));
    file.add(shape.family + ".attention.value_length", uint32_t(64));
    file.add(shape.family + ".attention.sliding_window", uint32_t(1024));
    if (!shape.headNorms) {
      file.add("gemma2.attn_logit_softcapping", 50.0f);
      file.add("gemma2.final_logit_softcapping", 30.0f);
    }
    tensors(file, shape);
    ImportedModel model = import(file);
    return model.module ? all<AttentionOp>(model).back().getScale().convertToFloat() : 0;
  };
  EXPECT_FLOAT_EQ(scale("gemma2", 46), 1 / std::sqrt(128.0f));
  EXPECT_FLOAT_EQ(scale("gemma2", 42), 1 / std::sqrt(64.0f));
  EXPECT_FLOAT_EQ(scale("gemma3", 62), 1 / std::sqrt(128.0f));
  EXPECT_FLOAT_EQ(scale("gemma3", 48), 1 / std::sqrt(64.0f));
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

TEST_F(Import, AScaleBesideABiasIsRefused) {
  Shape shape;
  shape.family = "qwen2";
  shape.biases = true;
  GGUFBytes file = metadata(shape);
  tensors(file, shape);
  file.tensor("blk.0.attn_q.scale", {1}, f32, std::vector<uint8_t>(4));
  EXPECT_EQ(errorOf(file), ": 'blk.0.attn_q' has both a .scale and a .bias: models disagree on "
                           "which comes first, and none is known that has both");
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
        "embedding_scale", "rope.freq_base_swa", "attention.max_alibi_bias", "attention.clamp_kqv",
        "attention.temperature_length", "attention.temperature_scale",
        "rope.scaling.yarn_log_multiplier"})
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
