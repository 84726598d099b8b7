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


@pytest.mark.parametrize("kind", ["tern", "tern-ir"])
def test_a_link_to_nothing_stays_and_leads_to_the_output(kind: str, folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "link").symlink_to("deep/second")
    (folder / "deep" / "second").symlink_to("new")
    succeed("ternc", "m.gguf", f"--emit={kind}", "-o", "link", cwd=folder)
    assert (folder / "link").is_symlink() and (folder / "deep" / "second").is_symlink()
    assert (folder / "deep" / "new").stat().st_size > 0
    assert sorted(os.listdir(folder / "deep")) == ["new", "second"]


def test_links_in_a_circle_are_refused(folder: Path) -> None:
    (folder / "link").symlink_to("link")
    assert_input_error(run("ternc", "m.gguf", "--emit=tern-ir", "-o", "link", cwd=folder), "link")
    assert (folder / "link").is_symlink()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "log"])
def test_standard_output_by_its_name_is_appended_to(name: str, folder: Path) -> None:
    log = folder / "log"
    text = succeed("ternc", "m.gguf", "--emit=tern-ir", cwd=folder).out
    log.write_bytes(b"precious\n")
    command = [BIN / "ternc", "m.gguf", "-o", name]
    with log.open("ab") as output:
        subprocess.run([*command, "--emit=tern-ir"], stdout=output, cwd=folder, check=True)
        artifact = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, cwd=folder, check=False)
    assert log.read_bytes() == b"precious\n" + text
    assert artifact.returncode == 2 and b"an artifact cannot go to standard output" in artifact.stderr
    piped = subprocess.run([*command, "--emit=tern-ir"], stdout=subprocess.PIPE, cwd=folder, check=True)
    assert name == "log" or piped.stdout == text
    assert sorted(os.listdir(folder)) == ["log", "m.gguf"]


def test_no_file_of_a_library_is_standard_output(folder: Path) -> None:
    command = [BIN / "ternc", "m.gguf", "--emit=static-library", "-o", "m"]
    with (folder / "m.h").open("ab") as output:
        result = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, cwd=folder, check=False)
    assert result.returncode == 1 and b"m.h: standard output goes there too" in result.stderr
    assert sorted(os.listdir(folder)) == ["m.gguf", "m.h"]


def test_the_model_is_not_appended_to(folder: Path) -> None:
    before = (folder / "m.gguf").read_bytes()
    command = [BIN / "ternc", "m.gguf", "--emit=tern-ir"]
    for output in ([], ["-o", "-"], ["-o", "/dev/stdout"]):
        with (folder / "m.gguf").open("ab") as model:
            result = subprocess.run([*command, *output], stdout=model, stderr=subprocess.PIPE, cwd=folder, check=False)
        assert result.returncode == 1 and b"standard output: is the model itself" in result.stderr
    assert (folder / "m.gguf").read_bytes() == before


@pytest.mark.parametrize("option", ["--help", "--version", "--help-hidden"])
def test_help_that_cannot_be_written_is_one_line(option: str, full_device: Path) -> None:
    with full_device.open("wb") as full:
        result = subprocess.run([BIN / "ternc", option], stdout=full, stderr=subprocess.PIPE, check=False)
    closed = subprocess.run(
        [BIN / "ternc", option], stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1), check=False
    )
    for refused in (result, closed):
        assert refused.returncode == 1, refused
        assert refused.stderr.startswith(b"ternc: standard output: cannot be written: "), refused
        assert refused.stderr.count(b"\n") == 1, refused


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
