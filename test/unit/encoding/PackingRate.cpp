// Packing rate of one thread per format, in source bytes: packing_rate [MEGABYTES].
#include "compiler/Encoding/PackWeights.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

using namespace tern;

int main(int argc, char **argv) {
  uint64_t megabytes = argc > 1 ? strtoull(argv[1], nullptr, 10) : 64;
  struct Case {
    const char *format;
    EncodingDesc encoding;
  };
  const EncodingDesc int8{CodeKind::Int8, 32, ScaleType::F16},
      int4{CodeKind::Int4, 32, ScaleType::F16}, ternary{CodeKind::Ternary, 256, ScaleType::F16};
  const EncodingDesc q4k = findBlockFormat("q4_k")->encoding,
                     q6k = findBlockFormat("q6_k")->encoding,
                     iq4nl = findBlockFormat("iq4_nl")->encoding;
  const Case cases[] = {{"tq2_0", ternary},
                        {"q4_0", int4},
                        {"q8_0", int8},
                        {"f32", {CodeKind::F32}},
                        {"f16", {CodeKind::F16}},
                        {"f16", {CodeKind::F32}},
                        {"f16", int8},
                        {"f16", int4},
                        {"f16", ternary},
                        {"q4_0", {CodeKind::F16}},
                        {"f16", q4k},
                        {"f16", q6k},
                        {"f16", iq4nl}};
  constexpr uint64_t k = 2048;
  std::mt19937 random(1);
  for (const Case &c : cases) {
    const BlockFormat &format = *findBlockFormat(c.format);
    uint64_t rows = megabytes * 1000000 / format.rowBytes(k);
    std::vector<uint8_t> source(rows * format.rowBytes(k));
    for (uint8_t &byte : source)
      byte = uint8_t(random() & 0xaa); // finite floats, and no code 3
    PackedMatrix m{{}, c.encoding, rows, k, {{SourceRows{&format, source.data(), rows}}}};
    std::vector<uint8_t> tile(m.tileBytes());
    auto start = std::chrono::steady_clock::now();
    for (uint64_t t = 0; t < m.tiles(); ++t)
      packTiles(m, t, t + 1, tile.data());
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    printf("%-6s -> %-18s %7.0f MB/s\n", c.format, c.encoding.str().c_str(),
           double(source.size()) / 1e6 / seconds.count());
  }
}
