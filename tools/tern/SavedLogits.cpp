#include "tools/tern/SavedLogits.h"
#include "tools/tern/InputError.h"
#include "tools/tern/Model.h"
#include "tools/tern/Report.h"

#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <sys/stat.h>

namespace tern::cli {

namespace {

static_assert(std::endian::native == std::endian::little, "the format is little endian");

struct Header {
  char magic[8] = {'T', 'E', 'R', 'N', 'L', 'G', 'T', 'S'};
  uint32_t version = 1;
  uint32_t vocabulary = 0;
  uint32_t context = 0;
  uint32_t chunks = 0;
};

Header headerFor(const EvaluationText &text) {
  Header header;
  header.vocabulary = text.vocabulary;
  header.context = text.context;
  header.chunks = text.chunks();
  return header;
}

uint64_t fileSize(const EvaluationText &text) {
  return sizeof(Header) + text.tokens.size() * sizeof(int32_t) +
         uint64_t(text.chunks()) * text.scoredPerChunk() * text.vocabulary * sizeof(float);
}

} // namespace

LogitsWriter::LogitsWriter(const std::string &path, const EvaluationText &text) : file(path) {
  const Header header = headerFor(text);
  file.write(&header, sizeof(header));
  file.write(text.tokens.data(), text.tokens.size() * sizeof(int32_t));
}

LogitsReader::LogitsReader(std::string name, const EvaluationText &text)
    : path(std::move(name)), row(text.vocabulary) {
  requireReadableFile(path);
  file.reset(std::fopen(path.c_str(), "rbe"));
  struct stat info;
  if (!file || fstat(fileno(file.get()), &info) != 0)
    throw InputError(path, std::string("cannot open: ") + std::strerror(errno));
  const Header expected = headerFor(text);
  Header header;
  readBytes(&header, sizeof(header));
  if (std::memcmp(header.magic, expected.magic, sizeof(header.magic)) != 0)
    throw InputError(path, "no logits saved by tern eval --save-logits");
  if (header.version != expected.version)
    throw InputError(path, formatText("saved logits of version %u, this program reads %u",
                                      header.version, expected.version));
  if (header.vocabulary != expected.vocabulary || header.context != expected.context ||
      header.chunks != expected.chunks)
    throw InputError(path, formatText("logits of %u chunks of %u tokens, a vocabulary of %u; this "
                                      "evaluation has %u chunks of %u, a vocabulary of %u",
                                      header.chunks, header.context, header.vocabulary,
                                      expected.chunks, expected.context, expected.vocabulary));
  if (uint64_t(info.st_size) != fileSize(text))
    throw InputError(path, formatText("%llu bytes long, expected %llu; the file is damaged",
                                      static_cast<unsigned long long>(info.st_size),
                                      static_cast<unsigned long long>(fileSize(text))));
  std::vector<int32_t> tokens(text.tokens.size());
  readBytes(tokens.data(), tokens.size() * sizeof(int32_t));
  if (tokens != text.tokens)
    throw InputError(path, "logits of another text, or of another tokenizer's tokens");
}

void LogitsReader::readBytes(void *data, size_t size) {
  if (std::fread(data, 1, size, file.get()) != size)
    throw InputError(path, "ends early; no logits saved by tern eval --save-logits");
}

std::span<const float> LogitsReader::read() {
  readBytes(row.data(), row.size() * sizeof(float));
  for (const float logit : row)
    if (std::isnan(logit))
      throw InputError(path, "holds a logit that is no number; the file is damaged");
  return row;
}

} // namespace tern::cli
