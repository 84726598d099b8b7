"""What tern writes: whole or not at all, whatever stops it, and never in the place of a device."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from programs import BIN, assert_input_error, run, succeed


def test_logits_need_a_writable_place(small_artifact: Path, tmp_path: Path) -> None:
    command = ["logits", small_artifact, "--tokens", "1,2", "-o"]
    assert_input_error(run("tern", *command, tmp_path / "none" / "x.npy"), "x.npy", "No such file")
    assert_input_error(run("tern", *command, tmp_path), str(tmp_path))


def test_a_device_is_written_not_replaced(small_artifact: Path, full_device: Path) -> None:
    result = run("tern", "logits", small_artifact, "--tokens", "1,2", "-o", full_device)
    assert_input_error(result, str(full_device), "No space left")
    assert full_device.is_char_device()


def limit_file_size() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


def test_a_failed_write_leaves_the_old_file(small_artifact: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.npy"
    output.write_bytes(b"old")
    command = ["logits", small_artifact, "--tokens", "1,2,3,4,5", "-o", output]
    assert_input_error(run("tern", *command, preexec=limit_file_size), "x.npy", "too large")
    assert output.read_bytes() == b"old" and list(tmp_path.iterdir()) == [output]
    succeed("tern", *command)
    assert np.load(output).shape == (5, 503) and list(tmp_path.iterdir()) == [output]


def test_standard_output_that_is_full_exits_with_1(home_assistant: Path, full_device: Path) -> None:
    for arguments in (["inspect"], ["run", "-p", "a"]):
        with full_device.open("wb") as full:
            result = subprocess.run(
                [BIN / "tern", *arguments, home_assistant],
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert result.returncode == 1, result
        assert result.stderr.count(b"\n") == 1 and b"standard output" in result.stderr, result


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_logits_leave_no_file(ending: signal.Signals, small_artifact: Path, tmp_path: Path) -> None:
    tokens = ",".join(["1"] * 1024)
    command: list[str | Path] = [BIN / "tern", "logits", small_artifact, "--tokens", tokens, "--threads=1"]
    command += ["-o", tmp_path / "x.npy"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while not list(tmp_path.iterdir()) and process.poll() is None:
            pass
        process.send_signal(ending)
        assert process.wait() == -ending
    assert not list(tmp_path.iterdir())
