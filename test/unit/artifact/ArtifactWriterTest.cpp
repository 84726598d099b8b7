// Writes small artifacts and reads them back with the schema's accessors.
#include "compiler/Artifact/ArtifactWriter.h"
#include "compiler/Artifact/RopeTable.h"
#include "compiler/Encoding/PackWeights.h"
#include "llvm/Support/SHA256.h"
#include "gtest/gtest.h"
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace tern;

namespace {

std::vector<uint8_t> readFile(const std::filesystem::path &path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void writeFile(const std::filesystem::path &path, llvm::ArrayRef<uint8_t> bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char *>(bytes.data()), std::streamsize(bytes.size()));
}

std::array<uint8_t, 32> sha256(llvm::ArrayRef<uint8_t> bytes) { return llvm::SHA256::hash(bytes); }

std::array<uint8_t, 32> bytesOf(const fb::Digest &digest) {
  std::array<uint8_t, 32> bytes;
  for (unsigned i = 0; i < 32; ++i)
    bytes[i] = (*digest.bytes())[i];
  return bytes;
}

class ArtifactWriter : public testing::Test {
protected:
  ArtifactWriter() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "tern-artifact-XXXXXX").string();
    folder = mkdtemp(pattern.data());
    std::filesystem::create_directory(folder / "out");
    output = folder / "out" / "m.tern";
    std::mt19937 random(1);
    input.resize(400000);
    for (uint8_t &byte : input)
      byte = uint8_t(random() & 0xaa); // no code 3, and finite as floats
    writeFile(folder / "in.gguf", input);
  }
  ~ArtifactWriter() override { std::filesystem::remove_all(folder); }

  FileRows rows(llvm::StringRef format, uint64_t offset, uint64_t count, uint64_t columns) const {
    return {0, offset, findBlockFormat(format), count, columns};
  }

  void addTensor(ArtifactModel &model, const char *name, unsigned unit, TensorSource source) const {
    auto record = std::make_unique<fb::TensorT>();
    record->name = name;
    record->unit = unit;
    model.table.tensors.push_back(std::move(record));
    model.sources.push_back(std::move(source));
  }

  ArtifactModel model() const {
    ArtifactModel model;
    model.inputFiles = {(folder / "in.gguf").string()};
    for (const char *name : {"embedding", "layer.0"}) {
      model.table.units.push_back(std::make_unique<fb::WeightUnitT>());
      model.table.units.back()->name = name;
    }
    for (const char *key : {"producer", "architecture"}) {
      model.table.metadata.push_back(std::make_unique<fb::MetadataEntryT>());
      model.table.metadata.back()->key = key;
      model.table.metadata.back()->value = "x";
    }
    EncodingDesc int4{CodeKind::Int4, 32, ScaleType::F16},
        ternary{CodeKind::Ternary, 256, ScaleType::F16};
    addTensor(model, "norm", 1,
              PlainSource{{rows("f16", 100, 1, 40), rows("f32", 512, 1, 5)}, 45, true});
    addTensor(model, "embedding", 0,
              MatrixSource{{}, {CodeKind::F16}, 70, 100, {{rows("f16", 64, 70, 100)}}});
    addTensor(
        model, "qkv", 1,
        MatrixSource{{}, int4, 90, 64, {{rows("q4_0", 33, 50, 64), rows("q4_0", 40000, 40, 64)}}});
    addTensor(model, "gate_up", 1,
              MatrixSource{{},
                           ternary,
                           65,
                           512,
                           {{rows("tq2_0", 100000, 65, 512)}, {rows("tq2_0", 200000, 65, 512)}}});
    addTensor(model, "rope", 0, RopeTableSource{300, 1, {1, 0.5}});
    model.table.variants.push_back(std::make_unique<fb::VariantT>());
    model.table.variants.back()->target = "x86_64-avx2";
    model.code = {{1, 2, 3, 4, 5}};
    return model;
  }

  std::string errorOf(ArtifactModel model, llvm::StringRef path) const {
    return llvm::toString(writeArtifact(model, path));
  }
  size_t filesInOutput() const {
    return size_t(std::distance(std::filesystem::directory_iterator(folder / "out"), {}));
  }

  std::filesystem::path folder;
  std::string output;
  std::vector<uint8_t> input;
};

