"""What compare.py and roofline.py measured as tables in Markdown and as a plot."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

TERN = "tern"
PEERS = ("llama.cpp", "llama.cpp, not repacked")
HIGHER_IS_BETTER = ("prefill", "decode")
METRICS = (
    "decode 8", "decode 128", "decode 2048", "prefill 8", "prefill 128", "prefill 512", "prefill 2048",
    "latency p50", "latency p99", "latency max", "load", "start to first token", "peak resident",
)  # fmt: skip
MACHINE = {"compute": "computing", "read": "reading"}  # of Row.jitter
Row = dict[str, Any]


def unit(metric: str) -> str:
    if metric.startswith(HIGHER_IS_BETTER):
        return "tokens/s"
    return "MB" if metric == "peak resident" else "ms"


def scaled(metric: str, values: list[float]) -> list[float]:
    return [value / 1e6 for value in values] if metric == "peak resident" else values


def better_peer(row: Row, metric: str) -> str | None:
    """The setting of the peer that is best at this metric."""
    present = [peer for peer in PEERS if metric in row["engines"].get(peer, {})]
    if not present:
        return None
    choose = max if metric.startswith(HIGHER_IS_BETTER) else min
    return choose(present, key=lambda peer: statistics.median(row["engines"][peer][metric]))


def ratio(row: Row, metric: str) -> float | None:
    """Tern's value over the better peer's."""
    peer = better_peer(row, metric)
    if peer is None:
        return None
    return statistics.median(row["engines"][TERN][metric]) / statistics.median(row["engines"][peer][metric])


def shortest(row: Row, kind: str) -> str:
    """The metric of decoding or prefill with the shortest prompt that was measured."""
    return next(metric for metric in METRICS if metric.startswith(kind) and metric in row["engines"][TERN])


def bandwidth_share(row: Row) -> float:
    engine = row["engines"][TERN]
    read = statistics.median(engine[shortest(row, "decode")]) * statistics.median(engine["weight bytes per token"])
    return read / statistics.median(row["bandwidth"])


def jitter(row: Row, engine: str) -> float:
    """The 99th of a hundred steps over their median."""
    values = row["engines"][engine]
    return statistics.median(values["latency p99"]) / statistics.median(values["latency p50"])


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: list[float]) -> str:
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})"


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(cells) + " |" for cells in rows)])


def machine_jitter(row: Row) -> str:
    """What of the jitter the machine has by itself; empty where it was not measured."""
    own = row.get("jitter", {})
    parts = [f"{statistics.median(own[kind]):.2f} {verb}" for kind, verb in MACHINE.items() if kind in own]
    return f"the machine: {', '.join(parts)}" if parts else ""


def jitter_cells(row: Row) -> list[str]:
    """Of Tern and of the peer's setting with the smallest 99th."""
    peer, own = better_peer(row, "latency p99"), jitter(row, TERN)
    cells = [f"{row['shape']} {row['encoding']}", str(row["threads"]), "latency p99 over p50", f"{own:.2f}"]
    if peer is None:
        return [*cells, "", "", "", machine_jitter(row)]
    theirs, setting = jitter(row, peer), "not repacked" if peer == PEERS[1] else "repacked"
    return [*cells, f"{theirs:.2f}", setting, f"{own / theirs:.2f}", machine_jitter(row)]


def table(rows: list[Row]) -> str:
    header = ["model", "threads", "", "Tern", "llama.cpp", "its setting", "ratio", "of read bandwidth"]
    lines = []
    for row in rows:
        for metric in METRICS:
            if metric not in row["engines"][TERN]:
                continue
            peer = better_peer(row, metric)
            cells = [f"{row['shape']} {row['encoding']}", str(row["threads"]), f"{metric}, {unit(metric)}"]
            cells.append(spread(scaled(metric, row["engines"][TERN][metric])))
            if peer is None:
                cells += ["", "", ""]
            else:
                cells.append(spread(scaled(metric, row["engines"][peer][metric])))
                cells += ["not repacked" if peer == PEERS[1] else "repacked", f"{ratio(row, metric):.2f}"]
            gigabytes = statistics.median(row["bandwidth"]) / 1e9
            cells.append(
                f"{bandwidth_share(row):.0%} of {gigabytes:.1f} GB/s" if metric == shortest(row, "decode") else ""
            )
            lines.append(cells)
        if "latency p99" in row["engines"][TERN]:
            lines.append(jitter_cells(row))
    return markdown_table(header, lines)


def roofline_cells(row: Row) -> list[str]:
    """Of one row and of many, each with its share of the limit: medians over the rounds, the shares of each round's own."""
    cells = []
    for amount, limit in (("read", "read_limit"), ("operations", "operations_limit")):
        cell = number(statistics.median(row[amount]) / 1e9)
        if row[limit]:  # not measured for every target
            shares = [value / bound for value, bound in zip(row[amount], row[limit], strict=True)]
            cell += f" ({statistics.median(shares):.0%})"
        cells.append(cell)
    return cells


def roofline_table(rows: list[Row]) -> str:
    """A line an encoding, a pair of columns a number of threads."""
    threads = sorted({row["threads"] for row in rows})
    header = ["encoding"]
    for count in threads:
        workers = f"{count} thread{'s' if count > 1 else ''}"
        header += [f"1 row, {workers}: GB/s (of the read rate)", f"64 rows, {workers}: Gop/s (of the peak)"]
    measured = {(row["encoding"], row["threads"]): roofline_cells(row) for row in rows}
    lines = []
    for encoding in dict.fromkeys(row["encoding"] for row in rows):
        pairs = (measured.get((encoding, count), ["", ""]) for count in threads)
        lines.append([encoding, *(cell for pair in pairs for cell in pair)])
    return markdown_table(header, lines)


def draw(rows: list[Row], path: Path) -> None:
    """Bars of decode and prefill speed, a group a model and number of threads."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "tern"  # the same file every time
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 0.6 * len(rows) + 1.6), layout="constrained")
    labels = [f"{row['shape']}\n{row['encoding']}, {row['threads']} threads" for row in rows]
    colours = {TERN: "#0b6e4f", PEERS[0]: "#9aa5b1", PEERS[1]: "#cbd2d9"}
    for axis, kind in zip(axes, ("decode", "prefill"), strict=True):
        for index, (name, colour) in enumerate(colours.items()):
            places = [line + 0.27 * (index - 1) for line in range(len(rows))]
            values = [statistics.median(row["engines"].get(name, {}).get(shortest(row, kind), [0])) for row in rows]
            bars = axis.barh(places, values, 0.27, label=name, color=colour)
            axis.bar_label(bars, fmt="%.0f", fontsize=7, padding=2)
        axis.set_yticks(range(len(rows)), labels, fontsize=8)
        axis.invert_yaxis()
        axis.set_xlabel("tokens/s")
        tokens = sorted({shortest(row, kind).split()[1] for row in rows}, key=int)
        axis.set_title(f"{kind}, prompt of {' or '.join(tokens)} tokens", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
