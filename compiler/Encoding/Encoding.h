// What a quantized tensor means: codes, groups and scales. One description serves every format.
//
// An EncodingDesc is the logical storage of a tensor's elements, independent of how a file or a
// target arranges the bytes. Along K, `groupSize` elements share a scale:
//   value = scale * (code - zero)                    int4, int8, ternary, ...
//   value = scale * book[code]                       iq4nl, e2m1
//   value = scale * code + minimum                   with `minimum`
// The scales of the groups of a super-group (`superSize` elements) may be small integers under
// scales of their own (GGUF's K-quants):
//   value = (superScale * scale) * (code - zero) - superMinimum * minimum
// File arrangements are BlockFormats (BlockFormat.h); arrangements in the artifact are
// WeightLayouts (WeightLayout.h).
#ifndef TERN_COMPILER_ENCODING_ENCODING_H
#define TERN_COMPILER_ENCODING_ENCODING_H

#include "llvm/ADT/ArrayRef.h"
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
  TernaryB3,  ///< the same, five to a byte: 1.6 bits
  Quaternary, ///< codes 0..3, zero 1
  UInt2,      ///< codes 0..3, zero 0
  Int3,       ///< codes 0..7, zero 4
  Int4,       ///< codes 0..15, zero 8
  UInt4,      ///< codes 0..15, zero 0
  Int5,       ///< codes 0..31, zero 16
  UInt5,      ///< codes 0..31, zero 0
  Int6,       ///< codes 0..63, zero 32
  Int8,       ///< codes -127..127 (a file may hold -128), zero 0
  IQ4NL,      ///< code book of 16 uneven steps, -127..113
  E2M1,       ///< code book of 4-bit floats (MXFP4), doubled: -12..12
};

/// The type of a group's scale (and minimum), or of a super-group's.
enum class ScaleType : uint8_t {
  None,
  F16,
  F32,
  E8M0, ///< a power of two in a byte: 2^(bits - 128), as GGUF's MXFP4 uses it on doubled codes
  U4,   ///< integers under a super-group's scale
  U6,
  I6, ///< stored with offset 32
  I8,
};

struct EncodingDesc {
  CodeKind codes = CodeKind::F32;
  unsigned groupSize = 0; ///< elements along K that share a scale; 0 for float codes
  ScaleType scale = ScaleType::None;
  bool minimum = false;   ///< a minimum beside each scale, of the same type
  unsigned superSize = 0; ///< elements that share a second-level scale; 0: there is none
  ScaleType superScale = ScaleType::None; ///< f16 or f32, also that of the super-group's minimum

  bool isFloat() const { return codes <= CodeKind::BF16; }
  bool isTernary() const { return codes == CodeKind::Ternary || codes == CodeKind::TernaryB3; }
  bool hasSuper() const { return superSize != 0; }
  /// Bits of one code; 2 for ternary-b3, whose five codes share a byte.
  unsigned codeBits() const;
  int zero() const;                        ///< the code that means 0
  int largestCode() const;                 ///< as an unsigned number
  llvm::ArrayRef<int8_t> codeBook() const; ///< values of the codes; empty without a book
  unsigned scaleBits() const;              ///< of a group's scale
  int scaleZero() const;                   ///< 32 for I6, else 0
  unsigned outerScaleBytes() const;        ///< of the outermost scale: 1, 2 or 4
  ScaleType outerScale() const { return hasSuper() ? superScale : scale; }
  /// Elements under one outermost scale.
  unsigned outerSize() const { return hasSuper() ? superSize : groupSize; }
  double bitsPerWeight() const; ///< scales included
  /// What is wrong with the combination; empty if nothing.
  std::string problem() const;
  bool operator==(const EncodingDesc &) const = default;
  /// "ternary:g256:f16", "uint4:g32:u6:min:s256:f16", "f32"; the artifact's spelling.
  std::string str() const;
};

/// The inverse of EncodingDesc::str(); nullopt if malformed or not a valid combination.
std::optional<EncodingDesc> parseEncoding(llvm::StringRef);
llvm::StringRef spelling(CodeKind); ///< "ternary"
std::optional<CodeKind> parseCodeKind(llvm::StringRef);
std::string knownCodeKinds();        ///< "f32, f16, ...", for messages
llvm::StringRef spelling(ScaleType); ///< "f16"
std::optional<ScaleType> parseScaleType(llvm::StringRef);

} // namespace tern
#endif
