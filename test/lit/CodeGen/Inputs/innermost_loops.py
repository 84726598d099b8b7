"""Prints one line per innermost loop of an x86-64 assembly listing: where, and how often each instruction occurs.

    ternc model.mlir --emit=asm -o - | python innermost_loops.py [INSTRUCTION]

A loop is a backward jump to a label without a jump into or out of the stretch between; with INSTRUCTION only loops
that contain it are printed. `stack` counts operands relative to the stack pointer (spills), `call` calls.
"""

from __future__ import annotations

import re
import sys
from collections import Counter

LABEL = re.compile(r"^(\.L\w+|\w+):")
JUMP = re.compile(r"^\s+(j\w+)\s+(\.L\w+)")
INSTRUCTION = re.compile(r"^\s+([a-z]\w*)\s*(.*)")


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    lines = sys.stdin.read().splitlines()
    labels: dict[str, int] = {}
    kernel = ""
    for number, line in enumerate(lines):
        if line.startswith("# kernel "):
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
                    counts["stack"] += "(%rsp" in instruction.group(2)
            if not wanted or counts[wanted]:
                text = " ".join(f"{name}={count}" for name, count in sorted(counts.items()) if count)
                print(f"{kernel}: {text}")


if __name__ == "__main__":
    main()