/// Runs `body` in a child process; gives its wait status.
template <typename Body> int inChild(Body body) {
  pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

} // namespace

TEST_F(ArtifactWriter, TableIsSizePrefixedIdentifiedAndDigested) {
  ArtifactModel written = model();
  ASSERT_EQ(llvm::toString(writeArtifact(written, output)), "");
  std::vector<uint8_t> file = readFile(output);
  uint32_t size;
  memcpy(&size, file.data(), 4);
  EXPECT_EQ(memcmp(file.data() + 8, "TERN", 4), 0);
  std::array<uint8_t, 32> trailer;
  memcpy(trailer.data(), file.data() + 4 + size, 32);
  EXPECT_EQ(trailer, sha256(llvm::ArrayRef(file).take_front(4 + size)));
  flatbuffers::Verifier verifier(file.data(), 4 + size);
  EXPECT_TRUE(fb::VerifySizePrefixedArtifactBuffer(verifier));
  const fb::Artifact *artifact = fb::GetSizePrefixedArtifact(file.data());
  EXPECT_EQ(artifact->file_size(), file.size());
  EXPECT_EQ(artifact->metadata()->Get(0)->key()->str(),
            "architecture"); // sorted, so it can be searched
  EXPECT_NE(artifact->metadata()->LookupByKey("producer"), nullptr);
  EXPECT_EQ(written.table.file_size, file.size());
}

TEST_F(ArtifactWriter, SegmentsAreAlignedApartAndDigested) {
  ArtifactModel written = model();
  ASSERT_EQ(llvm::toString(writeArtifact(written, output)), "");
  std::vector<uint8_t> file = readFile(output);
  const fb::Artifact *artifact = fb::GetSizePrefixedArtifact(file.data());
  uint32_t tableSize;
  memcpy(&tableSize, file.data(), 4);
  uint64_t end = 4 + tableSize + 32;
  auto check = [&](const fb::Segment &segment, const fb::Digest &digest) {
    EXPECT_EQ(segment.offset() % 16384, 0u);
    ASSERT_GE(segment.offset(), end);
    for (uint64_t i = end; i < segment.offset(); ++i)
      ASSERT_EQ(file[i], 0);
    ASSERT_LE(segment.offset() + segment.size(), file.size());
    EXPECT_EQ(bytesOf(digest),
              sha256(llvm::ArrayRef(file).slice(segment.offset(), segment.size())));
    end = segment.offset() + segment.size();
  };
  for (const fb::Variant *variant : *artifact->variants())
    check(*variant->code(), *variant->code_digest());
  for (const fb::WeightUnit *unit : *artifact->units())
    check(*unit->segment(), *unit->digest());
  EXPECT_EQ(end, file.size());
  for (const fb::Tensor *tensor : *artifact->tensors()) {
    EXPECT_EQ(tensor->offset() % 64, 0u);
    EXPECT_LE(tensor->offset() + tensor->size(),
              artifact->units()->Get(tensor->unit())->segment()->size());
  }
}

