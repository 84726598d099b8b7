// Logits of one evaluation in a file, to compare another model's with.
//
//   "TERNLGTS", u32 version, vocabulary, context, chunks          little endian
//   i32 tokens[chunks][context]
//   f32 logits[chunks][context - 1 - context / 2][vocabulary]     the scored positions
#ifndef TERN_TOOLS_TERN_SAVEDLOGITS_H
#define TERN_TOOLS_TERN_SAVEDLOGITS_H

#include "tools/tern/OutputFile.h"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tern::cli {

/// What an evaluation scores: whole chunks of `context` tokens.
struct EvaluationText {
  uint32_t vocabulary = 0;
  uint32_t context = 0;
  std::vector<int32_t> tokens; ///< [chunks * context]

  uint32_t chunks() const { return uint32_t(tokens.size() / context); }
  /// The first position of a chunk whose logits are scored; those of the last one are not.
  uint32_t firstScored() const { return context / 2; }
  uint32_t scoredPerChunk() const { return context - 1 - firstScored(); }
};

class LogitsWriter {
public:
  LogitsWriter(const std::string &path, const EvaluationText &text);
  void write(std::span<const float> row) { file.write(row.data(), row.size_bytes()); }
  void commit() { file.commit(); }

private:
  OutputFile file;
};

class LogitsReader {
public:
  /// Throws InputError unless the file is whole and of the same text, context and vocabulary.
  LogitsReader(std::string path, const EvaluationText &text);
  /// The next row; valid until the next call.
  std::span<const float> read();

private:
  struct FileCloser {
    void operator()(std::FILE *file) const { std::fclose(file); }
  };
  void readBytes(void *data, size_t size);

  std::string path;
  std::unique_ptr<std::FILE, FileCloser> file;
  std::vector<float> row;
};

} // namespace tern::cli

#endif
