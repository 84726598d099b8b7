"""Speed, start, jitter and memory of Tern beside llama.cpp: one run, the same files, the same threads, alternating.

    python test/bench/compare.py --encodings tq2_0 q4_0 --json build/bench/compare.json --plot build/bench/compare.svg

For each shape and encoding a model with random weights is written once (bench_models.py). Then, several times over, each
engine is started afresh, its file in the page cache, locked there where the system lets it (page_cache.py): Tern, llama.cpp
repacking weights at load, llama.cpp not repacking. Measured are prefill, single steps behind a prompt, their latency at one
position, the time to load, from a process's start to its first token, and the peak resident set. Printed are medians, and the
ratio to llama.cpp in its faster setting; the last column is the weight bytes that decoding reads per second, as a share of the
read bandwidth measured in the same pages in between. Beside the jitter of both programs stands the machine's own: that of
fixed steps as long as Tern's which neither allocate nor wait for another thread, computing in registers or reading as many
bytes as the model has (jitter.cpp).

`--server URL MODEL` measures a running server with OpenAI's interface, or Ollama's, instead (server.py).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench_models import ENCODINGS, Model, prepare
from engines import LlamaCpp, Task, Tern, Values, build_llama_cpp, build_tool
from page_cache import held, read_whole
from record import machine, versions, write_figures
from report import MACHINE, draw, table
from server import ServerError, measure_server
from synthetic_gguf import SHAPES

ROOT = Path(__file__).parents[2]
Engine = Tern | LlamaCpp


@dataclass
class Row:
    """One model with one number of threads: by engine and metric a value per repetition."""

    shape: str
    encoding: str
    threads: int
    compile_seconds: float
    engines: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    bandwidth: list[float] = field(default_factory=list)
    jitter: dict[str, list[float]] = field(default_factory=dict)
    """Of the machine: the 99th of its own steps over their median, computing and reading, and the times (jitter.cpp)."""

    def add(self, engine: str, values: Values) -> None:
        metrics = self.engines.setdefault(engine, {})
        for metric, value in values.items():
            metrics.setdefault(metric, []).append(value)


def tasks(options: argparse.Namespace, encoding: str, threads: int, repetition: int) -> list[Task]:
    """The first measures the start too; long prompts are evaluated once in a process."""
    if ENCODINGS[encoding].brief:
        return [Task(8, 8, threads, latency=min(options.latency, 8), first=True)]
    result = [Task(128, 32, threads, runs=3, latency=options.latency, first=True)]
    if repetition < options.long:
        result += [Task(512, 0, threads, runs=1), Task(2048, 32, threads, runs=1)]
    return result


def measure_jitter(row: Row, program: Path, model: Model, mode: str, steps: int) -> None:
    """The machine's own steps, of the length of Tern's, with as many threads."""
    length = row.engines["tern"]["latency p50"][-1]
    command: list[str | Path] = [program, model.artifact, mode, str(row.threads), str(steps), str(length)]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    for kind in MACHINE:
        times = report[kind]
        row.jitter.setdefault(kind, []).append(times["p99"] / times["p50"])
        for name, milliseconds in times.items():
            row.jitter.setdefault(f"{kind} {name}", []).append(milliseconds)


def measure(options: argparse.Namespace, model: Model, threads: int, engines: list[Engine], tools: Path) -> Row:
    row = Row(model.shape, model.encoding, threads, model.compile_seconds)
    mode = "copy" if options.weights == "copy" else "map"
    for repetition in range(options.repetitions):
        print(f"{model.shape} {model.encoding}, {threads} threads, repetition {repetition + 1}", file=sys.stderr)
        command: list[str | Path] = [tools / "bandwidth", model.artifact, mode, str(threads)]
        row.bandwidth.append(float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
        for task in tasks(options, model.encoding, threads, repetition):
            for turn in range(len(engines)):  # none always comes first
                engine = engines[(turn + repetition) % len(engines)]
                read_whole(engine.file(model))
                row.add(engine.name, engine.measure(model, task))
            if task.latency:
                measure_jitter(row, tools / "jitter", model, mode, task.latency)
    return row


def measure_all(options: argparse.Namespace) -> list[Row]:
    rows = []
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for tool in ("bandwidth", "jitter"):
            build_tool(tool, Path(folder))
        peer = build_llama_cpp(Path(folder))
        engines = [Tern(options.bin, options.weights), LlamaCpp(peer, repack=True), LlamaCpp(peer, repack=False)]
        for shape in options.shapes:
            for encoding in options.encodings:
                model = prepare(shape, encoding, options.folder, options.bin)
                with held(model.artifact), held(model.gguf):
                    for threads in options.threads:
                        rows.append(measure(options, model, threads, engines, Path(folder)))
                        if options.json:  # a long run that is interrupted leaves what it has
                            write_json(options, rows)
    return rows


def write_json(options: argparse.Namespace, rows: list[Row]) -> None:
    used = versions(options.bin) | {"llama-cpp-python": importlib.metadata.version("llama-cpp-python")}
    write_figures(options.json, [asdict(row) for row in rows], **used, weights=options.weights)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["tinyllama-1.1b"])
    parser.add_argument("--encodings", nargs="+", choices=ENCODINGS, default=["tq2_0", "q4_0", "q4_k_m", "ternary-b3"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--latency", type=int, default=100, metavar="STEPS", help="single steps at one position")
    parser.add_argument(
        "--long", type=int, nargs="?", metavar="N", default=0, const=sys.maxsize,
        help="prompts of 512 and 2048 tokens too, in all repetitions or the first N",
    )  # fmt: skip
    parser.add_argument("--weights", choices=["auto", "map", "copy"], default="auto")
    parser.add_argument("--bin", type=Path, default=Path(os.environ.get("TERN_BIN_DIR", ROOT / "build" / "bin")))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="keeps models and artifacts")
    parser.add_argument("--json", type=Path, help="write all values here")
    parser.add_argument("--plot", type=Path, help="draw speeds into this file (.svg, .png)")
    parser.add_argument("--show", type=read_rows, metavar="JSON", help="measure nothing, show what --json wrote")
    parser.add_argument("--server", nargs=2, metavar=("URL", "MODEL"), help="measure a running server")
    options = parser.parse_args()
    if options.show and options.plot and served(options.show):
        parser.error("--plot does not go with --show of a server's figures")
    if options.server:
        absent = object()
        given = parser.parse_args(namespace=argparse.Namespace(**dict.fromkeys(vars(options), absent)))
        names = {name for name, value in vars(given).items() if value is not absent}
        if others := sorted(names - {"server", "repetitions", "json"}):
            parser.error(f"--{others[0]} does not go with --server; --repetitions and --json do")
    return options


def read_rows(path: str) -> list[dict[str, Any]]:
    """What --json wrote."""
    try:
        rows: list[dict[str, Any]] = json.loads(Path(path).read_text())["rows"]
    except (OSError, ValueError, KeyError) as error:
        raise argparse.ArgumentTypeError(f"no figures in {path}: {error!r}") from error
    return rows


def served(rows: list[dict[str, Any]]) -> bool:
    return any("server" in row for row in rows)


def print_speeds(row: dict[str, Any]) -> None:
    """Of a server."""
    for metric, values in row.items():
        if isinstance(values, list):
            print(f"{metric}: {statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})")


def measure_served(options: argparse.Namespace) -> None:
    url, model = options.server
    try:
        speeds = measure_server(url, model, repetitions=options.repetitions)
    except ServerError as error:
        sys.exit(f"compare.py: {error}")
    row = {"server": url, "model": model, **speeds}
    print_speeds(row)
    if options.json:
        write_figures(options.json, [row], machine=f"the server's, asked from {machine()}")


def main() -> None:
    options = parse_options()
    if platform.machine() != "x86_64" and not options.server and options.show is None:
        sys.exit("compare.py: measures the read bandwidth with AVX2; run it on x86-64")
    if options.server:
        measure_served(options)
        return
    if options.show is not None:
        if served(options.show):
            for row in options.show:
                print_speeds(row)
            return
        rows = [Row(**row) for row in options.show]
    else:
        rows = measure_all(options)
        if options.json:
            write_json(options, rows)
    print(table([asdict(row) for row in rows]))
    if options.plot:
        draw([asdict(row) for row in rows], options.plot)


if __name__ == "__main__":
    main()
