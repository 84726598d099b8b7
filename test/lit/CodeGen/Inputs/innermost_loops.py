"""Prints one line per innermost loop of an x86-64 or AArch64 assembly listing: its kernel, and what its instructions are.

    ternc model.mlir --emit=asm -o - | python innermost_loops.py [INSTRUCTION [--vector]]

Each instruction stands with its number of occurrences. With INSTRUCTION only loops that contain it are printed, and
the numbers are per occurrence of it, so that a test does not depend on how far a loop is unrolled. A loop is a
backward jump to a label without another label or jump between. `stack` counts operands relative to the stack pointer.
With --vector it is an error if there is no such loop, or if one of them moves single elements between registers,
gathers, divides or calls.
"""

from __future__ import annotations

import re
import sys
from collections import Counter

LABEL = re.compile(r"^(\.L\w+|\w+):")
JUMP = re.compile(r"^\s+(j\w+|b|b\.\w+|cbn?z|tbn?z)\s+(?:[^.]+,\s*)?(\.L\w+)")
INSTRUCTION = re.compile(r"^\s+(?:\{vex\}\s+)?([a-z][\w.]*)\s*(.*)")
NO_VECTOR_CODE = re.compile(
    r"v?p(insr|extr)[bwdq]|vp?gather\w+|v(insert|extract)[fips]\w*|movz\w+|v?div\w+|idiv\w+|call\w*|umov|smov|ins|[suf]div|blr?"
)


def main() -> None:
    unit = sys.argv[1] if len(sys.argv) > 1 else ""
    vector_only = "--vector" in sys.argv
    found = 0
    lines = sys.stdin.read().splitlines()
    labels: dict[str, int] = {}
    kernel = ""
    for number, line in enumerate(lines):
        if line.startswith(("# kernel ", "// kernel ")):
            kernel = line.split()[2]
            labels.clear()
        elif match := LABEL.match(line):
            labels[match.group(1)] = number
        elif (match := JUMP.match(line)) and match.group(2) in labels:
            body = lines[labels[match.group(2)] + 1 : number + 1]
            if any(LABEL.match(inner) for inner in body) or any(JUMP.match(inner) for inner in body[:-1]):
                continue
            counts: Counter[str] = Counter()
            for inner in body:
                if instruction := INSTRUCTION.match(inner):
                    counts[instruction.group(1)] += 1
                    counts["stack"] += "(%rsp" in instruction.group(2) or "[sp" in instruction.group(2)
            if unit and not counts[unit]:
                continue
            found += 1
            scalar = [name for name in counts if NO_VECTOR_CODE.fullmatch(name)]
            if vector_only and scalar:
                sys.exit(f"{kernel}: {' '.join(scalar)} in a loop of {unit}")
            per = counts[unit] if unit else 1
            print(f"{kernel}: " + " ".join(f"{name}={n / per:.3g}" for name, n in sorted(counts.items()) if n))
    if vector_only and not found:
        sys.exit(f"no loop with {unit}")


if __name__ == "__main__":
    main()
