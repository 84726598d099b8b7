"""Speed of Tern beside llama.cpp: one run, the same file, the same threads, alternating.

    python test/bench/compare_llama_cpp.py --threads 1 2 --json build/bench/compare.json

For each storage type a TinyLlama-1.1B-shaped model is written (synthetic_gguf.py) and compiled once.
Then, several times over, `tern bench` and llama-cpp-python are each started afresh and measure: prefill
of a 128-token prompt, and 32 single-token steps that follow it. Printed are medians, their ratio, and
the weight bytes read per second as a share of the read bandwidth this program measures between them.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from synthetic_gguf import SHAPES, TYPES, write_model

ROOT = Path(__file__).parents[2]

# Sums a buffer with one load per 32 bytes on several threads; prints bytes per second.
BANDWIDTH_SOURCE = """
#include <immintrin.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>
int main(int, char **argv) {
  const size_t threads = size_t(std::atoi(argv[1])), bytes = size_t(512) << 20;
  char *data = static_cast<char *>(std::aligned_alloc(2 << 20, bytes));
  for (size_t i = 0; i < bytes; i += 64) data[i] = char(i >> 6);
  long long sink[64] = {};
  double best = 0;
  for (int round = 0; round < 4; ++round) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> pool;
    for (size_t t = 0; t < threads; ++t)
      pool.emplace_back([&, t] {
        __m256i sum[8] = {};
        const char *end = data + bytes / threads * (t + 1);
        for (const char *at = data + bytes / threads * t; at + 256 <= end; at += 256)
          for (int i = 0; i < 8; ++i)
            sum[i] = _mm256_add_epi64(sum[i], _mm256_load_si256((const __m256i *)(at + 32 * i)));
        for (int i = 0; i < 8; ++i) sink[t] += _mm256_extract_epi64(sum[i], 0);
      });
    for (std::thread &thread : pool) thread.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (bytes / seconds > best) best = bytes / seconds;
  }
  std::printf("%.0f\\n", best);
  return sink[0] == 42;
}
"""


@dataclass
class Engine:
    """One engine's figures, a value per repetition; speeds in tokens per second."""

    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    peak_resident_bytes: list[int] = field(default_factory=list)


@dataclass
class Row:
    type: str
    threads: int
    tern: Engine = field(default_factory=Engine)
    llama_cpp: Engine = field(default_factory=Engine)
    weight_bytes_per_token: int = 0
    bandwidth: list[float] = field(default_factory=list)

    def ratio(self, what: str) -> float:
        return statistics.median(getattr(self.tern, what)) / statistics.median(getattr(self.llama_cpp, what))

    def bandwidth_share(self) -> float:
        return statistics.median(self.tern.decode) * self.weight_bytes_per_token / statistics.median(self.bandwidth)


def measure_tern(options: argparse.Namespace, row: Row, artifact: Path) -> None:
    command: list[str | Path] = [options.bin / "tern", "bench", artifact, "--runs", "3", "--json", "-"]
    command += ["--threads", str(row.threads)]
    command += ["--prompt", str(options.prompt), "--generate", str(options.generate), "--weights", options.weights]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    row.tern.prefill.append(report["prompt"]["tokens_per_second"]["median"])
    row.tern.decode.append(report["generate"]["tokens_per_second"]["median"])
    row.tern.peak_resident_bytes.append(report["peak_resident_bytes"])
    row.weight_bytes_per_token = report["weight_bytes_per_token"]


def measure_llama_cpp(options: argparse.Namespace, row: Row, model: Path) -> None:
    """In a process of its own (see run_llama_cpp), so that its memory and threads are its own."""
    command: list[str | Path] = [sys.executable, __file__, "--run-llama-cpp", model, "--threads", str(row.threads)]
    command += ["--prompt", str(options.prompt), "--generate", str(options.generate)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"llama.cpp failed on {model} with status {result.returncode}:\n{result.stderr[-2000:]}")
    report = json.loads(result.stdout)
    row.llama_cpp.prefill.append(report["prefill"])
    row.llama_cpp.decode.append(report["decode"])
    row.llama_cpp.peak_resident_bytes.append(report["peak_resident_bytes"])


