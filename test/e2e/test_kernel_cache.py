"""The cache of compiled kernels: several compilers at once, killed ones, its bound; the time of each stage."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from programs import BIN, assert_usage_error, run, succeed


@pytest.fixture
def folder(small_gguf: Path, tmp_path: Path) -> Path:
    """With a model and nothing else."""
    shutil.copy(small_gguf, tmp_path / "m.gguf")
    return tmp_path


def environment(folder: Path, limit: str | None = None) -> dict[str, str]:
    values = {"TERN_CACHE_DIR": str(folder / "cache")}
    return values if limit is None else {**values, "TERN_CACHE_LIMIT": limit}


def compiled(folder: Path, limit: str | None = None) -> tuple[bytes, list[bool]]:
    """The artifact, and for each kernel whether it came from the cache."""
    result = succeed("ternc", "m.gguf", "-o", "m.tern", "--json", cwd=folder, environment=environment(folder, limit))
    kernels = json.loads(result.text)["variants"][0]["kernels"]
    return (folder / "m.tern").read_bytes(), [kernel["from_cache"] for kernel in kernels]


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "cache").iterdir())


def uncached(folder: Path) -> bytes:
    succeed("ternc", "m.gguf", "-o", "alone.tern", cwd=folder, environment={"TERN_CACHE_DIR": ""})
    return (folder / "alone.tern").read_bytes()


def test_compilers_that_share_a_cold_cache_write_the_same(folder: Path) -> None:
    expected = uncached(folder)
    values = {**os.environ, **environment(folder)}
    commands = [[BIN / "ternc", "m.gguf", "-o", f"{i}.tern", "-j2"] for i in range(3)]
    for process in [subprocess.Popen(command, cwd=folder, env=values) for command in commands]:
        assert process.wait() == 0
    assert all((folder / f"{i}.tern").read_bytes() == expected for i in range(3))
    assert all(entry.suffix == ".kernel" for entry in entries(folder)), entries(folder)
    artifact, from_cache = compiled(folder)
    assert artifact == expected and all(from_cache)


def test_a_killed_compiler_leaves_a_cache_that_works(folder: Path) -> None:
    """Killed with its workers when two kernels are there, while others are being made and written."""
    expected = uncached(folder)
    command, cache = [BIN / "ternc", "m.gguf", "-o", "m.tern", "-j2"], folder / "cache"
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment(folder)}, start_new_session=True
    ) as process:
        while process.poll() is None and not (cache.exists() and len(list(cache.glob("*.kernel"))) >= 2):
            pass
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    artifact, from_cache = compiled(folder)
    assert artifact == expected
    assert any(from_cache) and not all(from_cache)
    assert all(compiled(folder)[1])


def test_the_environment_bounds_the_cache(folder: Path) -> None:
    expected, _ = compiled(folder)
    sizes = [entry.stat().st_size for entry in entries(folder)]
    for entry in entries(folder):
        entry.unlink()
    limit = sum(sizes) // 2
    artifact, from_cache = compiled(folder, f"{limit / 1000}K")
    kept = sum(entry.stat().st_size for entry in entries(folder))
    assert artifact == expected and not any(from_cache)
    assert limit - max(sizes) < kept <= limit
    artifact, from_cache = compiled(folder)
    assert artifact == expected and any(from_cache) and not all(from_cache)


@pytest.mark.parametrize("limit", ["", "0", "-1", "x", "256MB", "1T"])
def test_a_bound_that_is_no_size_is_wrong_usage(limit: str, folder: Path) -> None:
    refused = run("ternc", "m.gguf", "-o", "m.tern", cwd=folder, environment=environment(folder, limit))
    assert_usage_error(refused, "TERN_CACHE_LIMIT", f"'{limit}'")
    assert not (folder / "m.tern").exists()


def test_timing_has_every_stage(folder: Path) -> None:
    result = succeed("ternc", "m.gguf", "-o", "m.tern", "--timing", cwd=folder, environment=environment(folder))
    seconds = {name: float(value) for name, value in re.findall(r"^(\w+) +([0-9.]+) s$", result.err, re.MULTILINE)}
    assert list(seconds) == ["import", "quantize", "fuse", "kernels", "link", "plan", "pack", "total"], result
    stages = sum(seconds.values()) - seconds["total"]
    assert seconds["kernels"] > 0 and stages <= seconds["total"] + 0.001 * len(seconds)
