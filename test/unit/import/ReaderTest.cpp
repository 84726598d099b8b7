// The GGUF parser: what it reads, and that damage is an error with a message, never a crash.
#include "GGUFBytes.h"
#include "gtest/gtest.h"
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <unistd.h>

using namespace tern::gguf;

namespace {

std::vector<uint8_t> floats(size_t count) { return std::vector<uint8_t>(4 * count, 1); }

GGUFBytes smallModel() {
  GGUFBytes file;
  file.add("general.architecture", "llama").add("llama.block_count", uint32_t(2));
  file.add("tokens", std::vector<std::string>{"a", "", "c\n"})
      .add("counts", std::vector<uint32_t>{7, 8});
  file.tensor("a", {2, 8}, 0, floats(16)).tensor("b", {3}, 0, floats(3));
  return file;
}

std::string errorOf(const std::vector<uint8_t> &bytes) {
  std::string error;
  auto file = File::parse(bytes, "x.gguf", error);
  EXPECT_EQ(file == nullptr, !error.empty());
  return error;
}
std::string errorOf(const GGUFBytes &file) { return errorOf(file.bytes()); }

class TemporaryFolder {
public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tern-gguf-XXXXXX").string();
    folder = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(folder); }
  std::string write(const std::string &name, const std::vector<uint8_t> &bytes) const {
    std::string path = folder / name;
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char *>(bytes.data()), std::streamsize(bytes.size()));
    return path;
  }
  std::filesystem::path folder;
};

} // namespace

TEST(GGUFReader, ReadsMetadataAndTensorsOfBothVersions) {
  for (uint32_t version : {2, 3}) {
    GGUFBytes model = smallModel();
    model.version = version;
    std::vector<uint8_t> bytes = model.bytes();
    std::string error;
    auto file = File::parse(bytes, "x.gguf", error);
    ASSERT_TRUE(file) << error;
    EXPECT_EQ(file->version(), version);
    EXPECT_EQ(file->find("general.architecture")->asString(), "llama");
    EXPECT_EQ(file->find("llama.block_count")->asUnsigned(), 2u);
    EXPECT_EQ(file->find("llama.block_count")->asString(), std::nullopt);
    EXPECT_EQ(file->find("counts")->unsignedAt(1), 8u);
    EXPECT_EQ(file->find("counts")->asUnsigned(), std::nullopt);
    EXPECT_EQ(*file->find("tokens")->asStrings(), (std::vector<std::string_view>{"a", "", "c\n"}));
    EXPECT_EQ(file->find("absent"), nullptr);
    const Tensor *a = file->findTensor("a");
    ASSERT_TRUE(a);
    EXPECT_EQ(a->shape, (std::vector<uint64_t>{2, 8}));
    EXPECT_EQ(a->size, 64u);
    EXPECT_EQ(file->bytesOf(*a)[0], 1);
    EXPECT_EQ(file->findTensor("b")->offset, a->offset + 64);
  }
}

TEST(GGUFReader, EveryScalarTypeIsRead) {
  GGUFBytes model;
  auto payload = [](auto value) {
    std::vector<uint8_t> bytes;
    GGUFBytes::number(bytes, value);
    return bytes;
  };
  model.raw("u8", 0, payload(uint8_t(200))).raw("i8", 1, payload(int8_t(-3)));
  model.raw("u16", 2, payload(uint16_t(60000))).raw("i16", 3, payload(int16_t(-300)));
  model.raw("u32", 4, payload(uint32_t(4000000000))).raw("i32", 5, payload(int32_t(-70000)));
  model.raw("f32", 6, payload(0.25f)).raw("bool", 7, payload(uint8_t(1)));
  model.raw("u64", 10, payload(uint64_t(1) << 63)).raw("i64", 11, payload(int64_t(-1) << 40));
  model.raw("f64", 12, payload(1e-300));
  std::vector<uint8_t> bytes = model.bytes();
  std::string error;
  auto file = File::parse(bytes, "x.gguf", error);
  ASSERT_TRUE(file) << error;
  EXPECT_EQ(file->find("u8")->asUnsigned(), 200u);
  EXPECT_EQ(file->find("i8")->asSigned(), -3);
  EXPECT_EQ(file->find("i8")->asUnsigned(), std::nullopt);
  EXPECT_EQ(file->find("u16")->asUnsigned(), 60000u);
  EXPECT_EQ(file->find("i16")->asSigned(), -300);
  EXPECT_EQ(file->find("u32")->asUnsigned(), 4000000000u);
  EXPECT_EQ(file->find("i32")->asDouble(), -70000.0);
  EXPECT_EQ(file->find("f32")->asDouble(), 0.25);
  EXPECT_EQ(file->find("bool")->asBool(), true);
  EXPECT_EQ(file->find("u64")->asUnsigned(), uint64_t(1) << 63);
  EXPECT_EQ(file->find("u64")->asSigned(), std::nullopt);
  EXPECT_EQ(file->find("i64")->asSigned(), int64_t(-1) << 40);
  EXPECT_EQ(file->find("f64")->asDouble(), 1e-300);
}

