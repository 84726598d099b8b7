"""The tables of README.md and docs/status.md that show what was measured: docs/benchmark/NAME.json, by section.

    python test/bench/publish.py            print each section as it should be
    python test/bench/publish.py --write    rewrite the sections in their pages
    python test/bench/publish.py --check    fail where a page differs

A section lies between `<!-- figures: KIND NAME -->` and `<!-- end of figures -->`. Kinds: `summary`, the speeds with the
largest number of threads and the start; `speeds`, all of them with their spread; `steps`, latency, start and memory;
`roofline`, what roofline.py measured. A new file of figures needs its sections (one line each, then --write); a file that
docs/status.md does not show is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from pathlib import Path

from bench_models import ENCODINGS
from report import (
    MACHINE,
    TERN,
    Row,
    bandwidth_share,
    better_peer,
    jitter,
    markdown_table,
    number,
    ratio,
    roofline_table,
    scaled,
    shortest,
    spread,
)  # fmt: skip

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/status.md")
FIGURES = Path("docs/benchmark")
SECTION = re.compile(r"(<!-- figures: (\w+) ([\w.-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
RESOURCES = ("start to first token", "peak resident")
LABELS = {"ternary-b3": "ternary-b3, 1.7 bits a weight"}


class PublishError(Exception):
    """A page or a file of figures that cannot be shown."""


def speeds_of(row: Row) -> list[str]:
    """Decoding, then prefill, each by the length of its prompt."""
    measured = [metric for metric in row["engines"][TERN] if metric.startswith(("decode ", "prefill "))]
    return sorted(measured, key=lambda metric: (metric.split()[0], int(metric.split()[1])))


def median(row: Row, engine: str, metric: str) -> float:
    return statistics.median(scaled(metric, row["engines"][engine][metric]))


def both(row: Row, metric: str, peer: str | None) -> str:
    """Tern's median and the peer's."""
    values = [median(row, TERN, metric)] + ([median(row, peer, metric)] if peer else [])
    return " / ".join(number(value) for value in values)


def named(row: Row, metric: str) -> str:
    kind, length = metric.split()
    once = ", one run" if len(row["engines"][TERN][metric]) == 1 else ""
    if kind == "prefill":
        return f"read a prompt of {int(length):,}{once}"
    return ("generate" if metric == shortest(row, "decode") else f"generate behind {int(length):,} tokens") + once


def interval(values: list[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low} to {high}"


def summary(rows: list[Row]) -> str:
    """With the most threads: decoding, prefill of the shortest prompt, and the span of the starts.

    Of encodings that the peer computes one value at a time nothing but its speed is said, and why.
    """
    if len({row["shape"] for row in rows}) > 1:
        raise PublishError("a summary shows one model, these figures are of several")
    most = [row for row in rows if row["threads"] == max(row["threads"] for row in rows)]
    cells = []
    for row in most:
        for metric in speeds_of(row):
            if metric.startswith("prefill") and metric != shortest(row, "prefill"):
                continue
            peer = better_peer(row, metric)
            label = LABELS.get(row["encoding"], row["encoding"].upper())
            other = [f"{median(row, peer, metric):.0f}", f"{ratio(row, metric):.2f}"] if peer else ["", ""]
            cells.append([f"{label}: {named(row, metric)}", f"{median(row, TERN, metric):.0f}", *other])
    start = "start to first token"
    starts = interval([median(row, TERN, start) for row in most])
    text = f"From a process's start to its first token: {starts} ms"
    slow = [row["encoding"].upper() for row in most if ENCODINGS[row["encoding"]].brief]
    compared = [row for row in most if not ENCODINGS[row["encoding"]].brief]
    peers = [median(row, peer, start) for row in compared if (peer := better_peer(row, start))]
    text += f", llama.cpp at its leanest {interval(peers)} ms." if peers else "."
    if slow:
        text += f" llama.cpp computes {' and '.join(slow)} one value at a time on x86."
    return markdown_table(["tokens/s", "tern", "llama.cpp", "ratio"], cells) + "\n\n" + text


def configurations(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    """The first columns of a table, and each row's cells of them: the model only where there are several."""
    columns = {"model": "shape", "type": "encoding", "threads": "threads"}
    if len({row["shape"] for row in rows}) == 1:
        del columns["model"]
    return list(columns), [[str(row[field]) for field in columns.values()] for row in rows]


