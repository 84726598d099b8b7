"""How near the linear layers of every encoding come to the machine's limits: one table for all of `tern bench --kernels`.

    python test/bench/roofline.py --threads 1 --encodings q4_k q6_k

Four layers of TinyLlama-1.1B's shape, too large for the caches of most CPUs, are compiled in each encoding. With one row a
linear layer is bound by reading its weights: shown are bytes per second, and their share of the rate at which the same
threads read the same weights. With 64 rows it is bound by integer products: shown are operations per second (two a product)
and their share of what the target's dot product instruction reaches. All linear layers but the head together.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import synthetic_gguf
from bench_models import gguf_file

ROOT = Path(__file__).parents[2]
SHAPES = synthetic_gguf.SHAPES
SHAPES["tinyllama-4-layers"] = replace(SHAPES["tinyllama-1.1b"], layers=4, vocabulary=2000)
TERNARY = ("ternary", "ternary-b3")
ENCODINGS = (
    *TERNARY, "quaternary", "q2_0", "q2_k", "q3_k", "q4_0", "q4_1", "q4_k", "iq4_nl", "mxfp4", "int4", "int4:g32:min",
    "q5_0", "q5_1", "q5_k", "q6_k", "q8_0", "int8",
)  # fmt: skip


def compiled(encoding: str, options: argparse.Namespace) -> Path:
    source = gguf_file(options.shape, "tq2_0" if encoding in TERNARY else "q8_0", options.folder)
    artifact = options.folder / "roofline.tern"
    command = [
        options.bin / "ternc",
        source,
        "-o",
        artifact,
        f"--quantize=*blk*={encoding}",
        f"--target={options.target}",
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return artifact


def kernels_of(artifact: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [options.bin / "tern", "bench", artifact, "--kernels", "--threads", str(options.threads), "--json", "-"]
    few = ["--runs", "1", "--prompt", "8", "--generate", "2", "--weights", options.weights]
    report = subprocess.run([*command, *few], check=True, capture_output=True, text=True)
    return json.loads(report.stdout)["kernels"]


def together(kernels: Iterable[dict[str, Any]], amount: str) -> float:
    """Of `amount` per second, over the linear layers but the head."""
    chosen = [kernel for kernel in kernels if kernel["computes"].startswith("linear") and kernel["calls"] > 1]
    return sum(kernel[amount] for kernel in chosen) / sum(kernel["milliseconds"] for kernel in chosen) * 1000


def row(encoding: str, options: argparse.Namespace) -> str:
    kernels = kernels_of(compiled(encoding, options), options)
    one, many = (measured["kernels"] for measured in kernels["passes"])
    read, operations = together(one, "weight_bytes"), together(many, "operations")
    cells = [encoding, f"{read / 1e9:.1f}", f"{read / kernels['read_bytes_per_second']:.0%}", f"{operations / 1e9:.0f}"]
    if peak := kernels.get("integer_peak"):
        cells.append(f"{operations / peak['operations_per_second']:.0%} of {peak['instruction']}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encodings", nargs="+", default=ENCODINGS, help="as ternc --quantize takes them")
    parser.add_argument("--shape", choices=SHAPES, default="tinyllama-4-layers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--target", default="host")
    parser.add_argument("--weights", choices=["map", "copy"], default="map")
    parser.add_argument("--bin", type=Path, default=Path(os.environ.get("TERN_BIN_DIR", ROOT / "build" / "bin")))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="keeps models and artifacts")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print("| encoding | 1 row, GB/s | of read rate | 64 rows, Gop/s | of peak |")
    print("|---|---|---|---|---|")
    for encoding in options.encodings:
        print(row(encoding, options), flush=True)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.stderr or ''}")
