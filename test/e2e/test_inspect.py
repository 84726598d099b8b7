"""`tern inspect` and `tern verify`: what they tell about artifacts and GGUF files, and the memory that is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import HOME_ASSISTANT, BuildModel, Compile
from gguf import GGMLQuantizationType as Type
from models import ModelSpec
from programs import succeed


def test_inspect_describes_an_artifact(home_assistant: Path) -> None:
    report = json.loads(succeed("tern", "inspect", home_assistant, "--json").text)
    assert report["format"] == "tern" and report["file_bytes"] == home_assistant.stat().st_size
    assert report["vocabulary_size"] == 2048 and report["tokenizer"]["chat_template"] == "chatml"
    assert report["metadata"]["architecture"] == "llama"
    variant = report["variants"][0]
    assert variant["target"].startswith("x86_64-") and variant["features"] and variant["kernels"]
    assert sum(encoding["bytes"] for encoding in report["encodings"]) <= report["weight_bytes"]
    assert any(encoding["encoding"].startswith("ternary") for encoding in report["encodings"])
    text = succeed("tern", "inspect", home_assistant).text
    for part in ("target", "weights", "memory", "KV cache", "arena"):
        assert part in text


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("inputs-llama", hidden=96),
        ModelSpec("inputs-gpt2", family="gpt2", hidden=96, kv_heads=6, tied=True),  # looks up positions too
        ModelSpec("inputs-qwen3moe", family="qwen3moe", hidden=96, head_size=24),
    ],
    ids=lambda spec: spec.name,
)
def test_kernels_name_the_inputs_whose_bounds_they_rely_on(
    spec: ModelSpec, build_model: BuildModel, compile_gguf: Compile
) -> None:
    report = json.loads(succeed("tern", "inspect", compile_gguf(build_model(spec).path), "--json").text)
    for variant in report["variants"]:
        found = {kernel["name"]: kernel["inputs"] for kernel in variant["kernels"]}
        for part, inputs in (
            ("kv_store", ["positions", "slots"]),
            ("attention", ["positions", "slots"]),
            ("gather", ["wanted_rows"]),
            ("embed", []),
        ):
            named = [name for name in found if part in name]
            assert named and all(found[name] == inputs for name in named), (part, found)
        windows = {kernel["name"]: kernel["window"] for kernel in variant["kernels"]}
        assert {name for name in windows if windows[name] is not None} == {n for n in windows if "attention" in n}


SEEDS = Path(__file__).parents[1] / "fuzz" / "corpus" / "artifact"


def test_seeds_of_the_fuzzer_hold_what_it_is_to_change() -> None:
    """`make_artifact_seeds` writes them; what it learns the corpus must be given."""

    def mixing(name: str) -> dict:
        kernels = json.loads(succeed("tern", "inspect", SEEDS / name, "--json").text)["variants"][0]["kernels"]
        return next(kernel for kernel in kernels if kernel["name"] == "toy_mix")

    assert mixing("toy.tern")["inputs"] == ["positions", "slots"]
    split, window = mixing("toy-split.tern"), mixing("toy-window.tern")
    assert (split["partial_bytes"], split["window"]) == (64, 0)
    assert (window["partial_bytes"], window["window"]) == (64, 96)


def test_a_cache_of_codes_takes_half_the_memory(home_assistant: Path, compile_gguf: Compile) -> None:
    def report(artifact: Path) -> dict:
        return json.loads(succeed("tern", "inspect", artifact, "--json").text)

    half, codes = report(home_assistant), report(compile_gguf(HOME_ASSISTANT, "--kv=q8"))
    head_size = half["kv_caches"][0]["head_size"]
    ratio = codes["memory"]["kv_bytes_per_token"] / half["memory"]["kv_bytes_per_token"]
    assert ratio == (head_size + 2) / (2 * head_size) < 0.55
    assert codes["memory"]["kv_bytes"] == pytest.approx(ratio * half["memory"]["kv_bytes"], rel=0.01)


def test_inspect_estimates_memory(home_assistant: Path) -> None:
    def memory(*options: str) -> dict:
        return json.loads(succeed("tern", "inspect", home_assistant, "--json", *options).text)["memory"]

    small, large = memory("--context=64"), memory("--context=512")
    assert large["kv_bytes"] - small["kv_bytes"] == 448 * large["kv_bytes_per_token"]
    assert large["private_bytes"] > small["private_bytes"]
    # program_bytes is measured and varies by a page; the rest is computed.
    one, four = memory("--threads=1"), memory("--threads=4")
    assert four["private_bytes"] - four["program_bytes"] >= one["private_bytes"] - one["program_bytes"]


def test_private_memory_is_within_the_estimate(home_assistant: Path) -> None:
    """Used to the last position, a session takes what inspect said, to 5 %."""
    estimate = json.loads(succeed("tern", "inspect", home_assistant, "--json", "--context=512", "--threads=2").text)[
        "memory"
    ]["private_bytes"]
    options = ["--context=512", "--threads=2", "--prompt=500", "--generate=12", "--runs=1", "--weights=map"]
    measured = json.loads(succeed("tern", "bench", home_assistant, *options, "--json", "-").text)
    assert abs(measured["peak_private_bytes"] - estimate) <= 0.05 * estimate


def test_inspect_describes_a_gguf_header() -> None:
    report = json.loads(succeed("tern", "inspect", HOME_ASSISTANT, "--json").text)
    assert report["format"] == "gguf" and report["metadata"]["general.architecture"] == "llama"
    assert report["types"]["tq2_0"]["tensors"] == 28
    assert sum(kind["tensors"] for kind in report["types"].values()) == len(report["tensors"])
    assert "general.architecture" in succeed("tern", "inspect", HOME_ASSISTANT).text


def test_inspect_reads_all_parts_of_a_split_file(build_model: BuildModel) -> None:
    split = build_model(ModelSpec("split", split_tensors=6))
    report = json.loads(succeed("tern", "inspect", split.path, "--json").text)
    assert len(report["parts"]) == 4 and len(report["tensors"]) == 21


def test_inspect_shows_types_per_tensor(build_model: BuildModel) -> None:
    spec = ModelSpec("types", hidden=96, feed_forward=160, head_size=32, matrix_type=Type.Q4_0)
    report = json.loads(succeed("tern", "inspect", build_model(spec).path, "--json").text)
    assert {tensor["type"] for tensor in report["tensors"]} == {"f32", "q4_0"}


def test_verify_accepts_an_intact_file(home_assistant: Path) -> None:
    assert "intact" in succeed("tern", "verify", home_assistant).text
