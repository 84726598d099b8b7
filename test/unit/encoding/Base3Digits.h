// What a byte of base-3 codes means, by definition and with wide integers.
#ifndef TERN_TEST_UNIT_ENCODING_BASE3DIGITS_H
#define TERN_TEST_UNIT_ENCODING_BASE3DIGITS_H

namespace tern {

/// Digit `n`, 0 to 4, of the fraction byte / 256 in base 3.
inline unsigned base3Digit(unsigned byte, unsigned n) {
  const unsigned powers[] = {3, 9, 27, 81, 243};
  return powers[n] * byte / 256 % 3;
}

/// The least byte with the five digits of `number`: ceil(256 * number / 243).
inline unsigned leastBase3Byte(unsigned number) {
  for (unsigned byte = 0;; ++byte) {
    unsigned value = 0;
    for (unsigned n = 0; n < 5; ++n)
      value = value * 3 + base3Digit(byte, n);
    if (value == number)
      return byte;
  }
}

} // namespace tern
#endif
