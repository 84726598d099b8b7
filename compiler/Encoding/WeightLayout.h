// How a weight matrix [rows][K] lies in the artifact for one target.
//
// The packer writes this order, the kernels read it, both from this one description:
//
//   for each tile of `tileRows` rows                      (the last tile padded with zero bytes)
//     float codes (f32, f16, bf16):
//       for each k in 0..K-1, for each part p:  tileRows elements      (row fastest)
//     grouped codes:
//       for each outer group along K                      (super-group, or group where there is
//       none)
//         for each part p                                 (parts > 1: stacked [parts][rows][K])
//           tileRows outer scales                         (f16, f32 or e8m0)
//           tileRows outer minimums                       (only with `minimum`)
//           for each cell of `cellElements` elements      (one cell where there is no super-group)
//             for each inner scale byte b, for each row:  one byte, see scaleFields()
//             for each line, for each row r, for each i in 0..3: one byte
//
// A *quad* is four elements k, k + 1, k + 2, k + 3 that follow each other; quad q of a cell holds
// the elements 4 q + i. A code is split into `lowBits` and `highBits` (5 = 4 + 1, 6 = 4 + 2,
// 3 = 2 + 1; one part where the bits divide a byte). Byte i of low line q / lowPlanes has the low
// part of element i of quad q at bit (q % lowPlanes) * lowBits; byte i of high line q / highPlanes
// has the high part at bit (q % highPlanes) * highBits. Codes are stored as they are (code, not
// code - zero), int8 as two's complement.
//
// All this lies in the order in which kernels read it, each high line before the low lines that it
// completes: a CPU fetches ahead what follows in memory. Of Q6_K one thread reads 29 GB/s so, 22
// with the high lines behind the low ones, and 8 with the inner scales of all cells before them.
//
// ternary-b3: byte i of low line q / 5 holds the codes d0..d4 of element i of five quads as
// ceil((81 d0 + 27 d1 + 9 d2 + 3 d3 + d4) * 256 / 243); quads past the group are 0. Then, with
// v0 = byte and v(n+1) = 3 v(n) mod 256, d(n) = 3 v(n) >> 8 for every one of the 256 bytes: the
// product is below 768, so no bit pattern gives a code above 2.
//
// A layout is identified by `id()`; it is the layout string of the `#tern.enc` attribute and of the
// artifact.
#ifndef TERN_COMPILER_ENCODING_WEIGHTLAYOUT_H
#define TERN_COMPILER_ENCODING_WEIGHTLAYOUT_H

#include "compiler/Encoding/Encoding.h"

namespace tern {

/// How the codes of an encoding are cut into lines and cells.
struct CellShape {
  unsigned lowBits = 8, highBits = 0;
  unsigned lowPlanes = 1, highPlanes = 0; ///< codes of one byte of a line
  unsigned elements = 0;                  ///< of a cell, per row
  unsigned groups = 1;                    ///< of a cell
  unsigned lowLines = 0, highLines = 0;   ///< of a cell
  unsigned scaleBytes = 0;                ///< inner scales and minimums of a cell, per row

  static CellShape of(const EncodingDesc &);
  /// Low lines of one group; groups never share one.
  unsigned linesPerGroup() const { return lowLines / groups; }
  unsigned lines() const { return lowLines + highLines; }
  /// Low lines that a high line completes.
  unsigned lowPerHigh() const { return highPlanes / lowPlanes; }
  /// Where a low or high line lies among the lines of a cell; T is an unsigned or an expression.
  template <typename T> T placeOfLow(const T &line) const {
    return highBits ? T(line + line / T(lowPerHigh()) + T(1)) : line;
  }
  template <typename T> T placeOfHigh(const T &line) const { return line * T(lowPerHigh() + 1); }
};

/// Bits of an inner scale or minimum: `low` from byte lowByte at lowShift, and above them `high`
/// from byte highByte at highShift. Numbers are within the inner scale bytes of one row and cell.
/// The formulas over g, the group's number in its cell, are given by divisors, so that kernels can
/// apply them to expressions: byte = base + g / perByte, shift = start + (g % perByte) * bits.
struct ScaleField {
  unsigned base = 0, perByte = 1, start = 0, bits = 0;

  unsigned byteOf(unsigned g) const { return base + g / perByte; }
  unsigned shiftOf(unsigned g) const { return start + g % perByte * bits; }
  unsigned mask() const { return (1u << bits) - 1; }
};
struct ScaleFields {
  ScaleField low, high; ///< high.bits = 0: none
};

struct WeightLayout {
  unsigned tileRows = 32; ///< rows per tile = rows per task of a linear kernel

  /// Bytes of one cell of one tile and part.
  uint64_t cellBytes(const EncodingDesc &) const;
  /// Bytes of the outer scales and minimums of one outer group of one tile and part.
  uint64_t headerBytes(const EncodingDesc &) const;
  /// Bytes of one outer group of one tile and part.
  uint64_t outerBytes(const EncodingDesc &) const;
  /// Bytes of one tile, all parts.
  uint64_t tileBytes(const EncodingDesc &, uint64_t k, uint64_t parts = 1) const;
  /// Bytes of the whole packed tensor.
  uint64_t packedBytes(const EncodingDesc &, uint64_t rows, uint64_t k, uint64_t parts = 1) const;
  std::string id() const; ///< "rows32"
};

/// Where the inner scale, or the inner minimum, of a group lies:
///   i8          byte g
///   u4 with min byte g: scale in bits 0..3, minimum in 4..7
///   u6 with min byte g: scale in bits 0..5, the minimum's low bits in 6..7; its high four in
///               nibble g % 2 of byte groups + g / 2
///   i6          low four bits in nibble g % 2 of byte g / 2, high two in pair g % 4 of byte
///               groups / 2 + g / 4
ScaleFields innerScaleFields(const EncodingDesc &);
ScaleFields innerMinimumFields(const EncodingDesc &);

/// The layout named by an artifact or attribute string; nullopt if unknown.
std::optional<WeightLayout> parseWeightLayout(llvm::StringRef id);

} // namespace tern
#endif
