"""The built programs as the tests run them: where they are, and what every failure must look like."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

BIN = Path(os.environ.get("TERN_BIN_DIR", Path(__file__).parents[2] / "build" / "bin"))
TIMEOUT_SECONDS = 300  # a hang, not a slow machine
QUESTION = "dim the kitchen lights to 30 percent"  # one that the bundled model answers


class Result:
    """What a program left behind."""

    def __init__(self, command: list[str], completed: subprocess.CompletedProcess[bytes]) -> None:
        self.command = " ".join(command)
        self.status = completed.returncode
        self.out = completed.stdout
        self.err = completed.stderr.decode(errors="replace")

    @property
    def text(self) -> str:
        return self.out.decode()

    def __repr__(self) -> str:
        return f"{self.command}\n  exit {self.status}\n  stdout {self.out[:300]!r}\n  stderr {self.err[:2000]}"


def run(
    program: str,
    *arguments: object,
    stdin: bytes = b"",
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    preexec: object = None,
) -> Result:
    """Runs build/bin/PROGRAM to its end."""
    command = [str(BIN / program), *map(str, arguments)]
    completed = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        preexec_fn=preexec,  # type: ignore[call-overload]
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Result(command, completed)


def succeed(program: str, *arguments: object, **options: object) -> Result:
    """Runs a program that must exit with 0."""
    result = run(program, *arguments, **options)  # type: ignore[arg-type]
    assert result.status == 0, result
    return result


def assert_input_error(result: Result, *fragments: str) -> None:
    """Exit status 1, nothing on stdout, one line on stderr that holds all fragments."""
    assert result.status == 1, result
    assert result.out == b"", result
    lines = result.err.splitlines()
    assert len(lines) == 1 and result.err.endswith("\n"), result
    assert lines[0].isprintable(), result
    for fragment in fragments:
        assert fragment in lines[0], result


def assert_usage_error(result: Result, *fragments: str) -> None:
    """Exit status 2, nothing on stdout, something on stderr that holds all fragments."""
    assert result.status == 2, result
    assert result.out == b"", result
    assert result.err.strip(), result
    for fragment in fragments:
        assert fragment in result.err, result


def ternc(source: Path, artifact: Path, *options: object, **run_options: object) -> Path:
    """Compiles and gives back the artifact's path."""
    succeed("ternc", source, "-o", artifact, *options, **run_options)
    return artifact


def greedy(artifact: Path, *arguments: object) -> str:
    """The text of `tern run -t 0`."""
    return succeed("tern", "run", artifact, "-t", "0", *arguments).text


def tern_logits(artifact: Path, tokens: list[int], folder: Path, *options: object) -> np.ndarray:
    """`tern logits`: float32 [tokens, vocabulary]"""
    output = folder / f"{artifact.stem}-logits.npy"
    succeed("tern", "logits", artifact, "--tokens", ",".join(map(str, tokens)), "-o", output, *options)
    return np.load(output)


@contextmanager
def waiting_chat(artifact: Path, *options: object) -> Iterator[int]:
    """A tern chat that has answered and waits for the next message, by its number."""
    command = [BIN / "tern", "chat", artifact, "-n", "4", "-t", "0", "--context", "64", *map(str, options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"a\n")
        process.stdin.flush()
        assert process.stdout.read(1), "no answer"
        try:
            yield process.pid
        finally:
            process.stdin.close()
            process.stdout.read()
            process.wait()


def mappings(pid: int) -> list[dict[str, int | str]]:
    """Of /proc/PID/smaps: name, flags, and kB by field."""
    result: list[dict[str, int | str]] = []
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if header := re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)$", line):
            result.append({"name": header[1]})
        elif field := re.match(r"(\w+):\s+(\d+) kB", line):
            result[-1][field[1]] = int(field[2])
        elif flags := re.match(r"VmFlags: (.*)", line):
            result[-1]["VmFlags"] = flags[1]
    return result


def weight_bytes(artifact: Path) -> int:
    """By the artifact's own account."""
    return json.loads(succeed("tern", "inspect", artifact, "--json").text)["weight_bytes"]