TEST(GGUFReader, WrongPreamblesAreNamed) {
  EXPECT_EQ(errorOf(std::vector<uint8_t>{}),
            "x.gguf: not a GGUF file: 0 bytes, expected the magic 'GGUF'");
  std::vector<uint8_t> bytes = smallModel().bytes();
  bytes[0] = 'g';
  EXPECT_EQ(errorOf(bytes), "x.gguf: not a GGUF file: it begins with 'gGUF', expected 'GGUF'");
  GGUFBytes model = smallModel();
  model.version = 1;
  EXPECT_EQ(errorOf(model), "x.gguf: GGUF version 1, expected 2 or 3");
  model.version = 0x03000000;
  EXPECT_EQ(errorOf(model), "x.gguf: a big-endian GGUF file; convert it to little-endian");
}

TEST(GGUFReader, CountsAreHeldAgainstTheFile) {
  GGUFBytes model = smallModel();
  model.extraTensors = uint64_t(1) << 60;
  EXPECT_NE(errorOf(model).find("tensors do not fit in a file"), std::string::npos);
  model.extraTensors = 0;
  model.extraEntries = ~uint64_t(0) / 2;
  EXPECT_NE(errorOf(model).find("metadata keys do not fit in a file"), std::string::npos);
  std::vector<uint8_t> payload;
  GGUFBytes::number(payload, uint32_t(ValueType::uint64));
  GGUFBytes::number(payload, uint64_t(1) << 61); // times 8 overflows
  EXPECT_NE(errorOf(smallModel().raw("k", 9, payload))
                .find("'k': an array of 2305843009213693952 elements"),
            std::string::npos);
}

TEST(GGUFReader, BadMetadataIsNamed) {
  EXPECT_NE(errorOf(smallModel().raw("k", 13, {0})).find("'k': unknown value type 13"),
            std::string::npos);
  std::vector<uint8_t> nested;
  GGUFBytes::number(nested, uint32_t(ValueType::array));
  GGUFBytes::number(nested, uint64_t(0));
  EXPECT_NE(errorOf(smallModel().raw("k", 9, nested)).find("an array of arrays"),
            std::string::npos);
  EXPECT_NE(
      errorOf(smallModel().add("tokens", uint32_t(1))).find("metadata key 'tokens' appears twice"),
      std::string::npos);
  EXPECT_NE(errorOf(smallModel().add("", uint32_t(1))).find("has 0 bytes, expected 1 to 65535"),
            std::string::npos);
  for (uint32_t alignment : {0u, 24u, 0x80000000u})
    EXPECT_NE(
        errorOf(smallModel().add("general.alignment", alignment)).find("expected a power of two"),
        std::string::npos);
}

TEST(GGUFReader, BadTensorsAreNamed) {
  auto with = [](const char *name, std::vector<uint64_t> shape, uint32_t type, uint64_t offset) {
    return errorOf(smallModel().tensorAt(name, shape, type, offset));
  };
  EXPECT_NE(with("a", {1}, 0, 96).find("tensor 'a' appears twice"), std::string::npos);
  EXPECT_NE(with("", {1}, 0, 96).find("has no name"), std::string::npos);
  EXPECT_NE(with("c", {1, 1, 1, 1, 1}, 0, 0).find("rank 5, expected at most 4"), std::string::npos);
  EXPECT_NE(with("c", {4, 0}, 0, 0).find("dimension of 0"), std::string::npos);
  EXPECT_NE(with("c", {1ull << 32, 1ull << 32}, 0, 0).find("overflows"), std::string::npos);
  EXPECT_NE(with("c", {1ull << 62}, 0, 0).find("size in bytes overflows"), std::string::npos);
  EXPECT_NE(with("c", {33}, 8, 0).find("no multiple of the 32 elements of a q8_0 block"),
            std::string::npos);
  EXPECT_NE(with("c", {1}, 0, 4).find("no multiple of the alignment 32"), std::string::npos);
  EXPECT_NE(with("c", {64}, 0, 0).find("end past the file's"), std::string::npos);
  EXPECT_NE(with("c", {1}, 0, 1ull << 63).find("end past the file's"), std::string::npos);
  EXPECT_NE(with("c", {1}, 0, 32).find("tensors 'a' and 'c' overlap"), std::string::npos);
}

TEST(GGUFReader, NamesInMessagesAreEscapedAndCut) {
  EXPECT_EQ(quotedText("a\n'\x01"), "'a\\x0a\\x27\\x01'");
  EXPECT_EQ(quotedText(std::string(100, 'x')), "'" + std::string(64, 'x') + "...'");
}

TEST(GGUFReader, AlignmentComesFromTheMetadata) {
  GGUFBytes model;
  model.alignment = 256;
  model.tensor("a", {2}, 0, floats(2)).tensor("b", {2}, 0, floats(2));
  std::vector<uint8_t> bytes = model.bytes();
  std::string error;
  auto file = File::parse(bytes, "x.gguf", error);
  ASSERT_TRUE(file) << error;
  EXPECT_EQ(file->findTensor("a")->offset % 256, 0u);
  EXPECT_EQ(file->findTensor("b")->offset, file->findTensor("a")->offset + 256);
}

