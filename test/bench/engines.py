"""The programs that are compared, each started afresh for every measurement.

An engine's `measure` gives one value per metric: "prefill 128" and "decode 128" in tokens/s (single steps behind a prompt
of that length), "latency p50" and so on in ms (steps at one position), "load", "start to first token" in ms, and "peak
resident" in bytes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench_models import Model

Values = dict[str, float]


@dataclass(frozen=True)
class Task:
    """One measurement."""

    prompt: int
    generate: int
    threads: int
    runs: int = 1
    latency: int = 0  # steps at one position
    first: bool = False  # measure start and memory too

    @property
    def context(self) -> int:
        return max(512, -(-(self.prompt + max(self.generate, 1) + 1) // 256) * 256)


def percentile(values: list[float], percent: float) -> float:
    """Nearest rank, as `tern bench`."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(percent) // 100) - 1)]


def latencies(steps: list[float]) -> Values:
    return {"latency p50": percentile(steps, 50), "latency p99": percentile(steps, 99), "latency max": max(steps)}


def report_of(command: list[str | Path]) -> dict[str, object]:
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        shown = " ".join(map(str, command))
        sys.exit(f"{shown}\nended with status {result.returncode}:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout)


def first_output_ms(command: list[str | Path], starts: int = 5) -> float:
    """From before a process is created to its first byte on standard output; the median of some starts. Python's own
    part of it, some milliseconds, is the same for all engines."""
    times = []
    for _ in range(starts):
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            answered = process.stdout.read(1)
            times.append((time.perf_counter() - start) * 1000)
            process.stdout.read()
        if not answered or process.returncode != 0:
            sys.exit(" ".join(map(str, command)) + "\nfailed")
    return statistics.median(times)


@dataclass
class Tern:
    programs: Path
    weights: str = "auto"
    name: str = "tern"

    def file(self, model: Model) -> Path:
        return model.artifact

    def measure(self, model: Model, task: Task) -> Values:
        engine: list[str | Path] = [f"--threads={task.threads}", f"--weights={self.weights}"]
        command: list[str | Path] = [self.programs / "tern", "bench", model.artifact, *engine, "--json=-"]
        command += [f"--prompt={task.prompt}", f"--generate={task.generate}", f"--runs={task.runs}"]
        command += [f"--context={task.context}", f"--latency={task.latency}"]
        report: dict[str, object] = report_of(command)
        values = {f"prefill {task.prompt}": report["prompt"]["tokens_per_second"]["median"]}  # type: ignore[index]
        if task.generate:
            values[f"decode {task.prompt}"] = report["generate"]["tokens_per_second"]["median"]  # type: ignore[index]
        if task.latency:
            latency = report["token_latency_ms"]
            values |= {f"latency {key}": latency[key] for key in ("p50", "p99", "max")}  # type: ignore[index]
        if task.first:
            values["load"] = report["load_ms"]  # type: ignore[assignment]
            values["peak resident"] = report["peak_resident_bytes"]  # type: ignore[assignment]
            values["weight bytes per token"] = report["weight_bytes_per_token"]  # type: ignore[assignment]
            run = [self.programs / "tern", "run", model.artifact, "--tokens=5", "-n1", "-t0", "--context=512", *engine]
            values["start to first token"] = first_output_ms(run)
        return values


@dataclass
class LlamaCpp:
    """`program`: llama_cpp.cpp, built by `build_llama_cpp`."""

    program: Path
    repack: bool
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = "llama.cpp" if self.repack else "llama.cpp, not repacked"

    def file(self, model: Model) -> Path:
        return model.gguf

    def measure(self, model: Model, task: Task) -> Values:
        command: list[str | Path] = [self.program, model.gguf, f"threads={task.threads}", f"repack={int(self.repack)}"]
        sizes: list[str | Path] = [f"prompt={task.prompt}", f"generate={task.generate}", f"runs={task.runs}"]
        sizes += [f"latency={task.latency}", f"context={task.context}"]
        report = report_of([*command, *sizes])
        values = {f"prefill {task.prompt}": statistics.median(report["prefill"])}  # type: ignore[call-overload]
        if task.generate:
            values[f"decode {task.prompt}"] = statistics.median(report["decode"])  # type: ignore[call-overload]
        if task.latency:
            values |= latencies(report["latency_ms"])  # type: ignore[arg-type]
        if task.first:
            values["load"] = report["load_ms"]  # type: ignore[assignment]
            values["peak resident"] = report["peak_resident_bytes"]  # type: ignore[assignment]
            values["start to first token"] = first_output_ms([*command, "first=1", "context=512"])
        return values


def compiler() -> str:
    return os.environ.get("CXX", "c++")


def build_llama_cpp(folder: Path) -> Path:
    """llama_cpp.cpp linked with the library inside llama-cpp-python."""
    import llama_cpp

    package = Path(llama_cpp.__file__).parent
    libraries = package / "lib"
    source, program = Path(__file__).parent / "llama_cpp.cpp", folder / "llama_cpp"
    command: list[str | Path] = [
        compiler(),
        "-O2",
        "-std=c++17",
        f"-I{package.parent / 'include'}",
        source,
        "-o",
        program,
    ]
    command += [f"-L{libraries}", "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{libraries}"]
    subprocess.run(command, check=True)
    return program


def build_tool(name: str, folder: Path) -> Path:
    """A program of this folder that measures the machine: bandwidth, jitter."""
    source, program = Path(__file__).parent / f"{name}.cpp", folder / name
    subprocess.run([compiler(), "-O2", "-mavx2", "-std=c++17", "-pthread", source, "-o", program], check=True)
    return program
