"""Usage of the tern program: help, exit statuses, files that are not artifacts, models without a part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import BuildModel, Compile
from models import ModelSpec
from programs import assert_input_error, assert_usage_error, run, succeed

SUBCOMMANDS = ["run", "chat", "logits", "tokenize", "detokenize", "bench", "eval", "inspect", "verify"]


def test_help_and_version_go_to_stdout() -> None:
    assert "running one is running a program" in succeed("tern", "--help").text
    assert succeed("tern", "--version").text.startswith("tern ")
    for name in SUBCOMMANDS:
        result = succeed("tern", name, "--help")
        assert "Usage: tern " + name in result.text and result.err == "", result


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["eval", "m.tern"],
        ["run"],
        ["run", "m.tern"],
        ["run", "m.tern", "-p", "a", "--tokens", "1"],
        ["run", "m.tern", "--tokens", "1", "--chat"],
        ["run", "m.tern", "extra", "-p", "a"],
        ["run", "m.tern", "-p", "a", "--stop", ""],
        ["run", "m.tern", "-p", "a", "--stop", "x" * 257],
        ["run", "m.tern", "-p", "a", *["--stop", "x"] * 17],
        ["chat", "m.tern", "--logprobs", "1"],
        ["run", "m.tern", "-p", "a", "--repeat-last-n", "8"],
        ["run", "m.tern", "-p", "a", "--keep", "8"],
        ["run", "m.tern", "-p", "a", "--prompts", "f"],
        ["run", "m.tern", "-p", "a", "-p", "b", "--logprobs", "1"],
        ["run", "m.tern", "-p", "a", "-p", "b", "--prompt-cache", "f"],
        ["run", "m.tern", "--prompts", "f", "--stats"],
        ["run", "m.tern", "-p", "a", "--prompt-cache", ""],
        ["chat", "m.tern", "--context-shift"],
        ["logits", "m.tern", "-o", "x.npy"],
        ["logits", "m.tern", "--tokens", "1"],
        ["tokenize", "m.tern", "--threads", "2"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert_usage_error(run("tern", *arguments), "--help")


@pytest.mark.parametrize(
    "option",
    [
        "--threads=0", "--threads=-1", "--threads=1025", "--threads=x", "--context=0", "--context=-5",
        "-t=-1", "-t=nan", "-t=inf", "-t=x", "--top-p=0", "--top-p=1.5", "--top-p=nan", "--top-k=-1",
        "--min-p=-0.1", "--min-p=1.1", "--min-p=nan", "--repeat-penalty=0", "--repeat-penalty=9e-7", "--repeat-penalty=inf",
        "--frequency-penalty=nan", "--presence-penalty=101", "--repeat-last-n=-2", "--logprobs=21", "--logprobs=-1", "--logit-bias=5", "--logit-bias=+1",
        "--logit-bias=5+", "--logit-bias=5+x", "--logit-bias=5+-1", "--logit-bias=5+inf", "--logit-bias=5+nan",
        "--logit-bias=-5+1", "--logit-bias=5+1e7",
        "-n=-1", "-n=1e3", "--seed=-1", "--seed=x", "--weights=fast", "--weights=stream",
    ],
)  # fmt: skip
def test_option_values_out_of_range_exit_with_2(option: str) -> None:
    name = option.split("=")[0]
    assert_usage_error(run("tern", "run", "m.tern", "-p", "a", option), name)


@pytest.mark.parametrize("ids", ["x", "1,", ",1", "1,,2", "1;2", "1.5", "99999999999", "1 2"])
def test_malformed_token_lists_exit_with_2(ids: str) -> None:
    assert_usage_error(run("tern", "run", "m.tern", "--tokens", ids), "--tokens")
    assert_usage_error(run("tern", "logits", "m.tern", "-o", "x.npy", "--tokens", ids), "--tokens")


READERS = [
    ["run", "-p", "a"],
    ["chat"],
    ["logits", "--tokens", "1", "-o", "x.npy"],
    ["tokenize"],
    ["detokenize"],
    ["bench"],
    ["eval", "--text", __file__],
    ["inspect"],
    ["verify"],
]


@pytest.mark.parametrize("arguments", READERS, ids=lambda arguments: arguments[0])
def test_unreadable_files_exit_with_1(arguments: list[str], tmp_path: Path) -> None:
    name, *options = arguments
    assert_input_error(run("tern", name, "none.tern", *options, cwd=tmp_path), "none.tern", "No such file")
    assert_input_error(run("tern", name, ".", *options, cwd=tmp_path), "not a regular file")
    (tmp_path / "empty.tern").touch()
    assert_input_error(run("tern", name, "empty.tern", *options, cwd=tmp_path), "empty.tern")
    (tmp_path / "text.tern").write_text("This is no artifact. " * 100)
    assert_input_error(run("tern", name, "text.tern", *options, cwd=tmp_path), "text.tern")
    assert not (tmp_path / "x.npy").exists()


def test_a_gguf_file_is_answered_with_what_to_do(small_gguf: Path) -> None:
    assert_input_error(run("tern", "run", small_gguf, "-p", "a"), "GGUF", "ternc")


def test_an_unknown_template_stops_only_chat(build_model: BuildModel, compile_gguf: Compile) -> None:
    model = build_model(ModelSpec("unknown-template", chat_template="{{ raise_exception('no') }}"))
    artifact = compile_gguf(model.path)
    assert_input_error(run("tern", "run", artifact, "-p", "hello", "--chat"), "template", "-p")
    assert_input_error(run("tern", "chat", artifact, stdin=b"hello\n"), "template", "-p")
    succeed("tern", "run", artifact, "-p", "hello", "-n", "2")
    succeed("tern", "tokenize", artifact, stdin=b"hello")


def test_a_missing_tokenizer_stops_only_text(build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    model = build_model(ModelSpec("no-tokenizer", tokenizer=False, chat_template=None))
    artifact = compile_gguf(model.path)
    assert_input_error(run("tern", "run", artifact, "-p", "hello"), "tokenizer")
    assert_input_error(run("tern", "run", artifact, "--tokens", "1", "--stop", "a"), "tokenizer")
    assert_input_error(run("tern", "run", artifact, "-p", "hello", "--chat"), artifact.name)
    assert_input_error(run("tern", "tokenize", artifact, stdin=b"hello"), "tokenizer")
    assert_input_error(run("tern", "detokenize", artifact, stdin=b"1"), "tokenizer")
    succeed("tern", "logits", artifact, "--tokens", "1", "-o", tmp_path / "x.npy")
    ids = succeed("tern", "run", artifact, "--tokens", "1", "-n", "3", "-t", "0").text
    assert len([int(token) for token in ids.split()]) == 3
    assert json.loads(succeed("tern", "inspect", artifact, "--json").text)["tokenizer"] is None
