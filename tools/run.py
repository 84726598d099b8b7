"""What `make run` shows: the bundled model compiled for this CPU, three answers, and a table of figures.

The artifact is compiled once; a record beside it says for which compiler and model, and how long it took. On a
terminal a prompt follows.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
TERN = BUILD / "bin" / "tern"
TERNC = BUILD / "bin" / "ternc"
SIZE_PROBE = BUILD / "bin" / "size-probe-generation"
MODEL = ROOT / "examples" / "home-assistant" / "home-assistant.gguf"
ARTIFACT = BUILD / "home-assistant.tern"
RECORD = BUILD / "home-assistant.json"

SENTENCES = [
    "dim the kitchen lights to 30 percent",
    "it is a bit cold in the bedroom, make it 21.5 degrees",
    "what do you think about modern art?",
]


def digest(*paths: Path) -> str:
    state = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def host_cpu() -> str:
    """The flags line decides what --target=host means."""
    text = Path("/proc/cpuinfo").read_text()
    return next((line for line in text.splitlines() if line.startswith("flags")), "")


def compile_bundled_model() -> str:
    """How long the compilation of ARTIFACT took, now or when it was made."""
    key = digest(TERNC, MODEL) + hashlib.sha256(host_cpu().encode()).hexdigest()
    if ARTIFACT.exists() and RECORD.exists():
        record = json.loads(RECORD.read_text())
        if record.get("key") == key and "time" in record:
            return str(record["time"])
    print(f"run: compiling {MODEL.relative_to(ROOT)} for this CPU ...", file=sys.stderr)
    command: list[str | Path] = [TERNC, MODEL, "-o", ARTIFACT, "--json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    kernels = [kernel for variant in report["variants"] for kernel in variant["kernels"]]
    cached = sum(kernel["from_cache"] for kernel in kernels)
    time = f"{report['seconds']:.1f} s" + (f" ({cached} of {len(kernels)} kernels from the cache)" if cached else "")
    RECORD.write_text(json.dumps({"key": key, "time": time}))
    return time


def answer(sentence: str) -> None:
    print(f"> {sentence}", flush=True)
    command: list[str | Path] = [TERN, "run", ARTIFACT, "--chat", "-t", "0", "-n", "64", "-p", sentence]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(text.rstrip("\n"), flush=True)


def table(compile_time: str) -> list[tuple[str, str]]:
    report = BUILD / "home-assistant-bench.json"
    settings = ["--prompt", "32", "--generate", "64", "--runs", "5"]
    command: list[str | Path] = [TERN, "bench", ARTIFACT, *settings, "--json", report]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    bench = json.loads(report.read_text())
    latency = bench["token_latency_ms"]
    start = bench["start_to_first_token_ms"]
    return [
        ("artifact", f"{ARTIFACT.stat().st_size / 1e6:.2f} MB"),
        ("runtime, stripped", f"{SIZE_PROBE.stat().st_size / 1e3:.0f} KB"),
        ("compile time", compile_time),
        ("start to first token", f"{start['median'] if isinstance(start, dict) else start:.1f} ms"),
        ("generation", f"{bench['generate']['tokens_per_second']['median']:.0f} tokens/s"),
        ("token latency P99 / P50", f"{latency['p99'] / latency['p50']:.2f}"),
        ("peak memory", f"{bench['peak_resident_bytes'] / 1e6:.1f} MB"),
    ]


def main() -> int:
    try:
        compile_time = compile_bundled_model()
        for sentence in SENTENCES:
            answer(sentence)
        rows = table(compile_time)
    except subprocess.CalledProcessError as error:
        print(f"run: {Path(error.cmd[0]).name} failed with status {error.returncode}", file=sys.stderr)
        return 1
    print()
    for name, value in rows:
        print(f"{name:<26}{value}")
    print("\nYour own model:\n  build/bin/ternc YOUR.gguf -o YOUR.tern && build/bin/tern chat YOUR.tern\n", flush=True)
    if sys.stdin.isatty() and sys.stdout.isatty():
        os.execv(TERN, ["tern", "chat", str(ARTIFACT), "-t", "0"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
