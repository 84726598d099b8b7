"""Closed standard streams, names of any bytes, values at the ends of their ranges."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from programs import BIN, assert_input_error, assert_usage_error, run, succeed


def close_streams(*streams: int) -> object:
    def close() -> None:
        for stream in streams:
            os.close(stream)

    return close


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_outputs_do_not_take_the_place_of_closed_streams(
    closed: tuple[int, ...], small_artifact: Path, tmp_path: Path
) -> None:
    """Files opened while a stream is closed would get its number."""
    command = ["logits", small_artifact, "--tokens", "1,2", "-o", tmp_path / "x.npy"]
    succeed("tern", *command)
    expected = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").unlink()
    process = [str(BIN / "tern"), *map(str, command)]
    assert subprocess.run(process, preexec_fn=close_streams(*closed), check=False).returncode == 0  # type: ignore[arg-type]
    assert (tmp_path / "x.npy").read_bytes() == expected


def test_a_closed_stdout_is_an_error_of_what_goes_there(small_artifact: Path, tmp_path: Path) -> None:
    command = [BIN / "tern", "bench", small_artifact, "--runs=1", "--prompt=2", "--generate=1"]
    result = subprocess.run(
        [*command, "--json", tmp_path / "x.json"],
        stderr=subprocess.PIPE,
        preexec_fn=close_streams(1),  # type: ignore[arg-type]
        check=False,
    )
    assert result.returncode == 1 and result.stderr.startswith(b"tern: standard output: "), result
    assert json.loads((tmp_path / "x.json").read_text())["prompt"]["tokens"] == 2  # and nothing behind it


def test_a_closed_stdin_is_an_error_of_what_reads_it(home_assistant: Path) -> None:
    for name in ("tokenize", "detokenize"):
        result = run("tern", name, home_assistant, preexec=close_streams(0))
        assert_input_error(result, "standard input")


def test_help_that_cannot_be_written_is_an_error(full_device: Path) -> None:
    for program, *arguments in (["tern", "--help"], ["tern", "run", "--help"], ["tern", "--version"]):
        with full_device.open("wb") as full:
            result = subprocess.run([BIN / program, *arguments], stdout=full, stderr=subprocess.PIPE, check=False)
        assert result.returncode == 1 and result.stderr.count(b"\n") == 1, result


def test_names_that_are_not_utf8(small_artifact: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"m\xff.tern")
    shutil.copy(small_artifact, tmp_path / name)
    options = ["--runs=1", "--prompt=2", "--generate=1", "--json", "-"]
    for arguments in (["bench", name, *options], ["inspect", name, "--json"]):
        report = json.loads(succeed("tern", *arguments, cwd=tmp_path).text)
        assert "m\ufffd.tern" in report.values()


@pytest.mark.parametrize("name", ["\x1b[31mred", "two\nlines", "a\tb"])
def test_control_characters_of_a_name_do_not_reach_the_terminal(name: str, tmp_path: Path) -> None:
    assert_input_error(run("tern", "inspect", name, cwd=tmp_path), "No such file")
    result = run("tern", "inspect", "m", f"--{name}", cwd=tmp_path)
    assert_usage_error(result)
    assert result.err.strip().isprintable()


def test_texts_of_embed_do_not_swallow_the_model(small_artifact: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before.npy", tmp_path / "after.npy"
    succeed("tern", "embed", "-p", "one", "-p", "two", small_artifact, "-o", before)
    succeed("tern", "embed", small_artifact, "-o", after, "-p", "one", "-p", "two")
    assert np.array_equal(np.load(before), np.load(after)) and len(np.load(after)) == 2


@pytest.mark.parametrize("seed", ["18446744073709551616", "99999999999999999999999", "1e3", "0x10", "+1", "1.0", ""])
def test_seeds_are_whole_numbers_of_64_bits(seed: str) -> None:
    assert_usage_error(run("tern", "run", "m.tern", "-p", "a", f"--seed={seed}"), "--seed")


def test_the_largest_seed_is_its_own(small_artifact: Path) -> None:
    def text(seed: int) -> str:
        return succeed("tern", "run", small_artifact, "-p", "a", "-t", "9", "--top-p", "1", "--seed", seed).text

    assert text(2**64 - 1) == text(2**64 - 1)
    assert text(2**64 - 1) != text(2**64 - 2)


def test_a_nul_in_a_message_is_refused_not_cut_at(home_assistant: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts").write_bytes(b"turn on\0 the lights\n")
    result = run("tern", "run", home_assistant, "--chat", "--prompts", tmp_path / "prompts")
    assert_input_error(result, "--prompts", "NUL")
    assert_input_error(run("tern", "chat", home_assistant, stdin=b"turn on\0 the lights\n"), "NUL")


@pytest.mark.parametrize("option", ["--context", "--threads"])
def test_memory_options_are_not_for_gguf_files(option: str, small_gguf: Path) -> None:
    assert_usage_error(run("tern", "inspect", small_gguf, option, "4"), option, "GGUF")


@pytest.mark.parametrize("subcommand", ["logits", "embed", "run"])
def test_what_a_context_can_be_raised_to_is_said(subcommand: str, small_artifact: Path, tmp_path: Path) -> None:
    output = [] if subcommand == "run" else ["-o", tmp_path / "x.npy"]
    result = run("tern", subcommand, small_artifact, "--tokens", "1,2,3,4,5", "--context", "4", *output)
    length = json.loads(succeed("tern", "inspect", small_artifact, "--json").text)["context_length"]
    assert_input_error(result, "--context", f"length is {length}")


def test_inspect_refuses_a_context_beyond_the_model(small_artifact: Path) -> None:
    assert_input_error(run("tern", "inspect", small_artifact, "--context", "1000000"), "1000000", "length")


@pytest.mark.parametrize("pooling", ["max", "0", "MEAN", ""])
def test_poolings_go_by_their_names(pooling: str) -> None:
    command = ["embed", "m.tern", "-p", "a", "-o", "x.npy", f"--pooling={pooling}"]
    assert_usage_error(run("tern", *command), "--pooling", "mean, last or none" if pooling else "")


@pytest.mark.parametrize("arguments", [["run", "", "-p", "a"], ["inspect", ""], ["verify", ""], ["tokenize", ""]])
def test_an_empty_name_of_a_model_is_wrong_usage(arguments: list[str]) -> None:
    assert_usage_error(run("tern", *arguments), "needs the name of a file")


def test_the_limits_that_the_help_names_hold(small_artifact: Path) -> None:
    text = " ".join(succeed("tern", "run", "--help").text.split())
    assert "up to 512 times" in text and "up to 16 times, of at most 256 bytes" in text
    command = ["run", small_artifact, "-p", "a", "-n", "1"]
    succeed("tern", *command, *["--logit-bias=1+1"] * 512, *["--stop", "x" * 256] * 16)
    assert_usage_error(run("tern", *command, *["--logit-bias=1+1"] * 513), "--logit-bias", "512")
    assert_usage_error(run("tern", *command, *["--stop", "x"] * 17), "--stop", "16")
    assert_input_error(run("tern", *command, "--context-shift", "--context=8", "--keep=8"), "keeps 8 of 8")
    succeed("tern", *command, "--context-shift", "--context=8", "--keep=7")
