"""--weights=stream:SIZE: the results of mapped weights in a bounded amount of memory, and damage found on the way."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import BuildModel, Compile
from gguf import GGMLQuantizationType as Type
from models import ModelSpec
from programs import (
    QUESTION,
    assert_input_error,
    assert_usage_error,
    mappings,
    run,
    succeed,
    waiting_chat,
    weight_bytes,
)

TOKENS = ",".join(str(1 + 7 * i % 400) for i in range(150))  # three chunks
DEEP = ModelSpec("deep", hidden=256, heads=4, head_size=64, layers=9, feed_forward=512, matrix_type=Type.Q8_0)
MODELS = [
    DEEP,
    ModelSpec("deep-tied", hidden=256, heads=4, head_size=64, layers=5, feed_forward=512, tied=True),
    ModelSpec(
        "stream-qwen3moe",
        family="qwen3moe",
        hidden=96,
        layers=4,
        settings=(("num_local_experts", 8), ("num_experts_per_tok", 2), ("moe_intermediate_size", 64)),
    ),
    ModelSpec("stream-gpt2", family="gpt2", layers=4, kv_heads=6, hidden=96),
]


def least(artifact: Path, *options: object) -> int:
    """The fewest bytes that the model can be streamed with, by the program's own account."""
    result = run("tern", "logits", artifact, "--tokens=1", "-o", "/dev/null", "--weights=stream:1", *options)
    assert_input_error(result, str(artifact), "expected at least")
    found = re.search(r"expected at least (\d+)", result.err)
    assert found, result
    return int(found[1])


@pytest.fixture(scope="module")
def artifact(build_model: BuildModel, compile_gguf: Compile) -> Path:
    return compile_gguf(build_model(DEEP).path)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_logits_are_those_of_mapped_weights(
    spec: ModelSpec, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    artifact = compile_gguf(build_model(spec).path)
    succeed("tern", "logits", artifact, "--tokens", TOKENS, "-o", tmp_path / "mapped.npy", "--weights=map")
    first, last = least(artifact), weight_bytes(artifact)
    assert first < 0.8 * last
    for size in (first, (2 * first + last) // 3, (first + 2 * last) // 3, last):
        for threads in (1, 2):
            options = ["--weights", f"stream:{size}", "--threads", threads]
            succeed("tern", "logits", artifact, "--tokens", TOKENS, "-o", tmp_path / "streamed.npy", *options)
            assert np.array_equal(np.load(tmp_path / "streamed.npy"), np.load(tmp_path / "mapped.npy")), (size, threads)
    short = run("tern", "logits", artifact, "--tokens=1", "-o", tmp_path / "x.npy", f"--weights=stream:{first - 1}")
    assert_input_error(short, str(first))
    assert not (tmp_path / "x.npy").exists()


def test_memory_is_what_was_asked_for(build_model: BuildModel, compile_gguf: Compile) -> None:
    """By the kernel's account: the weights' pages of the file stay out of the process."""
    spec = ModelSpec("stream-large", hidden=384, heads=6, head_size=64, layers=12, feed_forward=1024, vocabulary=3000)
    artifact = compile_gguf(build_model(spec).path)
    whole = weight_bytes(artifact)
    size = whole // 3
    private = {}
    for mode in ("map", f"stream:{size}"):
        with waiting_chat(artifact, f"--weights={mode}") as pid:
            entries = mappings(pid)
        private[mode] = 1024 * sum(int(entry["Anonymous"]) for entry in entries)
        of_file = 1024 * sum(int(entry["Rss"]) for entry in entries if entry["name"] == str(artifact))
        if mode != "map":
            assert of_file < 0.15 * whole  # tables, and rows of the embedding
    more = private[f"stream:{size}"] - private["map"]
    print(f"{whole} bytes of weights, {size} asked for, {more} more private ones than with map")
    assert 0.5 * size < more < size + (1 << 20)


def test_every_command_streams(artifact: Path, tmp_path: Path) -> None:
    options = f"--weights=stream:{least(artifact)}"
    text = tmp_path / "text.txt"
    text.write_text("the lights in the kitchen are on and the door is closed. " * 20)
    for command in (
        ["run", artifact, "-p", QUESTION, "-t", "0", "-n", "20"],
        ["run", artifact, "-p", QUESTION, "-p", "a", "-p", "the door", "-t", "0", "-n", "12"],
        ["eval", artifact, "--text", text, "--context", "64"],
    ):
        assert succeed("tern", *command, options).out == succeed("tern", *command, "--weights=map").out
    for mode in ("--weights=map", options):
        succeed("tern", "embed", artifact, "-p", QUESTION, "-o", tmp_path / f"{len(mode)}.npy", mode)
    files = [np.load(tmp_path / f"{len(mode)}.npy") for mode in ("--weights=map", options)]
    assert np.array_equal(files[0], files[1])


def test_bench_counts_what_is_mapped_and_traces_the_waits(artifact: Path, tmp_path: Path) -> None:
    size = least(artifact)
    trace = tmp_path / "trace.json"
    options = ["--prompt=4", "--generate=3", "--runs=1", "--json=-", f"--trace={trace}"]
    figures = json.loads(succeed("tern", "bench", artifact, f"--weights=stream:{size}", *options).text)
    assert figures["mapped_weight_bytes"] < 0.2 * weight_bytes(artifact)  # the embedding
    names = [event["name"] for event in json.loads(trace.read_text())["traceEvents"]]
    for layer in range(DEEP.layers):
        assert names.count(f"wait for blk.{layer}") == 4  # the prompt, and three tokens
    refused = run("tern", "bench", artifact, f"--weights=stream:{size}", "--kernels")
    assert_usage_error(refused, "--kernels", "--weights=map")


@pytest.mark.parametrize("where", [0.3, 0.6, 0.95])
def test_damage_is_found_on_the_way(where: float, artifact: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.tern"
    data = bytearray(artifact.read_bytes())
    weights = weight_bytes(artifact)
    data[len(data) - weights + int(where * weights)] ^= 0x10
    damaged.write_bytes(data)
    unit = re.search(r"weight unit '([^']+)'", run("tern", "verify", damaged).err)
    assert unit, "the flipped bit lies between units"
    for size in (least(damaged), weights):
        result = run("tern", "run", damaged, "-p", QUESTION, "-t", "0", "-n", "4", f"--weights=stream:{size}")
        assert result.status == 1 and result.out == b"", result
        assert str(damaged) in result.err and f"'{unit[1]}' does not match its digest" in result.err, result


@pytest.mark.parametrize("size", ["", "0", "x", "-1", "1e6", "10T", "5 M", "M", "0.0001", "1e20G", "nan", "inf", "5MB"])
def test_other_sizes_are_wrong_usage(size: str, artifact: Path) -> None:
    assert_usage_error(run("tern", "run", artifact, "--tokens", "1", f"--weights=stream:{size}"), "--weights", "600M")


def test_sizes_are_in_powers_of_1000(artifact: Path, tmp_path: Path) -> None:
    for size, bytes_ in (("0.5K", 500), ("7K", 7000), ("0.0125M", 12500), ("0.00001G", 10000)):
        result = run("tern", "logits", artifact, "--tokens=1", "-o", tmp_path / "x.npy", f"--weights=stream:{size}")
        assert_input_error(result, f" {bytes_} bytes for streamed weights")
