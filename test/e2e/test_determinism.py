"""A row's logits depend only on its slot's history; an artifact's bytes only on model and options."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import BuildModel, Compile
from gguf import GGMLQuantizationType as Type
from models import ModelSpec
from programs import assert_input_error, run, succeed, tern_logits, ternc
from references import random_tokens
from traces import read_trace

# Together: every storage type's kernels, odd sizes, biases, both kinds of norms, windows, soft caps, ALiBi, experts.
SPECS = [
    ModelSpec("determinism-f32"),
    ModelSpec("determinism-f16-qwen2", family="qwen2", hidden=96, heads=6, kv_heads=3, matrix_type=Type.F16),
    ModelSpec(
        "determinism-blocks",
        hidden=256,
        feed_forward=768,
        head_size=64,
        heads=4,
        matrix_type=Type.Q4_0,
        other_types=(("token_embd", Type.F16), ("attn", Type.Q8_0), ("ffn_down", Type.TQ2_0)),
    ),
    ModelSpec(
        "determinism-mixtral", family="mixtral", hidden=96, feed_forward=128, matrix_type=Type.Q4_0, head_size=32
    ),
    ModelSpec("determinism-gemma3", family="gemma3", head_size=24, layers=6, tied=True),
    ModelSpec("determinism-bloom", family="bloom", hidden=96, kv_heads=6, feed_forward=384, tied=True),
]
# With the options of compilation: caches of codes beside norms, rotations and windows.
COMPILED: list[tuple[ModelSpec, tuple[str, ...]]] = [(spec, ()) for spec in SPECS] + [(SPECS[-2], ("--kv=q8",))]
TOKENS = 150  # more than two batches of 64
WANTED = 8  # rows of a call that may want logits


def name(compiled: tuple[ModelSpec, tuple[str, ...]]) -> str:
    return "".join((compiled[0].name, *compiled[1]))


@pytest.fixture(params=COMPILED, ids=name)
def artifact(request: pytest.FixtureRequest, build_model: BuildModel, compile_gguf: Compile) -> Path:
    spec, options = request.param
    return compile_gguf(build_model(spec).path, *options)


Row = tuple[int, int, int, bool]  # slot, position, token, wanted


def forward(
    artifact: Path, calls: list[list[Row]], threads: int = 2, slots: int = 1, context: int = 1024
) -> np.ndarray:
    """Logits of the wanted rows, in order: float32 [rows, vocabulary]."""
    lines = [" ".join(f"{s}:{p}:{t}{'!' if want else ''}" for s, p, t, want in call) for call in calls]
    result = succeed("forward_probe", artifact, threads, slots, context, stdin="\n".join(lines).encode())
    rows = sum(want for call in calls for *_, want in call)
    return np.frombuffer(result.out, np.float32).reshape(rows, -1)


def in_chunks(tokens: list[int], size: int, slot: int = 0) -> tuple[list[list[Row]], list[int]]:
    """Calls of `size` rows, the last rows of each wanted; and the positions wanted."""
    calls: list[list[Row]] = []
    wanted: list[int] = []
    for start in range(0, len(tokens), size):
        end = min(start + size, len(tokens))
        calls.append([(slot, at, tokens[at], at >= end - WANTED) for at in range(start, end)])
        wanted += range(max(start, end - WANTED), end)
    return calls, wanted


def test_threads_do_not_change_a_bit(artifact: Path, tmp_path: Path) -> None:
    tokens = random_tokens(TOKENS, 503)
    one = tern_logits(artifact, tokens, tmp_path, "--threads=1")
    for threads in (2, 4):
        assert np.array_equal(one, tern_logits(artifact, tokens, tmp_path, f"--threads={threads}"))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunk_size_does_not_change_a_bit(size: int, artifact: Path, tmp_path: Path) -> None:
    tokens = random_tokens(TOKENS, 503)
    expected = tern_logits(artifact, tokens, tmp_path)  # in chunks of 8
    calls, wanted = in_chunks(tokens, size)
    assert np.array_equal(forward(artifact, calls), expected[wanted])


@pytest.mark.parametrize("compiled", COMPILED, ids=name)
def test_compiled_batch_does_not_change_a_bit(
    compiled: tuple[ModelSpec, tuple[str, ...]], build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    spec, options = compiled
    path = build_model(spec).path
    tokens = random_tokens(TOKENS, spec.vocabulary)
    expected = tern_logits(compile_gguf(path, *options), tokens, tmp_path)
    for batch in (1, 7):
        artifact = compile_gguf(path, *options, f"--max-batch={batch}")
        assert np.array_equal(tern_logits(artifact, tokens, tmp_path), expected), f"--max-batch={batch}"


@pytest.mark.parametrize("threads", [1, 3])
def test_other_rows_of_a_batch_do_not_change_a_bit(threads: int, artifact: Path, tmp_path: Path) -> None:
    """Three sequences at different positions share each call."""
    lengths = [90, 40, 65]
    sequences = [random_tokens(length, 503, seed=20 + slot) for slot, length in enumerate(lengths)]
    alone = [tern_logits(artifact, tokens, tmp_path) for tokens in sequences]
    random = np.random.default_rng(5)
    done = [0, 0, 0]
    calls: list[list[Row]] = []
    expected = []
    while done != lengths:
        call: list[Row] = []
        for slot in random.permutation(3):
            count = min(int(random.integers(0, 22)), lengths[slot] - done[slot])
            for at in range(done[slot], done[slot] + count):
                last = at == done[slot] + count - 1
                call.append((int(slot), at, sequences[slot][at], last))
                if last:
                    expected.append(alone[slot][at])
            done[slot] += count
        if call:
            calls.append(call)
    assert np.array_equal(forward(artifact, calls, threads, slots=3), np.stack(expected))


def test_rollback_forgets_what_it_overwrites(artifact: Path, tmp_path: Path) -> None:
    tokens = random_tokens(80, 503)
    wrong = random_tokens(50, 503, seed=99)
    calls = [
        [(0, at, tokens[at], False) for at in range(30)],
        [(0, 30 + at, token, False) for at, token in enumerate(wrong)],
        [(0, at, tokens[at], at >= 72) for at in range(30, 80)],
    ]
    assert np.array_equal(forward(artifact, calls), tern_logits(artifact, tokens, tmp_path)[72:])


@pytest.mark.parametrize("kv", ["f16", "q8"])
def test_attention_blocks_do_not_change_a_bit(
    kv: str, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    """Chunks that straddle position 512, where the second attention block begins."""
    artifact = compile_gguf(build_model(SPECS[0]).path, f"--kv={kv}")
    tokens = random_tokens(600, 503)
    expected = tern_logits(artifact, tokens, tmp_path, "--threads=1")
    for size in (7, 64):
        calls, wanted = in_chunks(tokens, size)
        assert np.array_equal(forward(artifact, calls, threads=2), expected[wanted]), f"chunks of {size}"


# Few key heads: with more threads than these, a row's attention is split by blocks of 512 positions.
SPLIT: list[tuple[ModelSpec, tuple[str, ...]]] = [
    (ModelSpec("split-one-key-head", kv_heads=1, context=2048), ()),
    (ModelSpec("split-one-key-head", kv_heads=1, context=2048), ("--kv=q8",)),
    (
        ModelSpec(
            "split-gemma3",
            family="gemma3",
            head_size=24,
            layers=6,
            tied=True,
            kv_heads=1,
            context=2048,
            settings=(("sliding_window", 700),),
        ),
        (),
    ),
    (ModelSpec("split-bloom", family="bloom", hidden=96, kv_heads=6, feed_forward=384, tied=True, context=2048), ()),
]


def attention_pieces(artifact: Path, threads: int, prompt: int, tmp_path: Path) -> list[int]:
    """How often a worker took tasks of an attention call: for each such call of two tokens behind the prompt."""
    path = tmp_path / f"trace-{threads}.json"
    options = ["--prompt", prompt, "--generate", 2, "--runs", 1, "--threads", threads, "--context", 2048]
    succeed("tern", "bench", artifact, *options, "--trace", path)
    tracks, _ = read_trace(path)
    pieces: Counter[tuple[str, int]] = Counter()
    for step in tracks.pop("tokens")[1:]:
        for event in itertools.chain.from_iterable(tracks.values()):
            within = step["ts"] <= event["ts"] and event["ts"] + event["dur"] <= step["ts"] + step["dur"] + 0.002
            if within and event["name"].startswith("attention"):
                pieces[step["name"], event["args"]["command"]] += 1
    return list(pieces.values())


@pytest.mark.parametrize("compiled", [compiled for compiled in SPLIT if compiled[0].kv_heads == 1], ids=name)
def test_a_long_context_is_split_over_threads(
    compiled: tuple[ModelSpec, tuple[str, ...]], build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    """With one key head a row's attention is one task, which one worker takes: blocks and their merge are two or more."""
    spec, options = compiled
    artifact = compile_gguf(build_model(spec).path, *options)
    assert attention_pieces(artifact, 1, 1230, tmp_path) == [1] * (2 * spec.layers)
    assert attention_pieces(artifact, 2, 400, tmp_path) == [1] * (2 * spec.layers)
    for threads in (2, 3, 8):
        pieces = attention_pieces(artifact, threads, 1230, tmp_path)
        assert len(pieces) == 2 * spec.layers and min(pieces) >= 2, f"{threads} threads"


