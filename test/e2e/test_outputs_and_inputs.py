"""Outputs never replace what the same command reads, nor links and devices; what cannot be written shows first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from programs import BIN, assert_input_error, assert_usage_error, run, succeed

BENCH = ["--runs", "1", "--prompt", "2", "--generate", "1"]
WRITERS = {
    "logits": ["logits", "m.tern", "--tokens", "1", "-o"],
    "embed": ["embed", "m.tern", "--tokens", "1", "-o"],
    "json": ["bench", "m.tern", *BENCH, "--json"],
    "trace": ["bench", "m.tern", *BENCH, "--trace"],
    "save-logits": ["eval", "m.tern", "--text", "text", "--context", "8", "--save-logits"],
}


@pytest.fixture
def folder(small_artifact: Path, tmp_path: Path) -> Path:
    """m.tern and a text."""
    shutil.copy(small_artifact, tmp_path / "m.tern")
    (tmp_path / "text").write_text("to be or not to be, that is the question " * 4)
    return tmp_path


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", ["m.tern", "./m.tern", "link", "hard"])
def test_the_model_is_not_replaced(writer: str, name: str, folder: Path) -> None:
    (folder / "link").symlink_to("m.tern")
    (folder / "hard").hardlink_to(folder / "m.tern")
    before = (folder / "m.tern").read_bytes()
    assert_input_error(run("tern", *WRITERS[writer], name, cwd=folder), name, "m.tern", "another file")
    assert (folder / "m.tern").read_bytes() == before


def test_the_text_is_not_replaced_by_its_logits(folder: Path) -> None:
    before = (folder / "text").read_bytes()
    assert_input_error(run("tern", *WRITERS["save-logits"], "text", cwd=folder), "text", "another file")
    assert (folder / "text").read_bytes() == before


def test_figures_and_trace_are_two_files(folder: Path) -> None:
    command = ["bench", "m.tern", *BENCH, "--trace", "x", "--json"]
    (folder / "link").symlink_to("x")
    (folder / "here").symlink_to(".")
    names = ["x", "./x", "link", "here/x", str(folder / "x")]
    for name in names:
        assert_usage_error(run("tern", *command, name, cwd=folder), "--json", "--trace")
    assert not (folder / "x").exists()
    (folder / "x").touch()
    (folder / "hard").hardlink_to(folder / "x")
    for name in [*names, "hard"]:
        assert_usage_error(run("tern", *command, name, cwd=folder), "--json", "--trace")
    assert (folder / "x").read_bytes() == b""
    (folder / "other").mkdir()
    succeed("tern", *command, "other/x", cwd=folder)  # of the same name in another folder


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", ["", "-"])
def test_names_that_are_no_files_are_wrong_usage(writer: str, name: str, folder: Path) -> None:
    if writer == "json" and name == "-":
        pytest.skip("there it is standard output")
    *command, option = WRITERS[writer]
    result = run("tern", *command, *([option, name] if option == "-o" else [f"{option}={name}"]), cwd=folder)
    assert_usage_error(result, option)
    assert sorted(os.listdir(folder)) == ["m.tern", "text"]


def test_a_link_stays_and_leads_to_the_output(folder: Path) -> None:
    (folder / "old.npy").write_bytes(b"old")
    (folder / "link.npy").symlink_to("old.npy")
    succeed("tern", *WRITERS["logits"], "link.npy", cwd=folder)
    assert (folder / "link.npy").is_symlink()
    assert np.load(folder / "old.npy").shape == (1, 503)


@pytest.mark.parametrize("writer", ["logits", "json"])
def test_a_link_to_nothing_stays_and_leads_to_the_output(writer: str, folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "link").symlink_to("deep/second")
    (folder / "deep" / "second").symlink_to("new")
    succeed("tern", *WRITERS[writer], "link", cwd=folder)
    assert (folder / "link").is_symlink() and (folder / "deep" / "second").is_symlink()
    assert (folder / "deep" / "new").stat().st_size > 0
    assert sorted(os.listdir(folder / "deep")) == ["new", "second"]


def test_links_in_a_circle_are_refused(folder: Path) -> None:
    (folder / "link").symlink_to("link")
    assert_input_error(run("tern", *WRITERS["logits"], "link", cwd=folder), "link", "cannot follow")
    assert (folder / "link").is_symlink()


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "log"])
def test_what_standard_output_appends_to_is_kept(writer: str, name: str, folder: Path) -> None:
    """What else the command prints comes behind the file."""
    succeed("tern", *WRITERS[writer], "alone", cwd=folder)
    expected = (folder / "alone").read_bytes()
    (folder / "alone").unlink()
    log = folder / "log"
    log.write_bytes(b"precious")
    with log.open("ab") as output:
        subprocess.run([BIN / "tern", *WRITERS[writer], name], stdout=output, cwd=folder, check=True)
    assert log.read_bytes().startswith(b"precious")
    written = log.read_bytes().removeprefix(b"precious")
    if writer in ("json", "trace"):  # figures of another run
        assert json.JSONDecoder().raw_decode(written.decode())[0].keys() == json.loads(expected).keys()
    else:
        assert written.startswith(expected)
    assert sorted(os.listdir(folder)) == ["log", "m.tern", "text"]


def test_what_standard_error_appends_to_is_kept(folder: Path) -> None:
    succeed("tern", *WRITERS["logits"], "alone", cwd=folder)
    (folder / "log").write_bytes(b"precious")
    with (folder / "log").open("ab") as output:
        command = [BIN / "tern", *WRITERS["logits"], "/dev/stderr"]
        subprocess.run(command, stderr=output, cwd=folder, check=True)
    assert (folder / "log").read_bytes() == b"precious" + (folder / "alone").read_bytes()


@pytest.mark.parametrize("redirected", ["file", "pipe"])
def test_standard_output_by_its_name(redirected: str, folder: Path) -> None:
    """Redirected to a file, /dev/stdout is a link that leads to it."""
    (folder / "stdout").symlink_to("/proc/self/fd/1")
    command = [BIN / "tern", *WRITERS["logits"], "stdout"]
    with (folder / "caught").open("wb") as caught:
        output = caught if redirected == "file" else subprocess.PIPE
        result = subprocess.run(command, stdout=output, cwd=folder, check=True)
    if redirected == "pipe":
        (folder / "caught").write_bytes(result.stdout)
    assert np.load(folder / "caught").shape == (1, 503)
    assert (folder / "stdout").is_symlink()


@pytest.mark.parametrize("option", ["--json", "--trace"])
def test_what_bench_cannot_write_shows_before_it_measures(option: str, folder: Path) -> None:
    command = ["bench", "m.tern", *BENCH, "--context", "1000000"]  # the measurement begins with this error
    assert_input_error(run("tern", *command, cwd=folder), "1000000")
    assert_input_error(run("tern", *command, option, "none/x", cwd=folder), "none/x", "No such file")


def test_an_interrupted_bench_leaves_neither_file(folder: Path) -> None:
    command = [BIN / "tern", "bench", "m.tern", "--runs", "1000000", "--trace", "x", "--json", "y"]
    with subprocess.Popen(command, cwd=folder) as process:
        while len(os.listdir(folder)) < 4 and process.poll() is None:
            pass
        process.terminate()
        assert process.wait() < 0
    assert sorted(os.listdir(folder)) == ["m.tern", "text"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "pipe"],
        ["run", "pipe", "-p", "a"],
        ["run", "m.tern", "--prompts", "pipe"],
        ["eval", "m.tern", "--text", "pipe"],
        ["eval", "m.tern", "--text", "text", "--context", "8", "--compare-logits", "pipe"],
    ],
    ids=" ".join,
)
def test_a_pipe_with_no_writer_is_refused_not_waited_for(arguments: list[str], folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert_input_error(run("tern", *arguments, cwd=folder), "pipe", "not a regular file")
