"""What ternc shows while it works, and how many workers it starts."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from programs import BIN


def shown_on_a_terminal(*arguments: str | Path) -> str:
    """Everything that ternc writes to a terminal; kernels are compiled, not taken from a cache."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERN_CACHE_DIR": ""}
    with subprocess.Popen([BIN / "ternc", *arguments], stdout=follower, stderr=follower, env=environment) as process:
        os.close(follower)
        shown = b""
        try:
            while some := os.read(leader, 65536):
                shown += some
        except OSError:  # the other end is closed
            pass
    os.close(leader)
    assert process.returncode == 0, shown
    return shown.decode()


def test_progress_shows_on_a_terminal_and_is_wiped(small_gguf: Path, tmp_path: Path) -> None:
    shown = shown_on_a_terminal(small_gguf, "-o", tmp_path / "m.tern")
    assert "compiling kernels" in shown and "packing weights" in shown
    assert shown.endswith("\r\x1b[K")


def test_progress_off_shows_nothing(small_gguf: Path, tmp_path: Path) -> None:
    assert shown_on_a_terminal(small_gguf, "-o", tmp_path / "m.tern", "--progress=off") == ""


@dataclass
class StoppedCompiler:
    process: subprocess.Popen[bytes]
    jobs: int
    stopped: int  # workers
    most: int  # workers seen at once


def children_of(process: int) -> set[int]:
    threads = Path(f"/proc/{process}/task")
    try:
        return {int(child) for thread in threads.iterdir() for child in (thread / "children").read_text().split()}
    except OSError:  # it or one of its threads has ended
        return set()


def stop(process: int) -> bool:
    """Whether it has stopped; if not, it will, unless it has ended."""
    try:
        os.kill(process, signal.SIGSTOP)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


@pytest.fixture
def stopped_compiler(request: pytest.FixtureRequest, small_gguf: Path, tmp_path: Path) -> Iterator[StoppedCompiler]:
    """ternc -jN while N workers are stopped, so that all that may run at once have come together."""
    command = [BIN / "ternc", small_gguf, "-o", tmp_path / "m.tern", f"-j{request.param}"]
    with subprocess.Popen(command, env={**os.environ, "TERN_CACHE_DIR": ""}) as process:
        workers: set[int] = set()
        stopped, most = 0, 0
        try:
            while stopped < request.param and process.poll() is None:
                workers = children_of(process.pid)
                most = max(most, len(workers))
                stopped = sum(map(stop, workers))
            yield StoppedCompiler(process, request.param, stopped, most)
        finally:
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGCONT)
        while process.poll() is None:
            most = max(most, len(children_of(process.pid)))
    assert process.returncode == 0
    assert most == request.param


@pytest.mark.parametrize("stopped_compiler", [1, 3], indirect=True)
def test_as_many_kernels_are_compiled_at_once_as_asked(stopped_compiler: StoppedCompiler) -> None:
    """The fixture counts on, to the end."""
    assert stopped_compiler.stopped == stopped_compiler.most == stopped_compiler.jobs


@pytest.mark.parametrize("stopped_compiler", [1], indirect=True)
def test_no_folder_must_be_writable_for_streams_of_workers(stopped_compiler: StoppedCompiler) -> None:
    """Neither /tmp nor another place that TMPDIR would not change."""
    folder = Path(f"/proc/{stopped_compiler.process.pid}/fd")
    own = [os.readlink(file) for file in folder.iterdir() if int(file.name) > 2]
    unnamed = [name for name in own if name.endswith(" (deleted)")]
    assert len(unnamed) == 3 and all(name.startswith("/memfd:") for name in unnamed), unnamed