TEST_F(ArtifactWriter, TensorsHoldPackedAndPlainValues) {
  ArtifactModel written = model();
  ASSERT_EQ(llvm::toString(writeArtifact(written, output)), "");
  std::vector<uint8_t> file = readFile(output);
  auto bytesOfTensor = [&](size_t index) {
    const fb::TensorT &tensor = *written.table.tensors[index];
    return llvm::ArrayRef(file).slice(
        written.table.units[tensor.unit]->segment->offset() + tensor.offset, tensor.size);
  };
  auto packed = [&](PackedMatrix matrix) {
    std::vector<uint8_t> bytes(matrix.bytes());
    packTiles(matrix, 0, matrix.tiles(), bytes.data());
    return bytes;
  };
  auto piece = [&](const char *format, uint64_t offset, uint64_t count) {
    return SourceRows{findBlockFormat(format), input.data() + offset, count};
  };
  EncodingDesc int4{CodeKind::Int4, 32, ScaleType::F16},
      ternary{CodeKind::Ternary, 256, ScaleType::F16};
  EXPECT_EQ(bytesOfTensor(1),
            llvm::ArrayRef(packed({{}, {CodeKind::F16}, 70, 100, {{piece("f16", 64, 70)}}})));
  EXPECT_EQ(bytesOfTensor(2),
            llvm::ArrayRef(
                packed({{}, int4, 90, 64, {{piece("q4_0", 33, 50), piece("q4_0", 40000, 40)}}})));
  EXPECT_EQ(
      bytesOfTensor(3),
      llvm::ArrayRef(packed(
          {{}, ternary, 65, 512, {{piece("tq2_0", 100000, 65)}, {piece("tq2_0", 200000, 65)}}})));
  std::vector<float> norm(64, 0);
  decodeRow(*findBlockFormat("f16"), input.data() + 100, 40, norm.data());
  decodeRow(*findBlockFormat("f32"), input.data() + 512, 5, norm.data() + 40);
  ASSERT_EQ(bytesOfTensor(0).size(), 256u);
  EXPECT_EQ(memcmp(bytesOfTensor(0).data(), norm.data(), 256), 0);
  ASSERT_EQ(bytesOfTensor(4).size(), (256u + 2) * 4 * 4);
  float row[4];
  ropeTableRow({300, 1, {1, 0.5}}, 257, row);
  EXPECT_EQ(memcmp(bytesOfTensor(4).data() + 257 * 16, row, 16), 0);
}

TEST_F(ArtifactWriter, BytesDoNotDependOnThreadsOrBuffers) {
  ArtifactModel first = model();
  ASSERT_EQ(llvm::toString(writeArtifact(first, output)), "");
  std::vector<uint8_t> expected = readFile(output);
  for (WriteOptions options :
       {WriteOptions{4, 1 << 20}, WriteOptions{1, 64}, WriteOptions{2, 5000}}) {
    ArtifactModel again = model();
    ASSERT_EQ(llvm::toString(writeArtifact(again, output, options)), "");
    EXPECT_EQ(readFile(output), expected);
  }
  ASSERT_EQ(llvm::toString(writeArtifact(first, output)),
            ""); // a written model can be written again
  EXPECT_EQ(readFile(output), expected);
}

TEST_F(ArtifactWriter, UnitsOfManyBuffersAreWhole) {
  // Pieces of 400,000 bytes: writes end at multiples of 2 MB of the file, amid them.
  constexpr unsigned pieces = 24;
  PlainSource source{{}, uint64_t(pieces) * 100000, false};
  for (unsigned i = 0; i < pieces; ++i)
    source.pieces.push_back(rows("f32", 0, 1, 100000));
  std::vector<uint8_t> expected;
  for (unsigned i = 0; i < pieces; ++i)
    expected.insert(expected.end(), input.begin(), input.end());
  for (WriteOptions options :
       {WriteOptions{}, WriteOptions{2, 64}, WriteOptions{1, 1000000}, WriteOptions{2, 3 << 20}}) {
    ArtifactModel written = model();
    addTensor(written, "large", 0, source);
    ASSERT_EQ(llvm::toString(writeArtifact(written, output, options)), "");
    std::vector<uint8_t> file = readFile(output);
    const fb::WeightUnitT &unit = *written.table.units[0];
    llvm::ArrayRef<uint8_t> bytes =
        llvm::ArrayRef(file).slice(unit.segment->offset(), unit.segment->size());
    EXPECT_EQ(bytes.slice(written.table.tensors.back()->offset, expected.size()),
              llvm::ArrayRef(expected));
    EXPECT_EQ(bytesOf(*unit.digest), sha256(bytes));
  }
}

