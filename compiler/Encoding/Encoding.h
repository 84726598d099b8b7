// What a quantized tensor means: codes, groups and scales. One description serves every format.
//
// An EncodingDesc is the logical storage of a tensor's elements, independent of how a file or a
// target arranges the bytes: value = scale(group) * (code - zero). File arrangements are
// BlockFormats (BlockFormat.h); arrangements in the artifact are WeightLayouts (WeightLayout.h).
#ifndef TERN_COMPILER_ENCODING_ENCODING_H
#define TERN_COMPILER_ENCODING_ENCODING_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <optional>
#include <string>

namespace tern {

/// What one stored code is.
enum class CodeKind : uint8_t {
  F32, ///< no quantization; group and scale do not apply
  F16,
  BF16,
  Ternary,    ///< codes 0..2, zero 1: never 3, a checked property of the import
  Quaternary, ///< codes 0..3, zero 1
  Int4,       ///< codes 0..15, zero 8
  Int8,       ///< codes -127..127 (a file may hold -128), zero 0
};

enum class ScaleType : uint8_t { None, F16, F32 };

struct EncodingDesc {
  CodeKind codes = CodeKind::F32;
  unsigned groupSize = 0; ///< elements along K that share a scale; 0 for float codes
  ScaleType scale = ScaleType::None;

  bool isFloat() const { return codes <= CodeKind::BF16; }
  unsigned codeBits() const;    ///< 32, 16, 16, 2, 2, 4, 8
  int zero() const;             ///< the code that means 0
  unsigned scaleBytes() const;  ///< 0, 2 or 4
  double bitsPerWeight() const; ///< scales included
  bool operator==(const EncodingDesc &) const = default;
  std::string str() const; ///< "ternary:g256:f16", "f32"; the artifact's spelling
};

/// The inverse of EncodingDesc::str(); nullopt if malformed.
std::optional<EncodingDesc> parseEncoding(llvm::StringRef);
llvm::StringRef spelling(CodeKind); ///< "ternary"
std::optional<CodeKind> parseCodeKind(llvm::StringRef);
llvm::StringRef spelling(ScaleType); ///< "f16"
std::optional<ScaleType> parseScaleType(llvm::StringRef);

} // namespace tern
#endif