// Any prefix is an error, and any flipped bit is an error or a readable file.
TEST(GGUFReader, EveryTruncationIsAnError) {
  std::vector<uint8_t> bytes = smallModel().bytes();
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_NE(errorOf(std::vector<uint8_t>(bytes.begin(), bytes.begin() + long(size))), "") << size;
}

TEST(GGUFReader, DamageNeverCrashes) {
  const std::vector<uint8_t> bytes = smallModel().bytes();
  auto touchEverything = [](const std::vector<uint8_t> &damaged) {
    std::string error;
    auto file = File::parse(damaged, "x.gguf", error);
    ASSERT_EQ(file == nullptr, !error.empty());
    if (!file)
      return;
    unsigned sum = 0;
    for (const Entry &entry : file->metadata())
      sum += unsigned(entry.value.text().size() + entry.value.asStrings().has_value());
    for (const Tensor &tensor : file->tensors())
      for (uint8_t byte : file->bytesOf(tensor))
        sum += byte;
    ASSERT_NE(sum, ~0u);
  };
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::vector<uint8_t> damaged = bytes;
    damaged[bit / 8] ^= uint8_t(1 << bit % 8);
    touchEverything(damaged);
  }
  std::mt19937 random(1);
  const uint8_t extremes[] = {0, 1, 0x7f, 0x80, 0xff};
  for (int trial = 0; trial < 20000; ++trial) {
    std::vector<uint8_t> damaged = bytes;
    size_t at = random() % damaged.size(), length = 1 + random() % 8;
    for (size_t i = at; i < std::min(at + length, damaged.size()); ++i)
      damaged[i] = extremes[random() % std::size(extremes)];
    touchEverything(damaged);
  }
}

TEST(GGUFReader, FilesAreMappedAndMissingOnesNamed) {
  TemporaryFolder folder;
  std::string path = folder.write("m.gguf", smallModel().bytes()), error;
  auto file = File::open(path, error);
  ASSERT_TRUE(file) << error;
  EXPECT_EQ(file->parts().size(), 1u);
  file->release(*file->findTensor("a"), 0, 64);
  EXPECT_EQ(file->bytesOf(*file->findTensor("a"))[5], 1);
  EXPECT_FALSE(File::open(path + ".absent", error));
  EXPECT_EQ(error, path + ".absent: cannot open: No such file or directory");
  EXPECT_FALSE(File::open(folder.folder.string(), error));
  EXPECT_NE(error.find("not a regular file"), std::string::npos);
}

TEST(GGUFReader, ASplitModelOpensFromAnyPart) {
  TemporaryFolder folder;
  auto part = [](uint16_t number, const char *tensor) {
    GGUFBytes file;
    if (number == 0)
      file.add("general.architecture", "llama");
    file.add("split.no", number)
        .add("split.count", uint16_t(3))
        .add("split.tensors.count", int32_t(3));
    return file.tensor(tensor, {4}, 0, floats(4)).bytes();
  };
  std::vector<std::string> paths;
  for (uint16_t i = 0; i < 3; ++i)
    paths.push_back(
        folder.write("m-0000" + std::to_string(i + 1) + "-of-00003.gguf", part(i, i == 0   ? "a"
                                                                                  : i == 1 ? "b"
                                                                                           : "c")));
  std::string error;
  for (const std::string &path : paths) {
    auto file = File::open(path, error);
    ASSERT_TRUE(file) << error;
    EXPECT_EQ(file->parts().size(), 3u);
    EXPECT_EQ(file->find("general.architecture")->asString(), "llama");
    EXPECT_EQ(file->findTensor("c")->part, 2u);
    EXPECT_EQ(file->bytesOf(*file->findTensor("c")).size(), 16u);
  }
  folder.write("m-00002-of-00003.gguf", part(1, "a"));
  EXPECT_FALSE(File::open(paths[0], error));
  EXPECT_EQ(error, paths[1] + ": tensor 'a' appears twice");
  folder.write("m-00002-of-00003.gguf", part(2, "b"));
  EXPECT_FALSE(File::open(paths[0], error));
  EXPECT_NE(error.find("does not say that it is part 2"), std::string::npos);
  std::filesystem::remove(paths[1]);
  EXPECT_FALSE(File::open(paths[2], error));
  EXPECT_EQ(error, paths[1] + ": cannot open: No such file or directory");
}

TEST(GGUFReader, ASplitModelUnderAnotherNameIsRefused) {
  TemporaryFolder folder;
  GGUFBytes file;
  file.add("split.no", uint16_t(0)).add("split.count", uint16_t(2));
  std::string error;
  EXPECT_FALSE(File::open(folder.write("renamed.gguf", file.bytes()), error));
  EXPECT_NE(error.find("says that its model has 2 parts"), std::string::npos);
}
