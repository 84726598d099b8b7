"""`tern bench`: the fields of its report and the effect of its options."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import BuildModel, Compile
from models import ModelSpec
from programs import assert_input_error, assert_usage_error, run, succeed


def test_bench_json_has_the_promised_fields(home_assistant: Path, tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    options = ["--prompt", "20", "--generate", "10", "--runs", "2", "--threads", "2"]
    result = succeed("tern", "bench", home_assistant, *options, "--json", output)
    assert "tokens/s" in result.text
    report = json.loads(output.read_text())
    assert report["threads"] == 2
    for part, tokens in (("prompt", 20), ("generate", 10)):
        assert report[part]["tokens"] == tokens
        speed = report[part]["tokens_per_second"]
        assert 0 < speed["min"] <= speed["median"] <= speed["max"]
    latency = report["token_latency_ms"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]
    for key in (
        "prompt_to_first_token_ms", "start_to_first_token_ms", "weight_bytes_per_token", "peak_resident_bytes",
        "peak_private_bytes", "load_ms",
    ):  # fmt: skip
        assert report[key] > 0, key
    assert report["peak_private_bytes"] <= report["peak_resident_bytes"]
    assert report["mapped_weight_bytes"] >= 0


def bench_json(artifact: Path, *options: object) -> dict:
    small = ["--prompt", "4", "--runs", "1", "--json", "-"]
    return json.loads(succeed("tern", "bench", artifact, *small, *options).text)


def test_bench_options(home_assistant: Path) -> None:
    assert bench_json(home_assistant, "--generate", "0")["token_latency_ms"] is None
    assert bench_json(home_assistant, "--weights=map")["mapped_weight_bytes"] > 0
    assert bench_json(home_assistant, "--weights=copy")["mapped_weight_bytes"] == 0
    assert bench_json(home_assistant, "--threads=1")["threads"] == 1
    assert bench_json(home_assistant, "--context=64")["context"] == 64
    assert_input_error(run("tern", "bench", home_assistant, "--prompt", "60", "--context", "64"), "--context")
    assert_usage_error(run("tern", "bench", home_assistant, "--prompt", "0"), "--prompt")
    assert_usage_error(run("tern", "bench", home_assistant, "--runs", "0"), "--runs")


def test_latency_is_measured_in_layers_with_windows(build_model: BuildModel, compile_gguf: Compile) -> None:
    """The generations have gone further than going back reaches."""
    spec = ModelSpec("bench-window", family="gemma3", head_size=24, tied=True)
    options = ["--prompt=100", "--generate=850", "--runs=1", "--latency=5", "--json=-"]
    report = json.loads(succeed("tern", "bench", compile_gguf(build_model(spec).path), *options).text)
    assert report["token_latency_ms"]["p50"] > 0


def test_latency_is_measured_at_one_position(home_assistant: Path) -> None:
    steps = bench_json(home_assistant, "--generate", "0", "--latency", "40")["token_latency_ms"]
    assert 0 < steps["p50"] <= steps["p99"] <= steps["max"]
    # Room for one step is enough, however many there are.
    bench_json(home_assistant, "--generate", "0", "--latency", "40", "--context", "5")
    refused = run("tern", "bench", home_assistant, "--prompt=5", "--generate=0", "--latency=1", "--context=5")
    assert_input_error(refused, "prompt of 5 tokens", "1 steps", "--context")
    assert_usage_error(run("tern", "bench", home_assistant, "--latency", "x"), "--latency")
