"""Where ternc writes and reads: names of any bytes, links, pipes, closed streams, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from programs import BIN, assert_input_error, run, succeed


@pytest.fixture
def folder(small_gguf: Path, tmp_path: Path) -> Path:
    shutil.copy(small_gguf, tmp_path / "m.gguf")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["50%", "%%%%%%%%", "with space", "-dash", "two\nlines", "\x1b[31mred", os.fsdecode(b"\xff\xfe"), "n" * 200]
)
def test_folders_and_files_of_any_name(name: str, folder: Path) -> None:
    (folder / name).mkdir()
    output = f"{name}/{name}.tern"
    report = succeed("ternc", "m.gguf", "-o", f"./{output}", "--json", cwd=folder).text
    assert json.loads(report)["output"] == os.fsencode(f"./{output}").decode(errors="replace")
    assert os.listdir(folder / name) == [f"{name}.tern"]
    succeed("tern", "verify", f"./{output}", cwd=folder)


def test_a_name_that_is_too_long_is_an_error_of_one_line(folder: Path) -> None:
    assert_input_error(run("ternc", "m.gguf", "-o", "n" * 256, cwd=folder), "too long")
    assert os.listdir(folder) == ["m.gguf"]


@pytest.mark.parametrize("name", ["\x1b[31mred.gguf", "two\nlines.gguf"])
def test_control_characters_of_a_name_do_not_reach_the_terminal(name: str, folder: Path) -> None:
    assert_input_error(run("ternc", name, "-o", "x.tern", cwd=folder), "No such file")
    assert_input_error(run("ternc", "m.gguf", "-o", f"none/{name}", cwd=folder), "No such file")


def test_a_link_stays_and_leads_to_the_output(folder: Path) -> None:
    (folder / "old.tern").write_bytes(b"old")
    (folder / "link.tern").symlink_to("old.tern")
    succeed("ternc", "m.gguf", "-o", "link.tern", cwd=folder)
    assert (folder / "link.tern").is_symlink()
    succeed("tern", "verify", "old.tern", cwd=folder)


def test_inputs_are_not_replaced(folder: Path) -> None:
    succeed("ternc", "m.gguf", "--emit=tern-ir", "-o", "m.mlir", cwd=folder)
    before = (folder / "m.mlir").read_bytes()
    assert_input_error(run("ternc", "m.mlir", "--emit=fused-ir", "-o", "./m.mlir", cwd=folder), "itself")
    assert (folder / "m.mlir").read_bytes() == before
    (folder / "link.gguf").symlink_to("m.gguf")
    for kind in ("tern", "asm", "obj"):
        result = run("ternc", "link.gguf", f"--emit={kind}", "-o", "m.gguf", cwd=folder)
        assert_input_error(result, "m.gguf", "itself")


@pytest.mark.parametrize("arguments", [["pipe"], ["m.gguf", "--quantize=int8", "--imatrix=pipe"]], ids=" ".join)
def test_a_pipe_with_no_writer_is_refused_not_waited_for(arguments: list[str], folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert_input_error(run("ternc", *arguments, "-o", "x.tern", cwd=folder), "pipe", "not a regular file")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_artifacts_do_not_take_the_place_of_closed_streams(closed: tuple[int, ...], folder: Path) -> None:
    def close() -> None:
        for stream in closed:
            os.close(stream)

    succeed("ternc", "m.gguf", "--quantize=f16", "-o", "a.tern", cwd=folder)
    command = [BIN / "ternc", "m.gguf", "--quantize=f16", "-o", "b.tern", "--timing"]
    assert subprocess.run(command, preexec_fn=close, cwd=folder, check=False).returncode == 0
    assert (folder / "a.tern").read_bytes() == (folder / "b.tern").read_bytes()


def test_kernels_in_the_making_have_no_names(folder: Path) -> None:
    """What has none cannot be left behind, whatever ends the compiler."""
    scratch = folder / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch), "TERN_CACHE_DIR": ""}
    seen: set[str] = set()
    with subprocess.Popen([BIN / "ternc", "m.gguf", "-o", "m.tern"], cwd=folder, env=environment) as process:
        while process.poll() is None:
            seen.update(os.listdir(scratch))
    assert process.returncode == 0
    assert {name for name in seen if not name.startswith("tern-link")} == set()
    assert os.listdir(scratch) == []


def test_two_compilers_can_write_one_name(folder: Path) -> None:
    command = [BIN / "ternc", "m.gguf", "-o", "m.tern"]
    for process in [subprocess.Popen(command, cwd=folder) for _ in range(3)]:
        assert process.wait() == 0
    succeed("tern", "verify", "m.tern", cwd=folder)
    assert sorted(os.listdir(folder)) == ["m.gguf", "m.tern"]