@pytest.mark.parametrize("compiled", SPLIT, ids=name)
def test_splitting_a_long_context_over_threads_does_not_change_a_bit(
    compiled: tuple[ModelSpec, tuple[str, ...]], build_model: BuildModel, compile_gguf: Compile
) -> None:
    """Tokens one by one behind 1,230 and 600 positions, in one slot and in two at a time."""
    spec, options = compiled
    artifact = compile_gguf(build_model(spec).path, *options)
    tokens = [random_tokens(1240, spec.vocabulary, seed=slot) for slot in range(2)]
    prompts = [call for slot, end in enumerate((1230, 600)) for call in in_chunks(tokens[slot][:end], 64, slot)[0]]
    calls = [[(slot, at, token, False) for slot, at, token, _ in call] for call in prompts]
    for step in range(4):
        calls.append([(0, 1230 + step, tokens[0][1230 + step], True)])
    for step in range(4, 8):
        calls.append([(1, 596 + step, tokens[1][596 + step], True), (0, 1230 + step, tokens[0][1230 + step], True)])
    one = forward(artifact, calls, threads=1, slots=2, context=2048)
    for threads in (2, 3, 8):
        assert np.array_equal(one, forward(artifact, calls, threads, slots=2, context=2048)), f"{threads} threads"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("0:1:5!", "position"),  # the slot is empty: 0 would be next
        ("0:0:5 0:2:6!", "position"),
        ("0:0:5 0:0:6!", "position"),
        ("0:1024:5!", "position"),
        ("0:-1:5!", "position"),
        ("1:0:5!", "slot"),
        ("0:0:503!", "token"),
        ("0:0:-1!", "token"),
    ],
)
def test_bad_rows_are_refused_before_anything_is_written(call: str, message: str, small_artifact: Path) -> None:
    result = run("forward_probe", small_artifact, 1, 1, 1024, stdin=call.encode())
    assert_input_error(result, message)


def test_too_many_wanted_rows_are_refused(small_artifact: Path) -> None:
    call = " ".join(f"0:{at}:5!" for at in range(WANTED + 1))
    assert_input_error(run("forward_probe", small_artifact, 1, 1, 1024, stdin=call.encode()))


def test_four_compiles_give_the_same_bytes(small_gguf: Path, tmp_path: Path) -> None:
    """Cold cache, warm cache, one job with a cold cache, and another directory."""

    def compile_in(folder: str, cache: str, *options: str) -> str:
        where = tmp_path / folder
        where.mkdir(parents=True, exist_ok=True)
        shutil.copy(small_gguf, where / "model.gguf")
        environment = {"TERN_CACHE_DIR": str(tmp_path / cache)}
        artifact = ternc(Path("model.gguf"), where / "model.tern", *options, cwd=where, environment=environment)
        return hashlib.sha256(artifact.read_bytes()).hexdigest()

    cold = compile_in("a", "cache-1")
    assert compile_in("a", "cache-1") == cold, "warm cache"
    assert compile_in("a", "cache-2", "-j1") == cold, "one job"
    assert compile_in("another/directory", "cache-3") == cold, "another directory"
