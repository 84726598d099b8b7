"""--pin: the CPUs of a running program's threads, by the kernel's own account."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from conftest import BuildModel, Compile
from models import ModelSpec
from programs import BIN, assert_input_error, run, succeed, waiting_chat

CPUS = sorted(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def artifact(build_model: BuildModel, compile_gguf: Compile) -> Path:
    return compile_gguf(build_model(ModelSpec("pinned")).path)


def cpus_of_threads(pid: int) -> dict[int, list[int]]:
    """Where each thread of a process may run, by the thread's number."""
    result = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            status = (task / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # the thread has ended
            continue
        listed = re.search(r"^Cpus_allowed_list:\t(\S+)$", status, re.MULTILINE)
        assert listed
        cpus: list[int] = []
        for part in listed[1].split(","):
            first, _, last = part.partition("-")
            cpus += range(int(first), int(last or first) + 1)
        result[int(task.name)] = cpus
    return result


def test_worker_threads_have_a_cpu_each(artifact: Path) -> None:
    with waiting_chat(artifact, "--pin", f"--threads={len(CPUS)}") as pid:
        workers = [cpus for thread, cpus in cpus_of_threads(pid).items() if thread != pid]
    assert len(workers) == len(CPUS) - 1
    assert all(len(cpus) == 1 and cpus[0] in CPUS for cpus in workers), workers
    assert len({cpus[0] for cpus in workers}) == len(workers), workers


def test_the_main_thread_is_pinned_while_it_computes(artifact: Path) -> None:
    command = [BIN / "tern", "bench", artifact, "--pin", f"--threads={len(CPUS)}"]
    command += ["--generate=0", "--runs=1", "--latency=1000000000"]  # until it is killed
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                threads = cpus_of_threads(process.pid)
                if len(threads) == len(CPUS) and all(len(cpus) == 1 for cpus in threads.values()):
                    break
                assert process.poll() is None and time.monotonic() < deadline, threads
        finally:
            process.kill()
    assert sorted(cpus[0] for cpus in threads.values()) == CPUS


def test_without_the_option_threads_run_anywhere(artifact: Path) -> None:
    with waiting_chat(artifact, f"--threads={len(CPUS)}") as pid:
        assert all(cpus == CPUS for cpus in cpus_of_threads(pid).values())


def test_only_allowed_cpus_are_used(artifact: Path) -> None:
    last = CPUS[-1]
    restrict = lambda: os.sched_setaffinity(0, {last})
    options = ["--tokens", "1", "-n", "4", "-t", "0", "--pin"]
    alone = succeed("tern", "run", artifact, *options, preexec=restrict)  # as many threads as CPUs: one
    assert alone.out == succeed("tern", "run", artifact, *options[:-1]).out
    refused = run("tern", "run", artifact, *options, "--threads=2", preexec=restrict)
    assert_input_error(refused, "2 threads", "may run on 1", "fewer threads")


@pytest.mark.parametrize("command", ["run", "chat", "logits", "embed", "bench", "eval"])
def test_more_threads_than_cpus_are_an_error(command: str, artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a b c d e f g h " * 20)
    options = {
        "run": ["--tokens", "1"],
        "chat": [],
        "logits": ["--tokens", "1", "-o", tmp_path / "logits.npy"],
        "embed": ["--tokens", "1", "-o", tmp_path / "states.npy"],
        "bench": ["--prompt", 1, "--generate", 1, "--runs", 1],
        "eval": ["--text", tmp_path / "text", "--context", 16],
    }[command]
    refused = run("tern", command, artifact, *options, "--pin", f"--threads={len(CPUS) + 1}")
    assert_input_error(refused, "fewer threads")


def test_bench_says_whether_threads_were_pinned(artifact: Path) -> None:
    options = ["--prompt", 4, "--generate", 1, "--runs", 1, "--json", "-"]
    for pin in (False, True):
        report = json.loads(succeed("tern", "bench", artifact, *options, *["--pin"] * pin).text)
        assert report["pinned"] is pin
