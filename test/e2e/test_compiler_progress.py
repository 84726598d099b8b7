"""What ternc shows while it works, and how many workers it starts."""

from __future__ import annotations

import os
import pty
import subprocess
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


def children_of(process: int) -> int:
    threads = Path(f"/proc/{process}/task")
    try:
        return sum(len((thread / "children").read_text().split()) for thread in threads.iterdir())
    except OSError:  # it or one of its threads has ended
        return 0


@pytest.mark.parametrize("jobs", [1, 3])
def test_as_many_kernels_are_compiled_at_once_as_asked(jobs: int, small_gguf: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "TERN_CACHE_DIR": ""}
    most = 0
    with subprocess.Popen(
        [BIN / "ternc", small_gguf, "-o", tmp_path / "m.tern", f"-j{jobs}"], env=environment
    ) as process:
        while process.poll() is None:
            most = max(most, children_of(process.pid))
    assert process.returncode == 0
    assert min(jobs, 2) <= most <= jobs
