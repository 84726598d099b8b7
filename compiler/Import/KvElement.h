// What a compilation's key / value caches hold, as its options name it.
#ifndef TERN_COMPILER_IMPORT_KVELEMENT_H
#define TERN_COMPILER_IMPORT_KVELEMENT_H

#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/StringSwitch.h"
#include <cstdint>
#include <optional>

namespace tern {

enum class KvElement : uint8_t {
  F16,
  F32,
  Q8 ///< int8 codes with a scale for each position and head
};

inline llvm::StringRef spelling(KvElement element) {
  switch (element) {
  case KvElement::F16:
    return "f16";
  case KvElement::F32:
    return "f32";
  case KvElement::Q8:
    return "q8";
  }
  return {};
}

inline std::optional<KvElement> parseKvElement(llvm::StringRef name) {
  return llvm::StringSwitch<std::optional<KvElement>>(name)
      .Case("f16", KvElement::F16)
      .Case("f32", KvElement::F32)
      .Case("q8", KvElement::Q8)
      .Default(std::nullopt);
}

} // namespace tern
#endif
