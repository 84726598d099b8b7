// Encodings in the text of test kernels: one spelling gives the description and the attribute.
#ifndef TERN_TEST_UNIT_KERNELS_ENCODINGTEXT_H
#define TERN_TEST_UNIT_KERNELS_ENCODINGTEXT_H

#include "compiler/Encoding/Encoding.h"
#include <stdexcept>
#include <string>

namespace tern {

/// From the spelling of EncodingDesc::str(): "uint4:g32:f16:min".
inline EncodingDesc encodingOf(const std::string &spelled) {
  if (std::optional<EncodingDesc> desc = parseEncoding(spelled))
    return *desc;
  throw std::invalid_argument("no encoding: " + spelled);
}

/// `#tern.enc<uint4, group = 32, scale = f16, min, layout = "rows32">`
inline std::string packedAttribute(const EncodingDesc &e) {
  std::string text = "#tern.enc<" + spelling(e.codes).str();
  if (!e.isFloat())
    text += ", group = " + std::to_string(e.groupSize) + ", scale = " + spelling(e.scale).str();
  if (e.minimum)
    text += ", min";
  if (e.hasSuper())
    text += ", super = " + std::to_string(e.superSize) +
            ", super_scale = " + spelling(e.superScale).str();
  return text + ", layout = \"rows32\">";
}

} // namespace tern
#endif
