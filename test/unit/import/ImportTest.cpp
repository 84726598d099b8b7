// From GGUF files to modules: weights, hyperparameters, and errors that name what is wrong.
#include "ImportFixture.h"
#include "compiler/Import/Architectures/Architecture.h"
#include "compiler/Import/Architectures/Rope.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <cmath>
#include <random>

using namespace tern;

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

TEST_F(Import, HeadSizesComeFromTheMetadata) {
  Shape shape;
  shape.keySize = 48;
  shape.valueSize = 32;
  GGUFBytes file = metadata(shape);
  file.add("llama.attention.key_length", uint32_t(48))
      .add("llama.attention.value_length", uint32_t(32));
  file.add("llama.rope.dimension_count", uint32_t(24));
  tensors(file, shape);
  ImportedModel model = import(file, {.kv = KvElement::F32});
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
  EXPECT_EQ(
      errorOf(file),
      ": tensor 'k' has type iq3_s, which is not supported; known types are f32, "
      "f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_0, q2_k, q3_k, q4_k, q5_k, q6_k, q8_k, iq4_nl, "
      "mxfp4, tq1_0, tq2_0, i2_s, i2_s_64, ternary");
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
  EXPECT_EQ(errorWith("expert_count", uint32_t(8)),
            ": metadata key 'llama.expert_used_count' is missing");
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

  const std::pair<const char *, const char *> refused[] = {
      {"bert", "'bert' (WordPiece)"}, {"t5", "'t5' (SentencePiece Unigram)"}, {"new", "'new'"}};
  for (auto [name, shown] : refused) {
    GGUFBytes unknown = metadata(shape);
    unknown.add("tokenizer.ggml.model", name);
    tensors(unknown, shape);
    EXPECT_EQ(import(unknown).tokenizerNote,
              std::string("tokenizer model ") + shown +
                  " is not supported; known are gpt2, llama, gemma4");
  }

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
