// Byte-level vocabularies for tests and fuzz targets.
#ifndef TERN_TEST_UNIT_TEXT_BYTELEVELSPEC_H
#define TERN_TEST_UNIT_TEXT_BYTELEVELSPEC_H

#include "compiler/Text/TokenizerSpec.h"

#include <string>
#include <utility>
#include <vector>

namespace tern {

/// The spelling byte-level vocabularies use for a byte.
inline std::string byteStandIn(int byte) {
  auto standsForItself = [](int b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  };
  int codePoint = byte;
  if (!standsForItself(byte)) {
    codePoint = 256;
    for (int b = 0; b < byte; ++b)
      codePoint += !standsForItself(b);
  }
  if (codePoint < 0x80)
    return std::string(1, char(codePoint));
  return {char(0xc0 | codePoint >> 6), char(0x80 | (codePoint & 0x3f))};
}

/// Bytes as ids 0 to 255, then the results of `merges`, <bos> and <eos> (control), <tool>
/// (user-defined).
inline TokenizerSpec byteLevelSpec(const std::vector<std::string> &merges,
                                   const std::string &pre = "gpt-2") {
  TokenizerSpec spec;
  spec.model = "gpt2";
  spec.pre = pre;
  for (int byte = 0; byte < 256; ++byte)
    spec.tokens.push_back(byteStandIn(byte));
  for (const std::string &merge : merges) {
    std::string merged = merge;
    merged.erase(merged.find(' '), 1);
    spec.tokens.push_back(merged);
  }
  spec.merges = merges;
  spec.tokenTypes.assign(spec.tokens.size(), 1);
  spec.bos = spec.tokens.size();
  spec.eos = spec.tokens.size() + 1;
  spec.addBos = false;
  for (auto [token, type] :
       {std::pair("<bos>", 3), std::pair("<eos>", 3), std::pair("<tool>", 4)}) {
    spec.tokens.push_back(token);
    spec.tokenTypes.push_back(type);
  }
  return spec;
}

} // namespace tern

#endif
