"""`tern bench --kernels` and `--trace`: what they count is checked against the model, times only for consistency."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Compile
from programs import assert_input_error, assert_usage_error, run, succeed, ternc
from traces import read_trace

PROMPT, GENERATE, RUNS = 70, 5, 2
OPTIONS = ["--prompt", PROMPT, "--generate", GENERATE, "--runs", RUNS, "--threads", 2]
LAYERS = 4  # of the bundled model: 256 wide, 8 heads of 32, 768 in the feed-forward part, 2048 tokens
TERNARY_ELEMENTS = LAYERS * (4 * 256 * 256 + 3 * 768 * 256)


@pytest.fixture(scope="module")
def report(home_assistant: Path) -> dict[str, Any]:
    return json.loads(succeed("tern", "bench", home_assistant, *OPTIONS, "--kernels", "--json", "-").text)


def test_kernels_are_only_reported_when_asked_for(home_assistant: Path, report: dict[str, Any]) -> None:
    plain = json.loads(succeed("tern", "bench", home_assistant, *OPTIONS, "--json", "-").text)
    assert "kernels" not in plain
    assert plain.keys() | {"kernels"} == report.keys()


def test_single_rows_and_the_largest_batch_are_timed(report: dict[str, Any]) -> None:
    single, batch = report["kernels"]["passes"]
    assert (single["rows"], single["position"]) == (1, PROMPT)
    assert (batch["rows"], batch["position"]) == (64, 0)
    for one in (single, batch):
        times = [kernel["milliseconds"] for kernel in one["kernels"]]
        assert times == sorted(times, reverse=True) and times[-1] >= 0
        for kernel in one["kernels"]:
            assert kernel["share"] == pytest.approx(kernel["milliseconds"] / one["milliseconds"])
        assert one["outside_kernels_ms"] > 0


def by_kind(one: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [kernel for kernel in one["kernels"] if kernel["computes"].split()[0] == kind]


def test_linear_kernels_count_their_weights(report: dict[str, Any]) -> None:
    """2 bits and an f16 scale for each 256; the head is f16 and the same for one row as for many."""
    for one in report["kernels"]["passes"]:
        linear = by_kind(one, "linear")
        ternary = [kernel for kernel in linear if "ternary:g256:f16" in kernel["computes"]]
        (head,) = [kernel for kernel in linear if kernel not in ternary]
        assert head["computes"] == "linear 2048x256 f16" and head["calls"] == 1
        assert head["weight_bytes"] == 2048 * 256 * 2 and head["operations"] == 2 * 2048 * 256
        assert head["peak"] == "float"
        assert all(kernel["calls"] == LAYERS and kernel["peak"] == "integer" for kernel in ternary)
        assert sum(kernel["weight_bytes"] for kernel in ternary) == TERNARY_ELEMENTS * 66 // 256
        products = 2 * TERNARY_ELEMENTS * one["rows"]
        assert products <= sum(kernel["operations"] for kernel in ternary) <= 1.02 * products


def test_attention_counts_the_positions_it_reads(report: dict[str, Any]) -> None:
    for one in report["kernels"]["passes"]:
        (attention,) = by_kind(one, "attention")
        rows, position = one["rows"], one["position"]
        assert attention["cache_bytes"] == LAYERS * (position + rows) * 2 * 256 * 2  # keys and values in f16
        attended = sum(position + row + 1 for row in range(rows))
        assert attention["operations"] == LAYERS * attended * 2 * 2 * 256
        assert attention["peak"] is None and attention["share_of_peak"] is None


def test_an_embedding_reads_one_row_for_each_token(report: dict[str, Any]) -> None:
    for one in report["kernels"]["passes"]:
        (embed,) = by_kind(one, "embed")
        assert embed["weight_bytes"] == one["rows"] * 256 * 2 and embed["peak"] is None


def test_rates_and_shares_follow_from_what_was_measured(report: dict[str, Any]) -> None:
    kernels = report["kernels"]
    assert kernels["read_bytes_per_second"] > 1e8
    peaks = {"integer": kernels["integer_peak"], "float": kernels["float_peak"]}
    for peak in peaks.values():
        assert peak["instruction"] and peak["operations_per_second"] > 1e8
    for one in kernels["passes"]:
        for kernel in one["kernels"]:
            seconds = kernel["milliseconds"] / 1000
            if seconds == 0:
                continue
            read = (kernel["weight_bytes"] + kernel["cache_bytes"]) / seconds
            assert kernel["read_bytes_per_second"] == pytest.approx(read)
            assert kernel["share_of_read_bandwidth"] == pytest.approx(read / kernels["read_bytes_per_second"])
            operations = kernel["operations"] / seconds
            assert kernel["operations_per_second"] == pytest.approx(operations)
            if kernel["peak"]:
                expected = operations / peaks[kernel["peak"]]["operations_per_second"]
                assert kernel["share_of_peak"] == pytest.approx(expected)


def test_the_table_names_every_kernel(home_assistant: Path, report: dict[str, Any]) -> None:
    lines = succeed("tern", "bench", home_assistant, *OPTIONS, "--kernels").text.splitlines()
    assert any(line.startswith(f"T = 1 from position {PROMPT}: ") for line in lines)
    assert any(line.startswith("T = 64 from position 0: ") for line in lines)
    for kernel in report["kernels"]["passes"][0]["kernels"]:
        found = [line for line in lines if line.startswith(kernel["name"] + " ")]
        assert len(found) == 2 and all(line.endswith(kernel["computes"]) for line in found)


def test_each_target_has_a_peak_of_its_own(tmp_path: Path) -> None:
    from conftest import HOME_ASSISTANT

    artifact = ternc(HOME_ASSISTANT, tmp_path / "m.tern", "--target=x86_64-baseline")
    report = json.loads(succeed("tern", "bench", artifact, *OPTIONS, "--kernels", "--json", "-").text)
    assert report["kernels"]["integer_peak"]["instruction"] == "pmaddwd, paddd xmm"
    assert report["kernels"]["float_peak"]["instruction"] == "mulps, addps xmm"


def test_a_full_context_has_room_for_the_single_row(home_assistant: Path) -> None:
    options = ["--prompt", 64, "--generate", 0, "--context", 64, "--runs", 1, "--kernels", "--json", "-"]
    single, batch = json.loads(succeed("tern", "bench", home_assistant, *options).text)["kernels"]["passes"]
    assert single["position"] == 63 and batch["rows"] == 64
    options[1:6] = [10, "--generate", 0, "--context", 20]
    _, batch = json.loads(succeed("tern", "bench", home_assistant, *options).text)["kernels"]["passes"]
    assert batch["rows"] == 20


# ---- the trace ---------------------------------------------------------------------------------------


def test_a_trace_has_every_call_of_every_token(home_assistant: Path, report: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    succeed("tern", "bench", home_assistant, *OPTIONS, "--trace", path)
    tracks, trace = read_trace(path)
    assert trace["displayTimeUnit"] == "ms"
    assert list(tracks) == ["tokens", "worker 0", "worker 1"]
    steps = tracks["tokens"]
    assert [step["name"] for step in steps] == [f"prompt of {PROMPT}", *(f"token {i + 1}" for i in range(GENERATE))]

    kernels = {kernel["name"]: kernel["calls"] for kernel in report["kernels"]["passes"][0]["kernels"]}
    for step in steps[1:]:
        begin, end = step["ts"], step["ts"] + step["dur"]
        calls: dict[str, set[int]] = {}
        for worker in ("worker 0", "worker 1"):
            for event in tracks[worker]:
                if begin <= event["ts"] and event["ts"] + event["dur"] <= end + 0.002:
                    calls.setdefault(event["name"].split()[0], set()).add(event["args"]["command"])
        assert {name: len(commands) for name, commands in calls.items()} == kernels, step["name"]


def test_a_traced_worker_does_one_thing_at_a_time(home_assistant: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    succeed("tern", "bench", home_assistant, *OPTIONS, "--trace", path)
    tracks, _ = read_trace(path)
    for events in tracks.values():
        ordered = sorted(events, key=lambda event: event["ts"])
        for before, after in itertools.pairwise(ordered):
            assert before["ts"] + before["dur"] <= after["ts"] + 0.002
    layers = {event["args"]["layer"] for event in tracks["worker 0"] if event["name"].startswith("attention")}
    assert layers == {f"blk.{i}" for i in range(LAYERS)}


def test_unwritable_and_unnamed_traces_are_refused(home_assistant: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent" / "trace.json"
    assert_input_error(run("tern", "bench", home_assistant, *OPTIONS, "--json", "-", "--trace", absent), "absent")
    assert_usage_error(run("tern", "bench", home_assistant, "--trace", ""), "--trace")


def test_an_artifact_without_costs_says_to_compile_again(compile_gguf: Compile) -> None:
    """Those in the corpus of the fuzzers are of the schema's first days."""
    old = Path(__file__).parents[1] / "fuzz" / "corpus" / "artifact" / "toy-text.tern"
    assert_input_error(run("tern", "bench", old, "--prompt", 4, "--runs", 1, "--kernels"), "compile it again")