def speeds(rows: list[Row]) -> str:
    header, configured = configurations(rows)
    cells = []
    for row, configuration in zip(rows, configured, strict=True):
        for metric in speeds_of(row):
            peer = better_peer(row, metric)
            other = [spread(row["engines"][peer][metric]), f"{ratio(row, metric):.2f}"] if peer else ["", ""]
            share = ""
            if metric == shortest(row, "decode"):
                share = f"{bandwidth_share(row):.0%} of {statistics.median(row['bandwidth']) / 1e9:.1f} GB/s"
            own = spread(row["engines"][TERN][metric])
            cells.append([*configuration, metric, own, *other, share])
    return markdown_table([*header, "prompt", "tern", "llama.cpp", "ratio", "of read bandwidth"], cells)


def steps(rows: list[Row]) -> str:
    """The columns of what the machine does by itself are there when it was measured."""
    header, configured = configurations(rows)
    header += ["a step, median, ms: tern / llama.cpp", "99th of 100, ms", "99th over median"]
    with_machine = any(row.get("jitter") for row in rows)
    if with_machine:
        header.append("of the machine: computing, reading")
    header += ["start to first token, ms", "peak memory, MB"]
    cells = []
    for row, configuration in zip(rows, configured, strict=True):
        evener = better_peer(row, "latency p99")  # one setting in all columns of latency
        quotients = [jitter(row, engine) for engine in (TERN, evener) if engine]
        line = [*configuration, both(row, "latency p50", evener), both(row, "latency p99", evener)]
        line.append(" / ".join(f"{quotient:.2f}" for quotient in quotients))
        if with_machine:
            own = row.get("jitter", {})
            line.append(", ".join(f"{statistics.median(own[kind]):.2f}" for kind in MACHINE if kind in own))
        cells.append([*line, *(both(row, metric, better_peer(row, metric)) for metric in RESOURCES)])
    return markdown_table(header, cells)


KINDS = {"summary": summary, "speeds": speeds, "steps": steps, "roofline": roofline_table}


def section(root: Path, kind: str, name: str) -> str:
    if kind not in KINDS:
        raise PublishError(f"no kind of section is called '{kind}': expected one of {', '.join(KINDS)}")
    path = root / FIGURES / f"{name}.json"
    if not path.exists():
        raise PublishError(f"{FIGURES / path.name} does not exist, of which a section shows '{kind}'")
    report = json.loads(path.read_text())
    text = KINDS[kind](report["rows"])
    sources = f", sources {report['sources']}" if "sources" in report else ""
    measured = f"{report['date']}, {report['machine']}{sources}."
    return f"{text} Medians where not one run, {measured}" if kind == "summary" else f"{text}\n\n{measured}"


def filled(root: Path, page: str) -> tuple[str, set[str]]:
    """A page with its sections as they should be, and the names of the files they show."""
    text = (root / page).read_text()
    shown = {name for _, _, name, _ in SECTION.findall(text)}
    if text.count("<!-- figures: ") != len(SECTION.findall(text)):
        raise PublishError(f"{page}: a section of figures has no end, or no kind and name")
    return SECTION.sub(lambda match: match[1] + section(root, match[2], match[3]) + "\n" + match[4], text), shown


def publish(root: Path, write: bool) -> list[str]:
    """The pages that differ from what they should hold; rewritten, if asked for."""
    pages = {page: filled(root, page) for page in PAGES}
    for path in sorted((root / FIGURES).glob("*.json")):
        if path.stem not in pages["docs/status.md"][1]:
            raise PublishError(
                f"docs/status.md shows nothing of {FIGURES / path.name}: give it a section, such as\n"
                f"<!-- figures: speeds {path.stem} -->\n<!-- end of figures -->"
            )
    changed = [page for page, (text, _) in pages.items() if text != (root / page).read_text()]
    for page in changed if write else []:
        (root / page).write_text(pages[page][0])
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true", help="rewrite the sections in place")
    action.add_argument("--check", action="store_true", help="fail where a page differs")
    options = parser.parse_args()
    try:
        changed = publish(ROOT, options.write)
        if not options.write and not options.check:
            for page in PAGES:
                for match in SECTION.finditer(filled(ROOT, page)[0]):
                    print(f"{page}\n\n{match[0]}\n")
    except PublishError as error:
        sys.exit(f"publish.py: {error}")
    if options.check and changed:
        sys.exit(f"publish.py: not what docs/benchmark says: {', '.join(changed)}; run it with --write")


if __name__ == "__main__":
    main()
