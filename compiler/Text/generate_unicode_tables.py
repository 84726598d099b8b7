# /// script
# requires-python = ">=3.10"
# dependencies = ["unicodedata2==16.0.0"]
# ///
"""Writes UnicodeTables.inc: character classes and canonical (de)composition of Unicode 16.0.

Unicode 16.0 is what the Oniguruma inside Hugging Face `tokenizers` 0.23 implements; the end to end
test compares every code point with it. Run with `uv run generate_unicode_tables.py` after changing
the version; the result is checked in.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import unicodedata2 as unicodedata

LIMIT = 0x110000
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)
WHITE_SPACE = {*range(0x09, 0x0E), 0x85}  # besides the categories Zs, Zl, Zp


def char_class(code_point: int) -> int:
    """The bits of CharClass in runtime/text/CharClass.h."""
    category = unicodedata.category(chr(code_point))
    if category[0] == "Z" or code_point in WHITE_SPACE:
        return 1 << 7
    if category in ("Lu", "Lt"):
        return 1 << 0
    if category == "Ll":
        return 1 << 1
    return {"L": 1 << 2, "M": 1 << 3, "N": 1 << 4, "P": 1 << 5, "S": 1 << 6}.get(category[0], 0)


def class_ranges() -> Iterable[str]:
    """Start of each run of equal classes, shifted left by 8, with the class in the low byte."""
    last = -1
    for code_point in range(LIMIT):
        current = char_class(code_point)
        if current != last:
            yield f"{code_point << 8 | current:#x}"
        last = current


def combining_classes() -> Iterable[str]:
    for code_point in range(LIMIT):
        combining = unicodedata.combining(chr(code_point))
        if combining:
            yield f"{code_point << 8 | combining:#x}"


def decompositions() -> Iterable[str]:
    """One decomposition step per code point; the last field says whether NFC undoes it."""
    for code_point in range(LIMIT):
        mapping = unicodedata.decomposition(chr(code_point))
        if not mapping or mapping.startswith("<") or code_point in HANGUL_SYLLABLES:
            continue
        parts = [int(part, 16) for part in mapping.split()]
        first, second = parts if len(parts) == 2 else (parts[0], 0)
        composes = unicodedata.normalize("NFC", chr(code_point)) == chr(code_point)
        yield f"{{{code_point:#x}, {first:#x}, {second:#x}, {int(composes)}}}"


def array(declaration: str, entries: Iterable[str]) -> str:
    lines = [f"{declaration} = {{"]
    line = "   "
    for entry in entries:
        if len(line) + len(entry) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {entry},"
    return "\n".join([*lines, line, "};", ""])


def main() -> None:
    text = "\n".join(
        [
            f"// Unicode {unicodedata.unidata_version}, written by generate_unicode_tables.py: do not edit.",
            "// clang-format off",
            "",
            array("constexpr uint32_t classRanges[]", class_ranges()),
            array("constexpr uint32_t combiningClasses[]", combining_classes()),
            array("constexpr CanonicalMapping canonicalMappings[]", decompositions()),
            "// clang-format on",
            "",
        ]
    )
    (pathlib.Path(__file__).parent / "UnicodeTables.inc").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
