// Writes seeds for artifact_fuzzer: the toy model without and with a tokenizer.
#include "test/unit/runtime/ToyArtifact.h"
#include "test/unit/runtime/ToyText.h"

#include <cstdio>
#include <filesystem>
#include <fstream>

static bool write(const std::filesystem::path &path, tern::test::ToyArtifact &toy) {
  const tern::test::AlignedBytes bytes = toy.write();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char *>(bytes.data()), std::streamsize(bytes.size()));
  return bool(out.flush());
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: make_artifact_seeds FOLDER\n");
    return 2;
  }
  std::filesystem::create_directories(argv[1]);
  tern::test::ToyArtifact plain, withText;
  withText.table.tokenizer = tern::test::toyTokenizer();
  if (write(std::filesystem::path(argv[1]) / "toy.tern", plain) &&
      write(std::filesystem::path(argv[1]) / "toy-text.tern", withText))
    return 0;
  fprintf(stderr, "make_artifact_seeds: cannot write to %s\n", argv[1]);
  return 1;
}