TEST_F(ArtifactWriter, ProgressEndsAtTheTotal) {
  ArtifactModel written = model();
  uint64_t last = 0, expected = 0;
  auto progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GE(done, last);
    last = done;
    expected = total;
  };
  ASSERT_EQ(
      llvm::toString(writeArtifact(written, output, {.bufferBytes = 4096, .progress = progress})),
      "");
  EXPECT_GT(expected, 0u);
  EXPECT_EQ(last, expected);
}

TEST_F(ArtifactWriter, AnExistingFileIsReplaced) {
  writeFile(output, {1, 2, 3});
  ASSERT_EQ(errorOf(model(), output), "");
  EXPECT_GT(readFile(output).size(), 3u);
  EXPECT_EQ(filesInOutput(), 1u);
}

TEST_F(ArtifactWriter, FailuresLeaveNoFile) {
  EXPECT_NE(errorOf(model(), (folder / "absent" / "m.tern").string()).find("cannot create"),
            std::string::npos);
  EXPECT_NE(errorOf(model(), (folder / "out").string()).find("not a regular file"),
            std::string::npos);
  EXPECT_NE(errorOf(model(), "/dev/null").find("not a regular file"), std::string::npos);
  ArtifactModel missing = model();
  missing.inputFiles[0] += ".absent";
  EXPECT_NE(errorOf(std::move(missing), output).find("cannot open"), std::string::npos);
  writeFile(folder / "in.gguf", llvm::ArrayRef(input).take_front(100));
  EXPECT_NE(errorOf(model(), output).find("the file changed while it was compiled"),
            std::string::npos);
  EXPECT_EQ(filesInOutput(), 0u);
}

TEST_F(ArtifactWriter, AFullDiskIsAnErrorAndLeavesNoFile) {
  int status = inChild([&] {
    signal(SIGXFSZ, SIG_IGN);
    rlimit limit{50000, 50000};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::string message = errorOf(model(), output);
    bool expected =
        message.find(output + ": cannot write: ") == 0 && message.find('\n') == std::string::npos;
    _exit(expected ? 7 : 8);
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(filesInOutput(), 0u);
}

TEST_F(ArtifactWriter, AnInterruptLeavesNoFile) {
  for (int number : {SIGINT, SIGTERM}) {
    int status = inChild([&] {
      ArtifactModel written = model();
      auto interrupt = [&](uint64_t, uint64_t) { raise(number); };
      llvm::consumeError(writeArtifact(written, output, {.progress = interrupt}));
    });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == number);
    EXPECT_EQ(filesInOutput(), 0u);
  }
}

TEST_F(ArtifactWriter, InconsistentModelsAreRefused) {
  ArtifactModel wrongUnit = model();
  wrongUnit.table.tensors[0]->unit = 2;
  EXPECT_EQ(errorOf(std::move(wrongUnit), output), "weight 'norm' is in unit 2 of 2");
  ArtifactModel wrongRows = model();
  std::get<MatrixSource>(wrongRows.sources[2]).rows = 91;
  EXPECT_EQ(errorOf(std::move(wrongRows), output),
            "weight 'qkv': the sources of a part have 90 rows, expected 91");
  ArtifactModel wrongLength = model();
  std::get<PlainSource>(wrongLength.sources[0]).elements = 46;
  EXPECT_EQ(errorOf(std::move(wrongLength), output),
            "weight 'norm': its pieces have 45 elements, expected 46");
  ArtifactModel noSource = model();
  noSource.sources.pop_back();
  EXPECT_NE(errorOf(std::move(noSource), output).find("one source per tensor"), std::string::npos);
}
