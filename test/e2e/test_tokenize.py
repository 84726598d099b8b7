"""`tern tokenize` and `tern detokenize`: options, special tokens, bytes that are no text."""

from __future__ import annotations

from pathlib import Path

from conftest import BuildModel, Compile
from models import ModelSpec
from programs import assert_input_error, run, succeed


def test_tokenize_and_detokenize_are_inverse(home_assistant: Path) -> None:
    text = ("  Turn on\tthe <lights> — please 😀\n\n" + "".join(map(chr, range(1, 600)))).encode()
    ids = succeed("tern", "tokenize", home_assistant, "--no-parse-special", stdin=text)
    assert ids.out.endswith(b"\n") and ids.out.count(b"\n") == 1
    assert succeed("tern", "detokenize", home_assistant, stdin=ids.out).out == text


def test_invalid_bytes_come_back_as_replacement_characters(home_assistant: Path) -> None:
    text = b"on \xff\xe2\x82 off \xf0\x9f"
    ids = succeed("tern", "tokenize", home_assistant, stdin=text)
    assert succeed("tern", "detokenize", home_assistant, stdin=ids.out).text == text.decode(errors="replace")


def test_tokenize_lines(home_assistant: Path) -> None:
    lines = ["turn on", "", "lock  the door", "é"]
    expected = b"".join(succeed("tern", "tokenize", home_assistant, stdin=line.encode()).out for line in lines)
    for text in ("\n".join(lines), "\n".join(lines) + "\n"):
        assert succeed("tern", "tokenize", home_assistant, "--lines", stdin=text.encode()).out == expected


def test_special_tokens_are_recognised_unless_told_otherwise(home_assistant: Path) -> None:
    special = succeed("tern", "tokenize", home_assistant, stdin=b"<|im_end|>").text.split()
    plain = succeed("tern", "tokenize", home_assistant, "--no-parse-special", stdin=b"<|im_end|>").text.split()
    assert len(special) == 1 and len(plain) > 1


def test_no_bos(build_model: BuildModel, compile_gguf: Compile) -> None:
    artifact = compile_gguf(build_model(ModelSpec("adds-bos", add_bos=True)).path)
    with_bos = succeed("tern", "tokenize", artifact, stdin=b"hello").text.split()
    assert with_bos[1:] == succeed("tern", "tokenize", artifact, "--no-bos", stdin=b"hello").text.split()


def test_detokenize_refuses_words(home_assistant: Path) -> None:
    assert_input_error(run("tern", "detokenize", home_assistant, stdin=b"1 two 3"), "'two'")
    assert succeed("tern", "detokenize", home_assistant, stdin=b" \n").out == b""
