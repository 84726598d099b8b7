"""`tern run --prompt-cache`: what is reused, what is kept, files that do not fit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Compile
from programs import Result, assert_input_error, run, succeed


def reused(result: Result) -> list[int]:
    """Tokens reused, tokens of the prompt."""
    line = next(line for line in result.err.splitlines() if line.startswith("prompt cache"))
    return [int(word) for word in line.split() if word.isdigit()]


@pytest.mark.parametrize("kv", ["f16", "q8"])
def test_a_prompt_cache_saves_the_common_beginning(
    kv: str, compile_gguf: Compile, small_gguf: Path, tmp_path: Path
) -> None:
    artifact = compile_gguf(small_gguf, f"--kv={kv}")
    cache = tmp_path / "prompt"
    options = ["-t", "0", "-n", "8"]

    def generate(tokens: list[int]) -> Result:
        ids = ",".join(map(str, tokens))
        result = succeed("tern", "run", artifact, "--tokens", ids, "--stats", "--prompt-cache", cache, *options)
        assert result.out == succeed("tern", "run", artifact, "--tokens", ids, *options).out
        return result

    prompt = list(range(10, 110))
    assert reused(generate(prompt)) == [0, 100]
    first = cache.read_bytes()
    assert reused(generate(prompt)) == [99, 100]
    assert reused(generate(prompt[:60])) == [59, 60]
    assert cache.read_bytes() == first, "a cache that holds all of the prompt stays"
    assert reused(generate([*prompt[:70], 7, 8, 9])) == [70, 73]
    assert reused(generate(prompt)) == [70, 100], "the last prompt is kept"
    assert cache.read_bytes() == first
    assert list(tmp_path.iterdir()) == [cache]


def test_prompt_caches_that_do_not_fit_are_refused(
    small_artifact: Path, home_assistant: Path, small_gguf: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "prompt"
    command = ["run", small_artifact, "-n", "2", "--prompt-cache", cache]
    prompt = ["--tokens", ",".join(["5"] * 40)]
    succeed("tern", *command, *prompt)
    intact = cache.read_bytes()
    cache.write_bytes(intact[:5000] + bytes([intact[5000] ^ 1]) + intact[5001:])
    assert_input_error(run("tern", *command, *prompt), "prompt", "damaged", "delete it")
    cache.write_bytes(intact[:-1])
    assert_input_error(run("tern", *command, *prompt), "prompt", "ends early")
    cache.write_bytes(intact + b"x")
    assert_input_error(run("tern", *command, *prompt), "prompt", "appended")
    cache.write_bytes(b"a text of mine" * 10)
    assert_input_error(run("tern", *command, *prompt), "prompt", "not a saved slot")
    assert cache.read_bytes() == b"a text of mine" * 10
    cache.write_bytes(intact)
    assert_input_error(run("tern", "run", home_assistant, "-p", "a", "--prompt-cache", cache), "another model")
    assert_input_error(run("tern", *command, "--tokens", "1", "--context", "16"), "context")
    assert_input_error(run("tern", *command[:-1], tmp_path, *prompt), "regular")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert_input_error(run("tern", *command[:-1], pipe, *prompt), "pipe", "regular")
    assert_input_error(run("tern", *command[:-1], "/dev/zero", *prompt), "regular")
    assert pipe.is_fifo()
    assert_input_error(run("tern", *command[:-1], tmp_path / "none" / "x", *prompt), "No such file")