def run_llama_cpp(options: argparse.Namespace) -> None:
    """Prefill and decode in this process; prints JSON."""
    import llama_cpp
    import numpy as np

    threads = options.threads[0]
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = 512
    parameters.n_batch = 512
    parameters.n_threads = parameters.n_threads_batch = threads
    model = llama_cpp.llama_model_load_from_file(
        str(options.run_llama_cpp).encode(), llama_cpp.llama_model_default_params()
    )
    context = llama_cpp.llama_init_from_model(model, parameters)
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    tokens = np.random.default_rng(1).integers(0, vocabulary, options.prompt + options.generate).tolist()

    def evaluate(part: list[int]) -> None:
        array = (ctypes.c_int32 * len(part))(*part)  # the batch only points to it
        batch = llama_cpp.llama_batch_get_one(array, len(part))
        if llama_cpp.llama_decode(context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        llama_cpp.llama_get_logits_ith(context, -1)  # waits for the result

    prefill, decode = [], []
    for run in range(4):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        start = time.perf_counter()
        evaluate(tokens[: options.prompt])
        middle = time.perf_counter()
        for token in tokens[options.prompt :]:
            evaluate([token])
        end = time.perf_counter()
        if run > 0:  # the first is a warm-up
            prefill.append(options.prompt / (middle - start))
            decode.append(options.generate / (end - middle))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    report = {
        "prefill": statistics.median(prefill),
        "decode": statistics.median(decode),
        "peak_resident_bytes": int(peak.split()[1]) * 1024,
    }
    print(json.dumps(report))


def build_bandwidth_program(folder: Path) -> Path:
    source, program = folder / "bandwidth.cpp", folder / "bandwidth"
    source.write_text(BANDWIDTH_SOURCE)
    compiler = os.environ.get("CXX", "c++")
    subprocess.run([compiler, "-O2", "-mavx2", "-std=c++17", "-pthread", source, "-o", program], check=True)
    return program


def prepare(options: argparse.Namespace, type_name: str) -> tuple[Path, Path]:
    """The model and its artifact; both are kept for the next time."""
    model = options.folder / f"{options.shape}-{type_name}.gguf"
    if not model.exists():
        print(f"writing {model}", file=sys.stderr)
        write_model(options.shape, type_name, model)
    artifact = model.with_suffix(".tern")
    print(f"compiling {model}", file=sys.stderr)
    start = time.perf_counter()
    subprocess.run([options.bin / "ternc", model, "-o", artifact], check=True)
    print(f"compiled in {time.perf_counter() - start:.1f} s", file=sys.stderr)
    return model, artifact


def measure(options: argparse.Namespace) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bandwidth = build_bandwidth_program(Path(folder))
        for type_name in options.types:
            model, artifact = prepare(options, type_name)
            for threads in options.threads:
                row = Row(type_name, threads)
                for repetition in range(options.repetitions):
                    print(f"{type_name}, {threads} threads, repetition {repetition + 1}", file=sys.stderr)
                    output = subprocess.run([bandwidth, str(threads)], stdout=subprocess.PIPE, check=True).stdout
                    row.bandwidth.append(float(output))
                    measure_tern(options, row, artifact)
                    measure_llama_cpp(options, row, model)
                rows.append(row)
    return rows


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def print_table(options: argparse.Namespace, rows: list[Row]) -> None:
    print(f"{cpu_name()}; {options.shape}; tokens/s, median of {options.repetitions} (lowest to highest)\n")
    header = ["type", "threads", "", "tern", "llama.cpp", "ratio", "of read bandwidth"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        for what in ("decode", "prefill"):
            cells = [row.type, str(row.threads), what]
            for engine in (row.tern, row.llama_cpp):
                values = getattr(engine, what)
                cells.append(f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})")
            cells.append(f"{row.ratio(what):.2f}")
            gigabytes = statistics.median(row.bandwidth) / 1e9
            cells.append(f"{row.bandwidth_share():.0%} of {gigabytes:.1f} GB/s" if what == "decode" else "")
            print("| " + " | ".join(cells) + " |")
    for row in rows:
        peaks = [statistics.median(engine.peak_resident_bytes) / 1e6 for engine in (row.tern, row.llama_cpp)]
        print(f"\n{row.type}, {row.threads} threads: peak resident {peaks[0]:.0f} MB, llama.cpp {peaks[1]:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tinyllama-1.1b")
    parser.add_argument("--types", nargs="+", choices=TYPES, default=["tq2_0", "q4_0"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--weights", choices=["auto", "map", "copy"], default="auto")
    parser.add_argument("--bin", type=Path, default=Path(os.environ.get("TERN_BIN_DIR", ROOT / "build" / "bin")))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="keeps models and artifacts")
    parser.add_argument("--json", type=Path, help="write all values here")
    parser.add_argument("--run-llama-cpp", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run_llama_cpp:
        run_llama_cpp(options)
        return
    rows = measure(options)
    print_table(options, rows)
    if options.json:
        report = {"cpu": cpu_name(), "shape": options.shape, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
