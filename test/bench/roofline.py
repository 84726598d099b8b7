"""How near the linear layers of every encoding come to the machine's limits: one table for all of `tern bench --kernels`.

    python test/bench/roofline.py --threads 1 --encodings q4_k q6_k

Eight layers of TinyLlama-1.1B's shape, too large for the caches of most CPUs, are compiled in each encoding. With one row a
linear layer is bound by reading its weights: shown are bytes per second, and their share of the rate at which the same
threads read the same weights. With 64 rows it is bound by integer products: shown are operations per second (two a product)
and their share of what the target's dot product instruction reaches. All linear layers but the head together; medians over
the rounds, each of which measures every encoding and the limits anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import synthetic_gguf
from bench_models import gguf_file
from record import versions, write_figures
from report import roofline_table

ROOT = Path(__file__).parents[2]
SHAPES = synthetic_gguf.SHAPES
SHAPES["tinyllama-8-layers"] = replace(SHAPES["tinyllama-1.1b"], layers=8, vocabulary=2000)
TERNARY = ("ternary", "ternary-b3")
ENCODINGS = (
    *TERNARY, "quaternary", "q2_0", "q2_k", "q3_k", "q4_0", "q4_1", "q4_k", "iq4_nl", "mxfp4", "int4", "int4:g32:min",
    "q5_0", "q5_1", "q5_k", "q6_k", "q8_0", "int8",
)  # fmt: skip


@dataclass
class Row:
    """One encoding with one number of threads; a value a round, per second."""

    encoding: str
    threads: int
    read: list[float] = field(default_factory=list)  # bytes of weights, one row
    read_limit: list[float] = field(default_factory=list)
    operations: list[float] = field(default_factory=list)  # 64 rows
    operations_limit: list[float] = field(default_factory=list)  # empty where the target's peak is not measured

    def add(self, kernels: dict[str, Any]) -> None:
        one, many = (measured["kernels"] for measured in kernels["passes"])
        self.read.append(together(one, "weight_bytes"))
        self.read_limit.append(kernels["read_bytes_per_second"])
        self.operations.append(together(many, "operations"))
        if peak := kernels.get("integer_peak"):
            self.operations_limit.append(peak["operations_per_second"])


def compiled(encoding: str, options: argparse.Namespace) -> Path:
    source = gguf_file(options.shape, "tq2_0" if encoding in TERNARY else "q8_0", options.folder)
    artifact = options.folder / f"roofline-{options.shape}-{encoding.replace(':', '-')}.tern"
    command = [options.bin / "ternc", source, "-o", artifact]
    command += [f"--quantize=*blk*={encoding}", f"--target={options.target}"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return artifact


def kernels_of(artifact: Path, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    command = [options.bin / "tern", "bench", artifact, "--kernels", "--threads", str(threads), "--json", "-"]
    few = ["--runs", "1", "--prompt", "8", "--generate", "2", "--weights", options.weights]
    report = subprocess.run([*command, *few], check=True, capture_output=True, text=True)
    return json.loads(report.stdout)["kernels"]


def together(kernels: Iterable[dict[str, Any]], amount: str) -> float:
    """Of `amount` per second, over the linear layers but the head."""
    chosen = [kernel for kernel in kernels if kernel["computes"].startswith("linear") and kernel["calls"] > 1]
    return sum(kernel[amount] for kernel in chosen) / sum(kernel["milliseconds"] for kernel in chosen) * 1000


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Round by round, so that what the machine does meanwhile meets all encodings; each leaves what there is."""
    artifacts = {encoding: compiled(encoding, options) for encoding in options.encodings}
    rows = [Row(encoding, threads) for encoding in options.encodings for threads in options.threads]
    for done in range(options.rounds):
        print(f"round {done + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for row in rows:
            row.add(kernels_of(artifacts[row.encoding], row.threads, options))
        if options.json:
            values = [asdict(row) for row in rows]
            write_figures(options.json, values, **versions(options.bin), target=options.target, weights=options.weights)
    return [asdict(row) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encodings", nargs="+", default=ENCODINGS, help="as ternc --quantize takes them")
    parser.add_argument("--shape", choices=SHAPES, default="tinyllama-8-layers")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--target", default="host")
    parser.add_argument("--weights", choices=["map", "copy"], default="map")
    parser.add_argument("--bin", type=Path, default=Path(os.environ.get("TERN_BIN_DIR", ROOT / "build" / "bin")))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="keeps models and artifacts")
    parser.add_argument("--json", type=Path, help="write all values here")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(roofline_table(measure(options)))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.stderr or ''}")
