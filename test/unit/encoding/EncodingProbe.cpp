// Decodes or encodes one row between stdin and stdout, so that another program can check the bits.
//
//   encoding_probe decode FORMAT < block bytes > float32 values
//   encoding_probe encode FORMAT < float32 values > block bytes
//   encoding_probe search ENCODING < float32 values and importances, a super-group (or group) of
//   each in turn
//                                  > float32 values as they come back
#include "compiler/Encoding/BlockFormat.h"
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

static std::vector<uint8_t> readAll(FILE *file) {
  std::vector<uint8_t> bytes;
  uint8_t buffer[65536];
  while (size_t count = fread(buffer, 1, sizeof buffer, file))
    bytes.insert(bytes.end(), buffer, buffer + count);
  return bytes;
}

static bool writeAll(const void *data, size_t size) {
  return fwrite(data, 1, size, stdout) == size && fflush(stdout) == 0;
}

static int search(const tern::EncodingDesc &encoding) {
  size_t group = encoding.groupSize, size = encoding.outerSize(), bytes = 2 * size * sizeof(float);
  std::vector<uint8_t> input = readAll(stdin), codes(size);
  std::vector<float> values(2 * size), decoded(size);
  std::vector<tern::GroupScale> scales(size / group);
  for (size_t at = 0; at + bytes <= input.size(); at += bytes) {
    memcpy(values.data(), input.data() + at, bytes);
    tern::encodeGroups(encoding, tern::GroupFit::Search, values.data(), codes.data(), scales.data(),
                       values.data() + size);
    for (size_t k = 0; k < size; k += group)
      tern::decodeGroup(encoding, &codes[k], scales[k / group], &decoded[k]);
    if (!writeAll(decoded.data(), size * sizeof(float)))
      return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "search") == 0)
    if (auto encoding = tern::parseEncoding(argv[2]); encoding && !encoding->isFloat())
      return search(*encoding);
  const tern::BlockFormat *format = argc == 3 ? tern::findBlockFormat(argv[2]) : nullptr;
  bool decode = argc == 3 && strcmp(argv[1], "decode") == 0;
  if (!format || (!decode && strcmp(argv[1], "encode") != 0)) {
    fprintf(
        stderr,
        "usage: encoding_probe decode|encode FORMAT, encoding_probe search ENCODING; formats: %s\n",
        tern::knownBlockFormats().c_str());
    return 2;
  }
  std::vector<uint8_t> input = readAll(stdin);
  size_t unit = decode ? format->blockBytes : sizeof(float) * format->blockElements;
  if (input.size() % unit != 0) {
    fprintf(stderr, "encoding_probe: %zu bytes are not a multiple of %zu\n", input.size(), unit);
    return 1;
  }
  uint64_t elements = input.size() / unit * format->blockElements;
  std::vector<float> values(elements);
  std::vector<uint8_t> bytes(format->rowBytes(elements));
  if (decode)
    tern::decodeRow(*format, input.data(), elements, values.data());
  else if (elements) {
    memcpy(values.data(), input.data(), input.size());
    tern::encodeRow(*format, values.data(), elements, bytes.data());
  }
  const void *output = decode ? static_cast<const void *>(values.data()) : bytes.data();
  size_t size = decode ? elements * sizeof(float) : bytes.size();
  return writeAll(output, size) ? 0 : 1;
}
