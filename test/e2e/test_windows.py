"""Caches of layers with a sliding window: they keep window + batch + 64 positions, not the context."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import BuildModel, Compile
from models import ModelSpec
from programs import Result, run, succeed, tern_logits
from references import random_tokens, relative_error, torch_logits

# Of 24 positions in five layers of six. Batches of 64: a ring of four blocks of 64 positions.
SPEC = ModelSpec("windows", family="gemma3", head_size=24, layers=6, tied=True)
CONTEXT, WINDOW, RING = 1024, 24, 256
VOCABULARY = SPEC.vocabulary


@pytest.fixture(scope="module")
def tokens() -> list[int]:
    return random_tokens(900, VOCABULARY)


@pytest.fixture(params=["f16", "q8"])
def artifact(request: pytest.FixtureRequest, build_model: BuildModel, compile_gguf: Compile) -> Path:
    return compile_gguf(build_model(SPEC).path, f"--kv={request.param}")


def call(slot: int, start: int, tokens: list[int], want: bool = False) -> str:
    """A forward call of consecutive rows, the last one wanted or none."""
    rows = [f"{slot}:{start + i}:{token}" for i, token in enumerate(tokens)]
    return " ".join(rows) + ("!" if want else "")


def fill(slot: int, start: int, tokens: list[int], size: int = 64) -> list[str]:
    return [call(slot, start + i, tokens[i : i + size]) for i in range(0, len(tokens), size)]


def probe(artifact: Path, lines: list[str], slots: int = 2, context: int = CONTEXT) -> Result:
    return run("forward_probe", artifact, 2, slots, context, stdin="\n".join(lines).encode())


def logits(result: Result) -> np.ndarray:
    assert result.status == 0, result
    return np.frombuffer(result.out, np.float32).reshape(-1, VOCABULARY)


def continued(slot: int, start: int, tokens: list[int]) -> list[str]:
    """Thirty single rows, their logits wanted."""
    return [call(slot, start + i, [tokens[start + i]], want=True) for i in range(30)]


def test_logits_far_beyond_the_window_match_pytorch(
    build_model: BuildModel, compile_gguf: Compile, tokens: list[int], tmp_path: Path
) -> None:
    model = build_model(SPEC)
    actual = tern_logits(compile_gguf(model.path, "--kv=f32"), tokens, tmp_path)
    assert relative_error(actual, torch_logits(model, tokens)) <= 1e-4


@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunks_and_slots_do_not_change_a_bit(size: int, artifact: Path, tokens: list[int], tmp_path: Path) -> None:
    expected = tern_logits(artifact, tokens, tmp_path)
    other = random_tokens(900, VOCABULARY, seed=9)
    lines: list[str] = []
    for start in range(0, 640, size):
        count = min(size, 640 - start)
        lines += [
            call(0, start, other[start : start + count]),
            call(1, start, tokens[start : start + count], want=True),
        ]
    actual = logits(probe(artifact, lines))
    wanted = [min(start + size, 640) - 1 for start in range(0, 640, size)]
    assert np.array_equal(actual, expected[wanted])


@pytest.mark.parametrize("back", [1, 63, 64])
@pytest.mark.parametrize("length", [400, 511, 512, 577])
def test_going_back_by_64_positions(length: int, back: int, artifact: Path, tokens: list[int], tmp_path: Path) -> None:
    expected = tern_logits(artifact, tokens, tmp_path)
    other = random_tokens(64, VOCABULARY, seed=5)
    start = length - back
    wrong_turn = fill(0, 0, tokens[:start]) + [call(0, start, other[:back])]
    for lines in (
        [*wrong_turn, *continued(0, start, tokens)],  # a row that starts lower
        [*wrong_turn, f"truncate 0 {start}", *continued(0, start, tokens)],
        [*wrong_turn, "copy 0 1", f"truncate 1 {start}", *continued(1, start, tokens)],
    ):
        assert np.array_equal(logits(probe(artifact, lines)), expected[start : start + 30])


def test_going_back_further_is_an_error(artifact: Path, tokens: list[int], tmp_path: Path) -> None:
    expected = tern_logits(artifact, tokens, tmp_path)
    full = fill(0, 0, tokens[:600])
    for line in (call(0, 300, tokens[300:310], want=True), "truncate 0 300"):
        result = probe(artifact, [*full, line])
        assert result.status == 1 and result.out == b"", result
        assert "position 300" in result.err and "window" in result.err and "go back to 0" in result.err
    # What it names is possible, and nothing below it but 0.
    first = int(result.err.split(" to ")[-1].split()[0])
    assert 300 < first <= 600 - 64
    assert probe(artifact, [*full, f"truncate 0 {first - 1}"]).status == 1
    lines = [*full, f"truncate 0 {first}", *continued(0, first, tokens)]
    assert np.array_equal(logits(probe(artifact, lines)), expected[first : first + 30])
    # Also after steps that were each allowed.
    back, again = [f"truncate 0 {first}", "truncate 0 1"], [*full, "truncate 0 0", *fill(0, 0, tokens[:80])]
    assert probe(artifact, [*full, *back]).status == 1
    assert np.array_equal(logits(probe(artifact, [*again, *continued(0, 80, tokens)])), expected[80:110])


def test_a_short_slot_goes_back_anywhere(artifact: Path, tokens: list[int], tmp_path: Path) -> None:
    expected = tern_logits(artifact, tokens, tmp_path)
    lines = [*fill(0, 0, tokens[:RING]), "truncate 0 30", *continued(0, 30, tokens)]
    assert np.array_equal(logits(probe(artifact, lines)), expected[30:60])


@pytest.mark.parametrize("length", [200, 512, 700])
def test_saved_slots(length: int, artifact: Path, tokens: list[int], tmp_path: Path) -> None:
    """Into a session of another size; going back further is refused there too."""
    expected = tern_logits(artifact, tokens, tmp_path)
    state = tmp_path / "slot"
    save = [*fill(0, 0, tokens[:length]), f"save 0 {state}"]
    assert probe(artifact, save).status == 0
    lines = [f"load 0 {state}", *continued(0, length, tokens)]
    assert np.array_equal(logits(probe(artifact, lines, slots=1, context=800)), expected[length : length + 30])
    back = length - 64
    lines = [f"load 0 {state}", f"truncate 0 {back}", *continued(0, back, tokens)]
    assert np.array_equal(logits(probe(artifact, lines)), expected[back : back + 30])
    if length > 2 * RING:
        assert probe(artifact, [f"load 0 {state}", f"truncate 0 {RING}"]).status == 1
    assert probe(artifact, [*save, f"load 1 {state}", f"save 1 {tmp_path / 'again'}"]).status == 0
    assert (tmp_path / "again").read_bytes() == state.read_bytes()
    # A slot that is shorter than it was.
    lines = [*fill(0, 0, tokens[: length + 40]), f"truncate 0 {length}", f"save 0 {state}", f"load 1 {state}"]
    assert np.array_equal(
        logits(probe(artifact, [*lines, *continued(1, length, tokens)])), expected[length : length + 30]
    )


def test_the_caches_take_less_memory(build_model: BuildModel, compile_gguf: Compile) -> None:
    def kv_bytes(spec: ModelSpec, context: int) -> int:
        artifact = compile_gguf(build_model(spec).path)
        text = succeed("tern", "inspect", artifact, "--json", f"--context={context}").text
        return json.loads(text)["memory"]["kv_bytes"]

    every = 6 * 2 * 2 * SPEC.head_size * SPEC.kv_heads  # bytes of a position in all six layers
    assert kv_bytes(SPEC, RING) == RING * every
    assert kv_bytes(SPEC, CONTEXT) == (CONTEXT + 5 * RING) * every // 6


def test_generation_goes_on_where_a_cache_has_dropped_positions(
    build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    """A prompt that shares only its beginning with the cached one, and a context shift that keeps some tokens."""
    artifact = compile_gguf(build_model(SPEC).path)
    tokens = random_tokens(600, VOCABULARY)
    shared = tokens[:100] + random_tokens(40, VOCABULARY, seed=4)
    options = ("-t", "0", "-n", "12", "--logprobs=0")

    def generate(prompt: list[int], *more: object) -> str:
        text = ",".join(map(str, prompt))
        return succeed("tern", "run", artifact, "--tokens", text, *options, *more).text

    cache = f"--prompt-cache={tmp_path / 'cache'}"
    stats = succeed("tern", "run", artifact, "--tokens", ",".join(map(str, tokens)), *options, cache, "--stats")
    assert "0 of 600 prompt tokens reused" in stats.err
    stats = succeed("tern", "run", artifact, "--tokens", ",".join(map(str, shared)), *options, cache, "--stats")
    assert "0 of 140 prompt tokens reused" in stats.err
    assert generate(tokens, cache) == generate(tokens)
    assert generate(shared, cache) == generate(shared)

    def ids(text: str) -> list[int]:
        return [step["token"] for step in map(json.loads, text.splitlines()) if "token" in step]

    steps = ids(generate(tokens, "--context=604", "--context-shift", "--keep=10"))
    assert len(steps) == 12
    # A few tokens fit; then 10 are kept and the newer half of the rest.
    histories = [tokens + steps[:count] for count in (3, 4, 5)]
    shifted = [history[:10] + history[len(history) - (len(history) - 10) // 2 :] for history in histories]
    assert any(
        ids(generate(left))[: 12 - count] == steps[count:] for count, left in zip((3, 4, 5), shifted, strict=True)
    )
