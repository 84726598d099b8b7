// The kernel cache: hits, damage, concurrent users, eviction.
#include "compiler/CodeGen/KernelCache.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "gtest/gtest.h"
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace tern;
namespace fs = std::filesystem;

namespace {

class KernelCacheTest : public testing::Test {
protected:
  void SetUp() override {
    llvm::SmallString<64> path;
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("tern-cache-test", path));
    directory = std::string(path);
  }
  void TearDown() override { fs::remove_all(directory); }
  std::string directory;
};

void storeOrFail(const KernelCache &cache, const std::string &key, const std::string &payload) {
  if (llvm::Error error = cache.store(key, payload))
    FAIL() << llvm::toString(std::move(error));
}

size_t fileCount(const std::string &directory) {
  return size_t(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

} // namespace

TEST_F(KernelCacheTest, ReturnsWhatWasStored) {
  KernelCache cache(directory + "/made/on/demand");
  EXPECT_FALSE(cache.load("aa"));
  storeOrFail(cache, "aa", std::string("with\0zero", 9));
  EXPECT_EQ(cache.load("aa"), std::string("with\0zero", 9));
  EXPECT_FALSE(cache.load("bb"));
}

TEST_F(KernelCacheTest, DamagedEntriesAreMissesAndRemoved) {
  KernelCache cache(directory);
  storeOrFail(cache, "aa", std::string(1000, 'x'));
  fs::path file = fs::directory_iterator(directory)->path();
  for (size_t at : {0, 31, 32, 700}) {
    storeOrFail(cache, "aa", std::string(1000, 'x'));
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(std::streamoff(at));
    stream.put('\1');
    stream.close();
    EXPECT_FALSE(cache.load("aa")) << at;
    EXPECT_FALSE(fs::exists(file)) << at;
  }
  for (size_t length : {0, 10, 32, 999}) {
    storeOrFail(cache, "aa", std::string(1000, 'x'));
    fs::resize_file(file, length);
    EXPECT_FALSE(cache.load("aa")) << length;
  }
  storeOrFail(cache, "aa", "rebuilt");
  EXPECT_EQ(cache.load("aa"), "rebuilt");
}

// Writers of the same key in several processes and readers beside them: a load gives a whole
// payload or none, never a mixture.
TEST_F(KernelCacheTest, ConcurrentProcessesNeverSeeHalfAnEntry) {
  std::vector<pid_t> children;
  for (int child = 0; child < 4; ++child) {
    pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      KernelCache cache(directory);
      for (int i = 0; i < 200; ++i) {
        std::string payload(5000 + child * 7000, char('a' + child));
        if (llvm::Error error = cache.store("same", payload))
          _exit(2);
        std::optional<std::string> found = cache.load("same");
        if (!found)
          continue;
        size_t writer = size_t((*found)[0] - 'a');
        if (*found != std::string(5000 + writer * 7000, char('a' + writer)))
          _exit(3);
      }
      _exit(0);
    }
    children.push_back(pid);
  }
  for (pid_t pid : children) {
    int status = 0;
    waitpid(pid, &status, 0);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
  EXPECT_TRUE(KernelCache(directory).load("same"));
  EXPECT_EQ(fileCount(directory), 1u) << "temporary files were left behind";
}

TEST_F(KernelCacheTest, TrimRemovesTheLongestUnused) {
  KernelCache cache(directory, 3500);
  auto age = [&](const std::string &key, int hours) {
    for (const auto &entry : fs::directory_iterator(directory))
      if (entry.path().filename().string().starts_with(key))
        fs::last_write_time(entry, fs::file_time_type::clock::now() - std::chrono::hours(hours));
  };
  for (std::string key : {"aa", "bb", "cc", "dd"})
    storeOrFail(cache, key, std::string(1000, 'x'));
  for (auto [key, hours] : {std::pair{"aa", 5}, {"bb", 9}, {"cc", 2}, {"dd", 1}})
    age(key, hours);
  EXPECT_TRUE(cache.load("bb")); // now the newest
  cache.trim();
  EXPECT_FALSE(cache.load("aa"));
  for (const char *key : {"bb", "cc", "dd"})
    EXPECT_TRUE(cache.load(key)) << key;
}

TEST_F(KernelCacheTest, TrimRemovesWhatKilledCompilersLeft) {
  const std::string old = directory + "/aa.kernel.12345678.partial";
  const std::string fresh = directory + "/bb.kernel.12345678.partial";
  const std::string foreign = directory + "/notes.partial";
  for (const std::string &path : {old, fresh, foreign})
    std::ofstream(path) << "half";
  for (const std::string &path : {old, foreign})
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(2));
  KernelCache(directory).trim();
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(fresh)) << "a compiler may be writing it";
  EXPECT_TRUE(fs::exists(foreign));
}

TEST_F(KernelCacheTest, AnEmptyDirectoryNameDisablesIt) {
  KernelCache cache("");
  storeOrFail(cache, "aa", "x");
  EXPECT_FALSE(cache.load("aa"));
  EXPECT_FALSE(cache.isEnabled());
}

TEST_F(KernelCacheTest, AnUnusableDirectoryIsAnErrorThatNamesIt) {
  std::string file = directory + "/file";
  std::ofstream(file) << "in the way";
  llvm::Error error = KernelCache(file).store("aa", "x");
  ASSERT_TRUE(bool(error));
  EXPECT_NE(llvm::toString(std::move(error)).find(file), std::string::npos);
}

TEST_F(KernelCacheTest, TheEnvironmentChoosesTheDirectory) {
  setenv("TERN_CACHE_DIR", "/somewhere/else", 1);
  EXPECT_EQ(KernelCache::defaultDirectory(), "/somewhere/else");
  setenv("TERN_CACHE_DIR", "", 1);
  EXPECT_EQ(KernelCache::defaultDirectory(), "");
  unsetenv("TERN_CACHE_DIR");
  setenv("XDG_CACHE_HOME", "/cache-home", 1);
  EXPECT_EQ(KernelCache::defaultDirectory(), "/cache-home/tern");
  unsetenv("XDG_CACHE_HOME");
  setenv("HOME", "/home/of/someone", 1);
  EXPECT_EQ(KernelCache::defaultDirectory(), "/home/of/someone/.cache/tern");
}
